"""Smooth Path in a scene: the moving camera is smooth in every batch, single cameras stay, and the report says what it costs."""

import re
from dataclasses import replace

import bpy
import numpy as np
import payloads
import pictures
import pytest
from addon_fixtures import new_run
from da3_blender.core.output.calibration import smoothed
from da3_blender.nodes import animation, assembly, point_cloud
from da3_blender.nodes.animation import Play

REACH = 3


def records(count=12):
    random, found = np.random.default_rng(0), payloads.random_records(count)
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, 3] = np.arange(count)[:, None] * (1.0, 0.5, 0.0) + random.normal(0.0, 0.1, (count, 3))
    return [
        replace(one, name=f"plate_{1001 + k}", camera_to_world=tuple(matrix.ravel().tolist()))
        for k, (one, matrix) in enumerate(zip(found, matrices, strict=True))
    ]


def test_the_moving_camera_is_smooth_and_single_ones_stay(scene):
    found = records()
    run = assembly.begin(scene, "shot", Play(True, True, REACH))
    for number, part in enumerate((found[:7], found[7:])):
        cloud = payloads.parts(payloads.random_cloud(20))
        point_cloud.run_all(assembly.batch_steps(run, number, cloud, part))
    assembly.end(run)
    wanted = np.array([one.camera_to_world for one in smoothed(found, range(12), REACH)]).reshape(-1, 4, 4)
    moving, matrices, frames = animation.frame_by_frame([run.camera])
    assert len(moving) == 12 and frames.tolist() == list(range(12))
    assert matrices == pytest.approx(wanted, abs=1e-5)
    as_found = np.array([one.camera_to_world for one in found]).reshape(-1, 4, 4)
    assert np.abs(matrices - as_found).max() > 0.03
    still = {obj["frame"]: obj for obj in run.top.all_objects if obj.type == "CAMERA" and "frame" in obj}
    assert list(still[5].location) == pytest.approx(as_found[5, :3, 3].tolist(), abs=1e-5)


def test_the_report_says_what_it_costs_once(scene):
    run = assembly.begin(scene, "shot", Play(True))
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(payloads.random_cloud(20)), records()))
    for sentence in ("Smooth Path 3: a", "Smooth Path 5: b"):
        assembly.tell_path(run.top, sentence)
    report = run.top[assembly.REPORT].as_string()
    assert report.count("Smooth Path") == 1 and "Smooth Path 5: b" in report and "fov_h_deg" in report
    assembly.tell_path(run.top, "")
    assert "Smooth Path" not in run.top[assembly.REPORT].as_string()


@pytest.fixture
def trembling(enabled, stand_in, tmp_path):
    """A run of 12 pictures in the scene, whose camera should go along a line and trembles; without Smooth Path."""
    loads = stand_in("shaken")
    settings = bpy.context.scene.da3
    settings.input = str(pictures.write(tmp_path / "shot", count=12))
    settings.animate_sequence, settings.lens = True, "shot"
    job = new_run()
    job.run()
    return job.collection, settings, loads


def way(run):
    """(N, 4, 4) of the moving camera, and what the report says of its smoothing: four figures, or none."""
    (camera,) = (obj for obj in run.all_objects if obj.name.startswith("DA3_Camera"))
    said = [line for line in run[assembly.REPORT].as_string().splitlines() if "Smooth Path" in line]
    assert len(said) <= 1
    return animation.frame_by_frame([camera])[1], [float(number) for number in re.findall(r"\d+\.\d+", "".join(said))]


def test_rebuild_smooths_a_run_and_takes_it_back_without_the_model(trembling):
    run, settings, loads = trembling
    found, told = way(run)
    true = np.stack([0.1 * np.arange(12), np.zeros(12), np.zeros(12)], axis=1)
    assert not told and np.abs(found[:, :3, 3] - true).max() > 0.03
    before = loads.read_text()
    settings.smooth_path = 5
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    smooth, (as_found, now, most, still) = way(run)
    assert np.linalg.norm(smooth[:, :3, 3] - true) < 0.75 * np.linalg.norm(found[:, :3, 3] - true)
    assert now < 0.75 * as_found and still < most
    assert loads.read_text() == before
    job = new_run()  # what Generate makes with the same setting
    job.run()
    again, figures = way(job.collection)
    assert again == pytest.approx(smooth, abs=1e-6) and figures == [as_found, now, most, still]
    settings.smooth_path = 0
    bpy.context.view_layer.objects.active = next(obj for obj in run.all_objects if obj.type == "MESH")
    assert bpy.ops.da3.rebuild() == {"FINISHED"}
    back, told = way(run)
    assert not told and back == pytest.approx(found, abs=1e-6)
