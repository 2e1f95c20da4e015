"""Runs that belong to another file: every operator says why it will not touch them, and touches nothing."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from addon_fixtures import new_run
from da3_blender import addon
from da3_blender.core.output.payload import Part
from da3_blender.nodes import assembly, point_cloud
from da3_blender.nodes.edits import linked, replacing, transforming

OPERATORS = ("rebuild", "merge_points", "fuse", "split_by_object", "set_upright", "scale_by_distance")


@pytest.fixture
def library(empty_file, tmp_path):
    """A file with a run in it, and an empty scene."""
    addon.register()
    run = assembly.begin(bpy.context.scene, "wall")
    cloud = replace(payloads.random_cloud(400), object_id=np.arange(400, dtype=np.int32) % 3)
    camera = payloads.record(np.eye(3, 4), np.eye(3), (64, 48))
    point_cloud.run_all(assembly.batch_steps(run, 0, [Part("_Points", cloud)], [camera]))
    run.top[transforming.RUN] = "some_run"
    path = tmp_path / "library.blend"
    bpy.data.libraries.write(str(path), {run.top}, fake_user=True)
    addon.unregister()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.register()
    yield path
    addon.unregister()


def link(path):
    with bpy.data.libraries.load(str(path), link=True) as (there, here):
        here.collections = [min(there.collections, key=len)]  # the run's own: its children's begin with its name
    (top,) = here.collections
    bpy.context.scene.collection.children.link(top)
    return top


def override(path):
    top = link(path)
    made = top.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    bpy.context.scene.collection.children.unlink(top)
    return made


def local_with_linked_data(path):
    top = link(path)
    bpy.context.scene.collection.children.unlink(top)
    own = bpy.data.collections.new("mine")
    own[transforming.RUN] = "some_run"
    for obj in top.all_objects:
        own.objects.link(obj.copy())
    bpy.context.scene.collection.children.link(own)
    return own


def census(top):
    return (
        sorted((type(made).__name__, made.name, str(made.library)) for made in bpy.data.user_map()),
        sorted((obj.name, len(obj.data.vertices) if obj.type == "MESH" else 0) for obj in top.all_objects),
        [tuple(map(tuple, obj.matrix_basis)) for obj in top.all_objects],
        list(top.get(transforming.PLACE, [])),
    )


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("way", [link, override, local_with_linked_data])
def test_a_run_of_another_file_is_refused_with_the_reason_and_stays(library, way, operator):
    top = way(library)
    assert transforming.run_of(bpy.context) == top
    before = census(top)
    values = {"first": (0, 0, 0), "second": (0, 0, 1), "distance": 2.0} if operator == "scale_by_distance" else {}
    with pytest.raises(RuntimeError, match=r"poll\(\).* '.+' is (linked from 'library.blend'|a library override)"):
        getattr(bpy.ops.da3, operator)(**values)
    assert census(top) == before


def test_made_local_it_is_a_run_as_any_other(library):
    top = link(library)
    assert linked.why_not_local(top, moves=False)
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.make_local(type="ALL")
    for made in (top, *top.children_recursive):
        made.make_local()
    (top,) = bpy.context.scene.collection.children
    assert linked.why_not_local(transforming.run_of(bpy.context), moves=True) == ""
    assert bpy.ops.da3.split_by_object() == {"FINISHED"}


def test_a_persons_linked_object_in_a_run_of_ours_stops_only_what_would_move_it(library):
    top = link(library)
    bpy.context.scene.collection.children.unlink(top)
    run = assembly.begin(bpy.context.scene, "mine")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(payloads.random_cloud(9)), []))
    lamp = bpy.data.objects.new("lamp", None)
    bpy.context.scene.collection.objects.link(lamp)
    bpy.data.libraries.write(str(library.with_name("lamp.blend")), {lamp}, fake_user=True)
    bpy.data.objects.remove(lamp)
    with bpy.data.libraries.load(str(library.with_name("lamp.blend")), link=True) as (_, here):
        here.objects = ["lamp"]
    run.top.objects.link(here.objects[0])
    assert linked.why_not_local(run.top, moves=False) == ""
    assert "'lamp' is linked from 'lamp.blend'" in linked.why_not_local(run.top, moves=True)


@pytest.mark.parametrize("step", ["_link", "_keep_look"])
def test_a_failure_while_the_new_is_put_in_place_costs_nothing_of_the_old(enabled, monkeypatch, step):
    bpy.context.scene.da3.min_confidence = 0.5
    job = new_run()
    job.run()
    top = job.collection
    before = sorted((obj.name, len(obj.data.vertices)) for obj in top.all_objects if obj.type == "MESH")
    assert before

    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(replacing, step, fail)
    with pytest.raises(RuntimeError):
        bpy.ops.da3.rebuild()
    assert sorted((obj.name, len(obj.data.vertices)) for obj in top.all_objects if obj.type == "MESH") == before
    monkeypatch.undo()
