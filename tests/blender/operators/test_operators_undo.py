"""What a person may do to the scene while a run builds into it.

Blender as a module has no undo: an undo is played by removing what it would remove, and by the handler it would call.
The real one is tried in the window.
"""

import bpy
import pytest
from addon_fixtures import datablocks, gone, new_run, step_until
from da3_blender import addon
from da3_blender.core.worker import protocol
from da3_blender.operators import handlers
from da3_blender.operators.jobs import generation


@pytest.fixture
def held(enabled, monkeypatch):
    """A run that has built its batch, and whose end is held back until ``run.release()``."""
    waiting = []
    receive = generation.GenerateJob._receive

    def hold(self, message):
        if isinstance(message, protocol.Done) and not waiting:
            self._inbox.append(message)
        else:
            receive(self, message)

    monkeypatch.setattr(generation.GenerateJob, "_receive", hold)
    run = new_run()
    run.release = lambda: waiting.append(True)
    run.start()
    step_until(run, lambda: run.changed)
    yield run
    run.cancel()


def finish(run):
    run.release()
    step_until(run, lambda: run.ended)


def undo(remove):
    remove()
    handlers.scene_was_replaced()


def whole():
    (top,) = [c for c in bpy.context.scene.collection.children if c.name.startswith("wall")]
    kinds = sorted(obj.type for obj in top.all_objects)
    return kinds == ["CAMERA"] * 3 + ["MESH"]


def remove_all():
    for kind in (bpy.data.objects, bpy.data.collections, bpy.data.materials, bpy.data.node_groups, bpy.data.texts):
        bpy.data.batch_remove(list(kind))


def test_what_an_undo_took_away_is_built_again(held):
    undo(remove_all)
    finish(held)
    assert held.error is None and whole()


def test_what_an_undo_left_is_replaced_and_not_doubled(held):
    undo(lambda: bpy.data.objects.remove(bpy.data.objects["photo_001"]))
    finish(held)
    assert held.error is None and whole()
    assert [c.name for c in bpy.data.collections if c.name.startswith("Cameras")] == ["Cameras"]
    assert len(bpy.data.meshes) == 1 and len(bpy.data.materials) == 1


def test_an_undo_while_a_batch_is_half_built_starts_it_anew(enabled):
    run = new_run()
    run.start()
    step_until(run, lambda: any(mesh.vertices for mesh in bpy.data.meshes))
    undo(remove_all)
    step_until(run, lambda: run.ended)
    assert run.error is None and whole()


def test_data_that_is_purged_while_it_is_built_is_built_again(enabled):
    run = new_run()
    run.start()
    step_until(run, lambda: any(mesh.vertices for mesh in bpy.data.meshes))
    bpy.data.orphans_purge()
    step_until(run, lambda: run.ended)
    assert run.error is None and whole()


def test_what_a_person_put_into_the_collection_survives_building_again(held):
    mine = bpy.data.objects.new("mine", None)
    bpy.data.collections["wall"].objects.link(mine)
    bpy.context.scene.collection.objects.link(mine)
    undo(lambda: None)
    finish(held)
    assert mine.name == "mine"


def test_deleting_objects_during_a_run_is_the_persons_business(held):
    bpy.data.objects.remove(bpy.data.objects["photo_001"])
    finish(held)
    assert held.error is None and not whole() and "photo_001" not in bpy.data.objects


def test_deleting_the_collection_ends_the_run_with_a_sentence(held):
    bpy.data.collections.remove(bpy.data.collections["wall"])
    step_until(held, lambda: held.ended)
    assert "collection of the run was deleted" in str(held.error)


def test_deleting_the_scene_ends_the_run_with_a_sentence(held):
    bpy.context.window.scene = bpy.data.scenes.new("another")
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])
    step_until(held, lambda: held.ended)
    assert "The scene 'Scene' was deleted" in str(held.error)


def test_another_scene_may_be_shown_during_a_run(held):
    home = bpy.context.scene
    bpy.context.window.scene = bpy.data.scenes.new("another")
    finish(held)
    assert held.error is None and "wall" in home.collection.children


@pytest.mark.parametrize("leave", [bpy.ops.wm.read_homefile, bpy.ops.wm.read_factory_settings])
def test_opening_another_file_ends_the_run_and_leaves_nothing_in_it(held, leave):
    if leave is bpy.ops.wm.read_homefile:
        leave(use_factory_startup=True, use_empty=True)
        assert held.ended and not bpy.data.collections
    else:
        worker = held._client.pid
        addon.unregister()
        leave(use_empty=True)
        assert held.ended and gone(worker)
        addon.register()


def test_opening_another_file_in_the_middle_of_building_leaves_nothing(enabled, tmp_path):
    before = datablocks()
    file = tmp_path / "other.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file), copy=True)
    run = new_run()
    run.start()
    step_until(run, lambda: any(mesh.vertices for mesh in bpy.data.meshes))
    bpy.ops.wm.open_mainfile(filepath=str(file))
    assert run.ended and datablocks() == before


def test_settings_survive_saving_and_loading(enabled, tmp_path):
    settings = bpy.context.scene.da3
    settings.batch_size, settings.model = 7, "da3-base"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    settings = bpy.context.scene.da3
    assert (settings.batch_size, settings.model, settings.process_resolution) == (7, "da3-base", 56)
