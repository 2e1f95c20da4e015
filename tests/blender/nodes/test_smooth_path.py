"""Smooth Path in a scene: the moving camera is smooth in every batch, single cameras stay, and the report says what it costs."""

from dataclasses import replace

import numpy as np
import payloads
import pytest
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
