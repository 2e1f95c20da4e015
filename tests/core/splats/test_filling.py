"""What has no depth is filled near the truth where planes go on, and nowhere that something else is known of it."""

import numpy as np
import pytest
import truth
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.splats.filling import GUESSED, fill
from da3_blender.core.splats.preparing import prepared

FRAMES = [2, 4, 6]
FLOOR, STATUE = np.s_[300:420, 60:160], np.s_[170:215, 285:335]  # rows and columns of the middle photograph


@pytest.fixture
def known():
    """Three photographs of the courtyard and what is true of them; the sky is known as that."""
    whole = truth.load("courtyard")
    depth = whole.depth[FRAMES].copy()
    conf = np.where(depth > 0, 5.0, 0.0).astype(np.float32)
    poses, lens = whole.extrinsics[FRAMES].copy(), whole.intrinsics[FRAMES].copy()
    return Prediction(depth, conf, poses, lens, whole.images[FRAMES].copy(), sky=depth <= 0, unfiltered=conf.copy())


def test_a_hole_in_a_floor_is_filled_by_its_plane(known):
    true = known.depth[1][FLOOR].copy()
    for array in (known.depth, known.conf, known.unfiltered):
        array[1][FLOOR] = 0.0
    kept = known.depth.copy()
    count = fill([Batch(FRAMES, known)], Monitor())
    new = known.depth != kept
    assert count == new.sum() > 0.9 * true.size and not new[[0, 2]].any()
    assert (known.conf[new] == GUESSED).all()
    off = np.abs(known.depth[1][FLOOR] / true - 1.0)[new[1][FLOOR]]
    assert np.median(off) < 0.005 and np.quantile(off, 0.95) < 0.02, np.quantile(off, [0.5, 0.95])


def test_nothing_is_put_before_what_another_frame_sees(known):
    """A hole that holds the statue's outline goes on from the statue too; beside it the others see the wall."""
    known.depth[1][STATUE] = known.conf[1][STATUE] = known.unfiltered[1][STATUE] = 0.0
    fill([Batch(FRAMES, known)], Monitor())
    true = truth.load("courtyard").depth[FRAMES[1]][STATUE]
    new = known.depth[1][STATUE] > 0
    assert new.mean() > 0.5 and (known.depth[1][STATUE] < 0.9 * true)[new].mean() < 0.005  # 0.013 without asking them


def test_a_guess_does_not_hide_what_other_frames_guess(known):
    """Nobody knows the floor in front; in the middle photograph what it goes on from leans towards the camera."""
    true, hole, lean = known.depth.copy(), np.s_[:, 330:], np.s_[1, 300:330]
    known.depth[lean] *= np.linspace(1.0, 0.8, 30)[:, None]
    for array in (known.depth, known.conf, known.unfiltered):
        array[hole] = 0.0
    fill([Batch(FRAMES, known)], Monitor())
    new = known.conf == GUESSED
    # Without asking them a third of the guesses: all in the middle photograph.
    assert new[[0, 2]].sum() > 10_000 and (known.depth < 0.75 * true)[new].mean() < 0.01


def test_what_a_filter_dropped_and_the_sky_stay_away(known):
    known.conf[1][FLOOR] = 0.0
    before = known.depth.copy(), known.conf.copy()
    assert fill([Batch(FRAMES, known)], Monitor()) == 0
    np.testing.assert_array_equal(known.depth, before[0])
    np.testing.assert_array_equal(known.conf, before[1])


def test_how_much_is_a_guess_is_said(known):
    known.cameras_known = True  # they stay where they are
    for array in (known.depth, known.conf, known.unfiltered):
        array[1][FLOOR] = 0.0
    said: list[str] = []
    list(prepared(iter([Batch(FRAMES, known)]), lambda _: [], Monitor(), "cpu", said))
    (sentence,) = said
    share = (known.conf == GUESSED).mean()
    assert f" {share:.1%} of the images' pixels" in sentence and "Min Confidence 1.1" in sentence


@pytest.mark.parametrize(("aside", "is_filled"), [(-0.9, False), (-3.0, True)])
def test_what_is_behind_a_table_does_not_hang_before_those_on_its_other_side(aside, is_filled):
    """One camera looks over the table at a wall two units away; the other looks back from beside that wall."""
    depth = np.ones((2, 60, 80), np.float32)
    depth[0, :, :26], depth[0, 20:40, 5:15] = 2.0, 0.0
    conf = np.where(depth > 0, 5.0, 0.0).astype(np.float32)
    poses = np.tile(np.eye(4)[:3], (2, 1, 1))
    poses[1, :, :3] = np.diag([-1.0, 1.0, -1.0])
    poses[1, :, 3] = -poses[1, :, :3] @ [aside, 0.0, 2.1]
    lens = np.tile([[60.0, 0.0, 40.0], [0.0, 60.0, 30.0], [0.0, 0.0, 1.0]], (2, 1, 1))
    images = np.full((*depth.shape, 3), 128, np.uint8)
    room = Prediction(depth, conf, poses, lens, images, sky=np.zeros(depth.shape, bool), unfiltered=conf.copy())
    assert fill([Batch([0, 1], room)], Monitor()) == (200 if is_filled else 0)
