"""The plane that everything stands on, and how its colours are compared."""

from __future__ import annotations

import numpy as np
import pytest
from da3_blender.core.predictors.classic.stereo.consistency import unknown_elsewhere
from da3_blender.core.predictors.classic.stereo.ground.plane import Plane, Points, find, sampled

# Cameras beside each other that look along z, y down; the ground lies 1.5 below them.
CAMERAS = np.stack([np.concatenate([np.eye(3), [[-x], [0.0], [0.0]]], axis=1) for x in (-0.5, 0.0, 0.5)])
INTRINSICS = np.array([[40.0, 0.0, 40.0], [0.0, 40.0, 30.0], [0.0, 0.0, 1.0]])
BELOW = 1.5


def scattered(count: int, low: tuple[float, ...], high: tuple[float, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (count, 3))


def points(ground: int, lower: int = 0) -> Points:
    """A thousand points of things above the ground, of the ground, with noise, and some below it."""
    floor = scattered(ground, (-3.0, BELOW, 2.0), (3.0, BELOW, 6.0), 0)
    floor[:, 1] += np.random.default_rng(1).normal(0.0, 0.003, ground)
    things = scattered(1000, (-3.0, -1.0, 2.0), (3.0, BELOW, 6.0), 2)
    cellar = scattered(lower, (-3.0, BELOW + 0.5, 2.0), (3.0, BELOW + 1.0, 6.0), 3)
    at = np.concatenate([floor, things, cellar])
    return Points(at, at[:, 2])


def test_the_ground_is_found_among_other_things():
    found = find(points(300), CAMERAS)
    assert found is not None
    # 300 points with 3 mm of noise fix the slope to some 0.1 mm a unit.
    assert found.normal == pytest.approx([0.0, -1.0, 0.0], abs=2e-3)
    assert found.offset == pytest.approx(BELOW, abs=0.01)


def test_a_plane_with_something_below_it_is_no_ground_and_few_points_are_none():
    assert find(points(300, lower=60), CAMERAS) is None
    assert find(points(20), CAMERAS) is None


def test_depth_of_the_ground_is_that_of_the_points_on_it():
    plane = Plane(np.array([0.0, -1.0, 0.0]), BELOW)
    inverse = plane.inverse_depth(INTRINSICS, CAMERAS[2], (60, 80))
    assert not inverse[:30].any()  # above the horizon
    depth = np.where(inverse > 0.0, 1.0 / np.maximum(inverse, 1e-9), 0.0)[None].astype(np.float32)
    some = sampled(depth, depth > 0.0, INTRINSICS[None], CAMERAS[2:])
    # Depths go up to 120 here, in float32.
    assert some.at[:, 1] == pytest.approx(np.full(len(some.at), BELOW), abs=1e-4)


def test_stray_light_and_another_exposure_are_the_same_colours_of_one_surface():
    v, u = np.mgrid[0:60, 0:80]
    lawn = np.where((u // 10 + v // 10) % 2 == 0, 60.0, 140.0)[..., None] * np.ones(3)
    shifted = np.roll(lawn, -10, axis=1)  # 4 away, a camera 1 to the right sees it 10 pixels to the left
    intrinsics, extrinsics = np.stack([INTRINSICS] * 2), np.stack([np.eye(4)[:3]] * 2)
    extrinsics[1, 0, 3] = -1.0
    nothing = np.zeros((2, 60, 80), np.float32)
    own = np.full((60, 80), 4.0, np.float32)

    def share(other: np.ndarray, one_surface: bool) -> float:
        colour = [lawn.astype(np.float32), other.astype(np.float32)]
        found = unknown_elsewhere(
            nothing, nothing, nothing > 0.0, colour, intrinsics, extrinsics, 0, [1], own, one_surface
        )
        return float(found[:, 11:].mean())

    hazy = 0.7 * shifted + 60.0
    assert share(hazy, one_surface=False) < 0.6 and share(hazy, one_surface=True) == 1.0
    assert share(np.roll(hazy, 10, axis=1), one_surface=True) == 0.0  # the lawn and the path in each other's place
