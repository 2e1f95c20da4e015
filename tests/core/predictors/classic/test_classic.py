"""Dense depth of ``classic`` on a synthetic room, and what the predictor does with what it cannot place."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence

import classic_room
import cv2
import numpy as np
import pytest
from da3_blender.core.errors import Cancelled
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction.prediction import Cameras, Prediction
from da3_blender.core.predictors.classic import ClassicPredictor
from da3_blender.core.predictors.classic.stereo.consistency import check
from da3_blender.core.predictors.classic.stereo.depths import GUESSED, OF_A_REGION, Scene, adopt, confirm, sweep_all
from da3_blender.core.predictors.classic.stereo.filling import SPREAD, fill
from da3_blender.core.predictors.classic.stereo.plane_sweep import FEW, mean_of_better_half
from da3_blender.core.predictors.classic.stereo.semi_global import aggregate, best_plane
from da3_blender.core.predictors.classic.stereo.smoothing import smooth
from da3_blender.core.predictors.classic.stereo.view_selection import View
from da3_blender.core.settings import Settings

FOCAL = 280.0
SMALL = Settings(process_resolution=280)


@pytest.fixture(scope="module")
def room() -> classic_room.Room:
    """Five views, at the processed size already, so that true depth compares pixel by pixel."""
    return classic_room.render(classic_room.arc(5), (280, 210), FOCAL)


@pytest.fixture(scope="module")
def run_with_a_stray(room) -> tuple[Prediction, list[str]]:
    stray = np.random.default_rng(1).integers(0, 255, (210, 280, 3), np.uint8)
    images = [*room.images[:4], stray, room.images[4]]
    predictor = ClassicPredictor([FOCAL] * 9, Monitor())
    return predictor.predict(images, [0, 1, 2, 3, 7, 8], SMALL), list(predictor.warnings)


@pytest.fixture(scope="module")
def predicted(run_with_a_stray) -> Prediction:
    return run_with_a_stray[0]


PLACED = [0, 1, 2, 3, 5]


def relative_error(prediction: Prediction, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors where confidence is kept, after one global scale, and the mask of what is kept."""
    keep = prediction.conf > 0
    scale = np.median(depth[keep] / prediction.depth[keep])
    return np.abs(prediction.depth[keep] * scale / depth[keep] - 1.0), keep


def placed(prediction: Prediction) -> Prediction:
    return Prediction(prediction.depth[PLACED], prediction.conf[PLACED], None, None, prediction.images[PLACED])


def test_most_of_a_textured_room_is_kept_and_right(room, predicted):
    error, keep = relative_error(placed(predicted), room.depth)
    assert np.median(error) < 0.01  # a fifth of a pixel at these baselines
    assert (error < 0.05).mean() > 0.97
    assert keep.mean() > 0.6  # the outer views see places that no two others do


def test_depth_and_confidence_are_zero_together_and_confidence_is_in_da3s_range(predicted):
    kept = predicted.conf > 0
    assert np.array_equal(kept, predicted.depth > 0)
    assert predicted.conf[kept].min() >= 1.0 and predicted.conf.max() <= 10.0
    assert predicted.depth.dtype == predicted.conf.dtype == np.float32
    assert predicted.extrinsics.dtype == predicted.intrinsics.dtype == np.float64


def test_what_is_only_continued_is_right_too_in_a_room_of_slanted_walls(room, predicted):
    some = placed(predicted)
    scale = np.median(room.depth[some.conf > 2] / some.depth[some.conf > 2])
    for guessed in (some.conf == np.float32(OF_A_REGION), (some.conf > 0) & (some.conf < GUESSED)):
        error = np.abs(some.depth[guessed] * scale / room.depth[guessed] - 1.0)
        assert guessed.mean() > 0.001
        assert np.median(error) < 0.01 and (error < 0.05).mean() > 0.95  # what the project claims of filled pixels


def test_confidence_knows_where_depth_is_good(room, predicted):
    some = placed(predicted)
    error, keep = relative_error(some, room.depth)
    sure = some.conf[keep] > np.median(some.conf[keep])
    assert np.quantile(error[sure], 0.95) < np.quantile(error[~sure], 0.95)


def test_an_image_that_cannot_be_placed_is_named_and_has_no_confidence(run_with_a_stray):
    predicted, warnings = run_with_a_stray
    assert not predicted.conf[4].any() and not predicted.depth[4].any()
    assert np.isfinite(predicted.extrinsics[4]).all()
    (warning,) = warnings
    assert "1 of 6 images (frame 7)" in warning


def test_known_cameras_give_depth_in_their_own_unit_from_two_images(room):
    pair = [1, 3]
    known = Cameras(room.extrinsics[pair], room.intrinsics[pair])
    result = ClassicPredictor([None, None], Monitor()).predict([room.images[i] for i in pair], [0, 1], SMALL, known)
    assert np.array_equal(result.extrinsics, room.extrinsics[pair])
    keep = result.conf > 0
    error = np.abs(result.depth / room.depth[pair] - 1.0)[keep]
    assert keep.mean() > 0.4  # of two views much is hidden or outside in the other
    assert np.median(error) < 0.01


def test_the_same_images_give_the_same_depth_on_any_number_of_threads(room):
    known = Cameras(room.extrinsics[:3], room.intrinsics[:3])
    threads = cv2.getNumThreads()
    results = []
    try:
        for count in (1, 3):
            cv2.setNumThreads(count)
            results.append(ClassicPredictor([None] * 3, Monitor()).predict(room.images[:3], [0, 1, 2], SMALL, known))
            assert cv2.getNumThreads() == count
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(results[0].depth, results[1].depth)
    assert np.array_equal(results[0].conf, results[1].conf)


def test_originals_are_asked_for_one_after_another_and_let_go(room):
    """300 photographs of 12 megapixels are 11 GB."""
    asked, held = [], []

    class Originals(Sequence):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> np.ndarray:
            held.append(sum(one() is not None for one in asked))
            image = room.images[range(4)[i]].copy()
            asked.append(weakref.ref(image))
            return image

    known = Cameras(room.extrinsics[:4], room.intrinsics[:4])
    half = Settings(process_resolution=140)
    result = ClassicPredictor([FOCAL] * 4, Monitor()).predict(Originals(), range(4), half, known)
    assert (result.conf > 0).any(axis=(1, 2)).all()
    assert max(held) <= 1  # the one before, which a loop's variable still has


def test_images_of_two_sizes_share_a_canvas_and_the_border_has_no_depth(room):
    images = [room.images[0], room.images[1], room.images[2][:, 28:252], room.images[3]]
    result = ClassicPredictor([FOCAL] * 4, Monitor()).predict(images, range(4), Settings(process_resolution=210))
    _, height, width = result.depth.shape
    assert result.images.shape == (4, height, width, 3)
    black = (result.images == 0).all(axis=-1)
    assert black.any() and not result.conf[black].any()


def test_cancel_in_the_middle_of_the_depth_is_heard_at_once(room):
    asked = threading.Event()
    moment = []

    def stop_at_depth(stage: str, fraction: float) -> None:
        if stage == "depth" and fraction > 0.0 and not asked.is_set():
            asked.set()
            moment.append(time.perf_counter())

    threads = threading.active_count()
    with pytest.raises(Cancelled):
        known = Cameras(room.extrinsics, room.intrinsics)
        monitor = Monitor(stop_at_depth, asked.is_set)
        ClassicPredictor([None] * 5, monitor).predict(room.images, range(5), SMALL, known)
    assert time.perf_counter() - moment[0] < 0.3  # the project's bound for cancelling
    assert threading.active_count() == threads


def test_a_pixel_is_judged_by_the_better_half_of_the_views_that_see_it_and_less_by_few():
    def judged(scores, seen):
        one = [np.full((1, 1), score, np.float32) for score in scores]
        return mean_of_better_half(one, np.full((1, 1), seen, np.int8)).item()

    assert judged([0.9, 0.1, 0.5, -1.0, -1.0], 3) == pytest.approx(0.7 * 3 / (3 + FEW))
    assert judged([0.9, -1.0, -1.0], 1) < judged([0.9, 0.9, 0.9], 3)
    assert judged([-1.0] * 5, 0) == 0.0


def test_semi_global_matching_carries_a_surface_across_a_place_without_texture():
    costs = np.full((16, 20, 30), 800, np.int16)
    costs[5] = 0
    costs[:, 8:12, 10:20] = 800  # says nothing
    position = best_plane(aggregate(costs, np.zeros((20, 30), np.float32), Monitor()))
    assert np.abs(position - 5.0).max() < 0.5


def test_smoothing_leaves_planes_and_edges_alone():
    v, u = np.mgrid[0:40, 0:60].astype(np.float32)
    plane = 0.3 + 0.01 * u + 0.02 * v
    surface = np.where(u < 30, plane, plane + 2.0).astype(np.float32)
    inner = (slice(5, -5), slice(5, -5))
    # Rounding of float32 over windows of 25 pixels.
    assert np.abs(smooth(surface, 0.1) - surface)[inner].max() < 1e-5


def test_a_plane_is_filled_between_sure_pixels_and_not_across_an_edge_of_colour():
    v, u = np.mgrid[0:60, 0:80].astype(np.float32)
    inverse = np.where(u < 40, 0.5 + 0.002 * u + 0.001 * v, 0.2).astype(np.float32)
    colour = np.repeat(np.where(u < 40, 0.2, 0.8).astype(np.float32)[..., None], 3, axis=-1)
    sure = np.ones((60, 80), np.float32)
    sure[20:40, 20:60] = 0.0
    nothing = np.zeros((60, 80), bool)
    value, deviation = fill(np.where(sure > 0, inverse, 0), sure, inverse, nothing, colour, nothing)
    hole = (sure == 0) & (np.abs(u - 39.5) > 1)
    assert (value[hole] > 0).mean() > 0.95 and deviation[value > 0].max() <= SPREAD
    filled = hole & (value > 0)
    assert (np.abs(value / inverse - 1.0)[filled] < 0.01).mean() > 0.99


def test_what_the_own_sweep_contradicts_is_not_filled():
    flat = np.full((40, 40), 0.5, np.float32)
    sure = np.ones((40, 40), np.float32)
    sure[15:25, 15:25] = 0.0
    colour, nothing = np.full((40, 40, 3), 0.5, np.float32), np.zeros((40, 40), bool)
    value, _ = fill(flat * sure, sure, np.where(sure > 0, flat, 0.7).astype(np.float32), nothing, colour, nothing)
    assert not value[sure == 0].any()
    value, _ = fill(flat * sure, sure, np.where(sure > 0, flat, 0.7).astype(np.float32), sure == 0, colour, nothing)
    assert (value[sure == 0] > 0).all()  # where no match means anything, what is around decides


def test_a_wall_beyond_all_sparse_points_is_found_where_the_views_agree():
    """A table has the points, the room behind it has none: three views of a wall at twice the farthest depth that is known."""
    size, wall, noise = (60, 80), 2.0, np.random.default_rng(0).normal(0.0, 1.0, (60, 140)).astype(np.float32)
    texture = np.clip(0.5 + 0.4 * cv2.GaussianBlur(noise, (0, 0), 1.5) / 0.2, 0.0, 1.0)
    gray = np.stack([texture[:, 20 + 10 * i : 100 + 10 * i] for i in range(3)])
    intrinsics = np.stack([np.array([[100.0, 0.0, 40.0], [0.0, 100.0, 30.0], [0.0, 0.0, 1.0]])] * 3)
    extrinsics = np.stack([np.concatenate([np.eye(3), [[-0.2 * i], [0.0], [0.0]]], axis=1) for i in range(3)])
    views = [View(i, [j for j in (1, 0, 2) if j != i], 0.5, 1.0) for i in range(3)]
    canvas = np.repeat((255.0 * gray)[..., None], 3, axis=-1).astype(np.uint8)
    scene = Scene(canvas, np.ones((3, *size), bool), gray, intrinsics, extrinsics, views, Monitor())
    depth, conf = confirm(scene, adopt(scene, sweep_all(scene))[0])
    kept = conf[1] > 0.0
    assert kept[:, 15:65].mean() > 0.9
    assert not conf[1][:, :5].any()  # the right-hand view shows it no more: one alone may agree by chance
    assert np.median(np.abs(depth[1][kept] / wall - 1.0)) < 0.01  # a tenth of a pixel


def test_what_lies_beyond_the_known_depths_contradicts_nothing_nearer():
    intrinsics, extrinsics = (
        np.stack([np.array([[9.0, 0, 4], [0, 9.0, 4], [0, 0, 1]])] * 2),
        np.stack([np.eye(4)[:3]] * 2),
    )
    extrinsics[1, 0, 3] = -0.1
    depth = np.stack([np.full((8, 8), z, np.float32) for z in (1.0, 3.0)])  # the other view looks through
    assert check(depth, intrinsics, extrinsics, 0, [1]).against[2:6, 2:6].all()
    assert not check(depth, intrinsics, extrinsics, 0, [1], heard={1: 2.0}).against.any()
