"""Jobs and operators, with the real worker and stand-ins for the model."""

import os
import re
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from addon_fixtures import datablocks, event, gone, new_run, step_until
from da3_blender import addon
from da3_blender.core.errors import Cancelled, WorkerDied
from da3_blender.core.output.cameras import colmap
from da3_blender.core.settings import Choice, options
from da3_blender.operators.jobs import generation
from da3_blender.operators.jobs.job import DA3_OT_listen, JobOperator
from da3_blender.operators.state import properties

STAND_INS = Path(__file__).resolve().parents[2] / "support" / "stand_ins.py"


def pid():
    return bpy.context.window_manager.da3_session._client.pid


def test_every_setting_of_the_table_is_a_property_with_its_default_and_its_help(enabled):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    group = bpy.context.scene.da3
    for option in options():
        declared = group.bl_rna.properties[option.name]
        assert (declared.name, declared.description) == (option.label, option.help)
        value = getattr(group, option.name)
        assert value == (pytest.approx(option.default, rel=1e-6) if option.type is float else option.default), option
        if issubclass(option.type, Choice):
            assert {item.identifier for item in declared.enum_items} == {str(choice) for choice in option.type}


def test_settings_go_into_the_scene_and_come_back_unchanged(enabled):
    scene = bpy.context.scene
    properties.write(scene, properties.read(scene))
    assert properties.read(scene).model == "da3-small" and properties.read(scene).resolution == 56


def test_generate_builds_a_cloud_and_a_camera_for_each_picture(enabled):
    assert bpy.ops.da3.generate() == {"FINISHED"}
    top = bpy.context.scene.collection.children["wall"]
    assert [o.name for o in top.all_objects if o.type == "CAMERA"] == ["photo_000", "photo_001", "photo_002"]
    (cloud,) = [o for o in top.all_objects if o.type == "MESH"]
    assert len(cloud.data.vertices) == 3 * 56 * 42
    assert enabled.job is None and enabled.model == "da3-small"


def test_the_loaded_model_serves_the_next_run_until_it_is_unloaded(enabled, stand_in):
    loads = stand_in("quick")
    for _ in range(2):
        bpy.ops.da3.generate()
    assert loads.read_text().splitlines() == ["load da3-small"]
    assert bpy.ops.da3.free_model() == {"FINISHED"}
    assert not bpy.ops.da3.free_model.poll()
    bpy.ops.da3.generate()
    assert loads.read_text().splitlines() == ["load da3-small", "unload", "load da3-small"]
    assert [c.name for c in bpy.context.scene.collection.children] == ["wall", "wall.001", "wall.002"]


def test_a_killed_worker_leaves_session_and_scene_untouched_and_the_next_run_works(enabled, stand_in):
    stand_in("slow")
    before = datablocks()
    job = new_run()
    job.start()
    step_until(job, lambda: job.status.stage == "model")
    os.kill(pid(), signal.SIGKILL)
    step_until(job, lambda: job.ended, seconds=5.0)
    assert isinstance(job.error, WorkerDied) and "SIGKILL" in str(job.error)
    assert datablocks() == before and enabled.job is None
    stand_in("quick")
    enabled._client._predictor = os.environ["DA3_PREDICTOR"]
    assert bpy.ops.da3.generate() == {"FINISHED"}
    assert len(bpy.context.scene.collection.children["wall"].all_objects) == 4


def test_cancel_in_a_pass_is_back_at_once_and_leaves_nothing_but_the_loaded_model(enabled, stand_in, temp):
    loads = stand_in("slow")
    before = datablocks()
    job = new_run()
    job.start()
    step_until(job, lambda: job.status.stage == "model" and job.status.fraction > 0.2)
    worker = pid()
    started = time.perf_counter()
    job.cancel()
    assert time.perf_counter() - started < 0.05  # one tick of the interface
    while enabled._client._worker.stopping:
        assert time.perf_counter() - started < 0.3
        time.sleep(0.005)
    assert isinstance(job.error, Cancelled) and enabled.job is None
    assert datablocks() == before
    (folder,) = temp.iterdir()
    assert not list(folder.glob("job*")) and not list((folder / "temp").iterdir())
    assert (pid(), enabled.model) == (worker, "da3-small")
    again = new_run()
    again.start()
    step_until(again, lambda: again.status.stage == "model")
    again.cancel()
    assert loads.read_text().splitlines() == ["load da3-small"]


def test_cancel_while_a_batch_is_built_takes_the_half_of_it_away(enabled):
    before = datablocks()
    job = new_run()
    job.start()
    step_until(job, lambda: any(mesh.vertices for mesh in bpy.data.meshes))
    assert datablocks() != before
    job.cancel()
    assert datablocks() == before and not job.changed


def test_unregistering_in_the_middle_of_a_run_ends_the_worker(enabled, stand_in):
    stand_in("slow")
    job = new_run()
    job.start()
    step_until(job, lambda: job.status.stage == "model")
    worker = pid()
    addon.unregister()
    assert gone(worker) and job.ended
    addon.register()


@pytest.mark.parametrize(("name", "words"), [("leave", "exit code 7"), ("faulty", "KeyError")])
def test_a_failure_reaches_the_person_as_one_sentence(enabled, stand_in, name, words):
    stand_in(name)
    with pytest.raises(RuntimeError) as error:
        bpy.ops.da3.generate()
    assert words in str(error.value) and "Traceback" not in str(error.value).partition("\n")[0]
    assert words in enabled.status.outcome


def test_a_fault_while_building_becomes_a_message_and_leaves_nothing(enabled, monkeypatch):
    before = datablocks()
    monkeypatch.setattr(generation.CameraRecord, "from_json", lambda record: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        bpy.ops.da3.generate()
    assert datablocks() == before


# ------------------------------------------------------------------------------------------------- the modal way


class Window(JobOperator):
    """The operator as Blender would hold it; the module form of Blender never calls ``modal``."""

    bl_label = "Generate"

    def __init__(self, job):
        self._job = job
        self.reports = []

    def report(self, kind, message):
        self.reports.append((kind, message))


def tick_until(window, result, seconds=30.0):
    end, longest = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        started = time.perf_counter()
        answer = window.modal(bpy.context, event("TIMER"))
        longest = max(longest, time.perf_counter() - started)
        if answer == result:
            return longest
        time.sleep(0.01)
    raise AssertionError("waited for too long")


def test_ticks_of_the_timer_bring_a_run_to_its_end(enabled):
    window = Window(new_run())
    window._job.start()
    longest = tick_until(window, {"FINISHED"})
    assert longest < 0.05  # what DESIGN.md grants a tick; here 20 ms and one step of building
    assert len(bpy.context.scene.collection.children["wall"].all_objects) == 4
    ((kind, message),) = window.reports
    assert kind == {"INFO"} and re.fullmatch(r"7,056 points, 3 of 3 images, \d+ s", message)


def test_esc_ends_a_run_at_once(enabled, stand_in):
    stand_in("slow")
    window = Window(new_run())
    window._job.start()
    step_until(window._job, lambda: window.modal(bpy.context, event("TIMER")) and window._job.status.stage == "model")
    assert window.modal(bpy.context, event("ESC", "RELEASE")) == {"PASS_THROUGH"}
    assert window.modal(bpy.context, event("ESC", "PRESS")) == {"CANCELLED"}
    assert enabled.job is None and window.reports == [({"INFO"}, "Cancelled")]


def test_undo_does_not_reach_blender_while_something_is_built(enabled, stand_in):
    stand_in("slow")
    window = Window(new_run())
    window._job.start()
    undo = SimpleNamespace(type="Z", value="PRESS", ctrl=True, oskey=False)
    assert window.modal(bpy.context, undo) == {"RUNNING_MODAL"}
    assert window.modal(bpy.context, event("Z", "PRESS")) == {"PASS_THROUGH"}
    window.cancel(bpy.context)
    assert window._job.ended


def test_a_run_that_built_something_is_one_undo_step_even_when_it_is_cancelled(enabled):
    window = Window(new_run())
    window._job.start()
    step_until(window._job, lambda: window._job.changed or window._job.ended)
    if window._job.ended:
        pytest.skip("the run was over before it could be cancelled")
    assert window.modal(bpy.context, event("ESC", "PRESS")) == {"FINISHED"}
    assert len(bpy.context.scene.collection.children["wall"].all_objects) == 4  # the batch was whole


def test_only_one_job_runs_at_a_time_and_cancel_ends_it(enabled, stand_in):
    stand_in("slow")
    assert not bpy.ops.da3.cancel.poll()
    job = new_run()
    job.start()
    assert not bpy.ops.da3.generate.poll() and not bpy.ops.da3.free_model.poll()
    assert bpy.ops.da3.cancel() == {"FINISHED"}
    assert job.ended and bpy.ops.da3.generate.poll()


def test_esc_is_heard_in_other_windows_as_long_as_a_job_runs(enabled, stand_in):
    listener, passed = SimpleNamespace(), {"PASS_THROUGH"}
    hear = DA3_OT_listen.modal
    assert hear(listener, bpy.context, event("ESC", "PRESS")) == {"FINISHED", *passed}
    stand_in("slow")
    job = new_run()
    job.start()
    assert hear(listener, bpy.context, event("MOUSEMOVE")) == passed and not job.ended
    assert hear(listener, bpy.context, event("ESC", "PRESS")) == {"FINISHED"} and job.ended


@pytest.mark.parametrize("lie", ["corner_that_is_not_there", "camera_without_width", "report_without_points"])
def test_a_worker_that_lies_costs_its_run_and_never_blender(enabled, tmp_path, monkeypatch, lie):
    python = tmp_path / "python"
    script = Path(__file__).resolve().parents[2] / "support" / "liar.py"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" {lie} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("DA3_WORKER_PYTHON", str(python))
    before = datablocks()
    job = new_run()
    job.start()
    step_until(job, lambda: job.ended)
    assert isinstance(job.error, WorkerDied) and "went wrong" in str(job.error)
    assert datablocks() == before and enabled.job is None


def test_the_origin_of_cameras_on_a_map_is_kept_with_the_collection(enabled, tmp_path):
    places = np.array(
        [[431_207.0, 4_582_113.0, 300.0], [431_209.0, 4_582_113.0, 300.0], [431_207.0, 4_582_116.0, 301.0]]
    )
    views = [
        colmap.View(f"photo_{i:03d}.png", 56, 42, np.diag([50.0, 50.0, 1.0]), np.column_stack([np.eye(3), -place]))
        for i, place in enumerate(places)
    ]
    colmap.write(tmp_path / "model", views, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    settings = bpy.context.scene.da3
    settings.known_cameras, settings.known_cameras_folder = "colmap", str(tmp_path / "model")
    assert bpy.ops.da3.generate() == {"FINISHED"}
    top = bpy.context.scene.collection.children["wall"]
    assert list(top["da3_origin"]) == [431_207.0, 300.0, -4_582_113.0]
