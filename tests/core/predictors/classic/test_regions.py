"""Planes that are continued within regions of one colour, and who has to agree."""

from __future__ import annotations

import numpy as np
import pytest
from da3_blender.core.predictors.classic.stereo.consistency import unknown_elsewhere
from da3_blender.core.predictors.classic.stereo.regions import planes, regions

SIZE = (60, 80)
V, U = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
HALVES = (U >= 40).astype(int)
PLANE = (0.5 + 0.002 * U + 0.001 * V).astype(np.float32)


def test_regions_follow_edges_of_colour_and_are_large_where_there_are_none():
    noise = np.random.default_rng(0).integers(-2, 3, (*SIZE, 3))
    image = np.where(HALVES[..., None] == 0, (60, 120, 60), (180, 170, 160)) + noise
    labels = regions(image.astype(np.uint8))
    left, right = labels[:, :38], labels[:, 42:]
    assert not np.intersect1d(left, right).size
    for half in (left, right):
        assert np.bincount(half.ravel()).max() > 0.9 * half.size


def test_a_region_is_filled_by_the_plane_of_its_own_sure_pixels_only():
    inverse = np.where(HALVES == 0, PLANE, np.float32(0.2))
    unknown = (V >= 20) & (V < 40)
    filled = planes(HALVES, np.where(unknown, np.float32(0.0), inverse), ~unknown, unknown)
    assert (filled[unknown] > 0).all() and not filled[~unknown].any()
    # The plane is exact; what differs is the rounding of float32.
    assert filled[unknown] == pytest.approx(inverse[unknown], rel=1e-5)


def test_a_few_wrong_pixels_do_not_move_the_plane_and_many_leave_it_unfilled():
    random = np.random.default_rng(0)
    unknown = (V >= 20) & (V < 40)
    for share, is_filled in ((0.1, True), (0.4, False)):
        wrong = random.uniform(size=SIZE) < share
        inverse = np.where(wrong, PLANE * random.uniform(1.1, 2.0, SIZE), PLANE).astype(np.float32)
        filled = planes(np.zeros(SIZE, int), inverse, ~unknown, unknown)
        assert (filled[unknown] > 0).all() == is_filled == (filled[unknown] > 0).any()
        if is_filled:
            assert filled[unknown] == pytest.approx(PLANE[unknown], rel=1e-4)


def test_a_plane_is_not_believed_far_from_what_is_sure():
    sure = U < 10
    filled = planes(np.zeros(SIZE, int), PLANE, sure, ~sure)
    assert (filled[:, 10:14] > 0).all() and not filled[:, 60:].any()


@pytest.fixture
def pair():
    """Two cameras side by side before a wall 4 away that neither knows; the second sees it 10 pixels to the left."""
    intrinsics = np.stack([np.array([[40.0, 0.0, 40.0], [0.0, 40.0, 30.0], [0.0, 0.0, 1.0]])] * 2)
    extrinsics = np.stack([np.eye(4)[:3]] * 2)
    extrinsics[1, 0, 3] = -1.0
    wall = np.zeros((2, *SIZE), bool)
    nothing = np.zeros((2, *SIZE), np.float32)
    return {"depth": nothing, "sure": nothing, "wall": wall, "colour": [np.full((*SIZE, 3), 120, np.float32)] * 2,
            "intrinsics": intrinsics, "extrinsics": extrinsics}  # fmt: skip


def agreed(pair, **changed):
    own = np.where(pair["depth"][0] > 0.0, np.float32(0.0), np.float32(4.0))
    return unknown_elsewhere(**{**pair, **changed}, view=0, others=[1], own=own)


def test_a_place_counts_where_another_view_shows_the_same_colour_and_knows_nothing_either(pair):
    found = agreed(pair)
    assert found[:, 11:].all() and not found[:, :9].any()  # the rest is outside of its picture


def test_a_place_that_the_other_view_knows_does_not_count_for_it_sees_what_this_one_does_not(pair):
    known = pair["depth"].copy()
    known[1, :, 20:30] = 4.0
    found = agreed(pair, depth=known)
    assert not found[:, 31:39].any() and found[:, 42:].all()


def test_another_colour_or_the_sky_in_the_other_view_does_not_count(pair):
    other = pair["colour"][1].copy()
    other[:, 20:30] = 160
    assert not agreed(pair, colour=[pair["colour"][0], other])[:, 32:38].any()
    sky = pair["wall"].copy()
    sky[1, :, 20:30] = True
    assert not agreed(pair, wall=sky)[:, 31:39].any()


def test_what_another_view_sees_through_does_not_count(pair):
    sure = pair["sure"].copy()
    sure[1, :, 20:30] = 5.0
    assert not agreed(pair, sure=sure)[:, 31:39].any()


def test_another_exposure_is_the_same_colour(pair):
    darker = [pair["colour"][0], 0.6 * pair["colour"][1]]
    assert not agreed(pair, colour=darker).any()
    known = pair["depth"].copy()
    known[:, :40] = 4.0  # by which the exposures are compared
    assert agreed(pair | {"depth": known}, colour=darker)[40:, 11:].all()
