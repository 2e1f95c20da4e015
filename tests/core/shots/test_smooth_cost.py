"""What Smooth Path costs: in reprojection error where points were followed, else in pixels that things move by."""

import re
from dataclasses import replace

import numpy as np
import payloads
import pytest
from da3_blender.core.geometry.projection import invert_rigid, project
from da3_blender.core.geometry.smoothing import exponential
from da3_blender.core.prediction.prediction import Prediction, Tracks
from da3_blender.core.settings import KnownCameras, Lens, Settings
from da3_blender.core.shots import smooth_cost
from da3_blender.core.shots.tracks import Gathered

COUNT, WIDE, HIGH = 30, 320, 240
K = np.array([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])
SMALLER = 2  # the processed image is half of the photograph


def shaken(seed=0, degrees=0.1):
    """(N, 3, 4) of a way at constant speed, and of the same with turns that tremble."""
    true = np.tile(np.eye(4)[:3], (COUNT, 1, 1))
    true[:, 0, 3] = -0.05 * np.arange(COUNT)
    turns = exponential(np.random.default_rng(seed).normal(0.0, np.radians(degrees), (COUNT, 3)))
    return true, np.concatenate([turns @ true[:, :, :3], turns @ true[:, :, 3:]], axis=2)


def gathered(found, pixels=None, points=None, distortion=(0.0, 0.0, 0.0)):
    """A run of two batches with these cameras."""
    half = np.diag([1.0 / SMALLER, 1.0 / SMALLER, 1.0]) @ K
    records = [
        replace(payloads.record(pose, half, (WIDE // SMALLER, HIGH // SMALLER), frame=k, name=f"plate_{1001 + k}"),
                photo=(WIDE, HIGH), distortion=distortion)
        for k, pose in enumerate(found)
    ]  # fmt: skip
    out = Gathered()
    for part in (range(20), range(20, COUNT)):
        tracks = None
        if pixels is not None:
            seen = np.array([(frame, row) for frame in part for row in range(len(points))])
            length = np.full(len(points), COUNT)
            tracks = Tracks(
                np.arange(len(points)), points, np.zeros(len(points)), length, seen,
                np.concatenate([pixels[frame] for frame in part]),
            )  # fmt: skip
        shape = (len(part), 8, 8)
        prediction = Prediction(
            np.full(shape, 5.0, np.float32), np.ones(shape, np.float32), found[part.start : part.stop], None,
            np.zeros((*shape, 3), np.uint8), tracks=tracks,
        )  # fmt: skip
        out.add(prediction, [records[frame] for frame in part])
    return out, records


def figures(said):
    return [float(number) for number in re.findall(r"\d+\.\d+", said)]


def test_the_error_before_and_after_is_that_of_the_points_in_the_photographs():
    true, found = shaken()
    points = np.random.default_rng(1).uniform((-1, -1, 4), (1, 1, 6), (40, 3))
    pixels = [project(points, K, pose)[0] for pose in true]
    run, _ = gathered(found, pixels, points)
    errors = run.errors(run.cameras())
    by_hand = [
        np.linalg.norm(project(points, K, pose)[0] - there, axis=1).mean()
        for pose, there in zip(found, pixels, strict=True)
    ]
    assert list(errors.values()) == pytest.approx(by_hand, abs=1e-3)
    said = smooth_cost.sentence(run, 6)
    before, after, most, still = figures(said)
    assert said.startswith("Smooth Path 6: reprojection error") and "plate_10" in said
    assert before == pytest.approx(np.median(by_hand), abs=1e-3) and most == pytest.approx(max(by_hand), abs=1e-3)
    assert after < 0.7 * before and still < most  # it was trembling, and nothing else


def test_a_lens_that_bends_is_thought_of():
    true, _ = shaken()
    points = np.random.default_rng(1).uniform((-1, -1, 4), (1, 1, 6), (40, 3))
    pixels = []
    for pose in true:
        flat = (project(points, K, pose)[0] - K[:2, 2]) / 300.0
        pixels.append(flat * (1.0 - 0.1 * (flat**2).sum(axis=1, keepdims=True)) * 300.0 + K[:2, 2])
    run, _ = gathered(true, pixels, points, (-0.1, 0.0, 0.0))
    assert max(run.errors(run.cameras()).values()) < 1e-3


def test_without_tracks_it_is_told_by_how_much_things_move():
    true, found = shaken()
    before, most = figures(smooth_cost.sentence(gathered(found)[0], 6))
    turned = 300.0 * np.radians(0.1)  # pixels that a turn of one standard deviation moves what is ahead by
    assert 0.3 * turned < before < 2.0 * turned and before < most
    still, _ = figures(smooth_cost.sentence(gathered(true)[0], 6))
    assert still < 0.01
    assert smooth_cost.sentence(gathered(found)[0], 0) == ""


def test_errors_are_those_at_the_final_place_of_a_long_way():
    true, _ = shaken()
    points = np.random.default_rng(1).uniform((-1, -1, 4), (1, 1, 6), (40, 3))
    run, _ = gathered(true, [project(points, K, pose)[0] for pose in true], points)
    move = np.diag([2.0, 2.0, 2.0, 1.0])
    move[:3, 3] = 1.0, 2.0, 3.0
    moves = [np.eye(4), move]
    cameras = run.cameras(moves)
    assert max(run.errors(cameras, moves).values()) < 1e-3
    centre = invert_rigid(true[25])[:, 3]
    assert np.reshape(cameras[25].camera_to_world, (4, 4))[:3, 3] == pytest.approx(
        2.0 * np.array([centre[0], centre[2], -centre[1]]) + [1.0, 2.0, 3.0]
    )


@pytest.mark.parametrize(
    ("changes", "reach"),
    [
        ({}, 7),
        ({"animate_sequence": False}, 0),
        ({"lens": Lens.PER_FRAME}, 0),
        ({"known_cameras": KnownCameras.FILE}, 0),
    ],
)
def test_only_a_moving_camera_with_one_lens_is_smoothed(changes, reach):
    settings = {"smooth_path": 7, "animate_sequence": True, "lens": Lens.SHOT, **changes}
    assert Settings(**settings).path_reach == reach
