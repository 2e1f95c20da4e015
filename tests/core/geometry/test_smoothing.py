"""A smoothed way: what is smooth stays, what trembles comes nearer to the truth, and missing frames are no steps."""

import numpy as np
import pytest
from da3_blender.core.geometry.smoothing import exponential, logarithm, smooth_path


def way(frames):
    """(N, 4, 4) of a camera that accelerates along x, climbs, and turns at a constant speed."""
    t = np.asarray(frames, float)
    out = np.tile(np.eye(4), (len(t), 1, 1))
    out[:, :3, :3] = exponential(t[:, None] * np.array([0.0, 0.02, 0.01]))
    out[:, :3, 3] = np.stack([0.01 * t**2, 0.1 * t, np.full(len(t), 7.0)], axis=1)
    return out


def off(one, other):
    """Root mean square of places and of angles (radians)."""
    turns = logarithm(np.swapaxes(one[:, :3, :3], 1, 2) @ other[:, :3, :3])
    return tuple(float(np.sqrt((d**2).sum(axis=1).mean())) for d in (one[:, :3, 3] - other[:, :3, 3], turns))


def test_constant_speed_and_acceleration_stay_as_they_are_with_frames_missing():
    frames = np.array([k for k in range(1001, 1041) if k % 7])
    true = way(frames - 1001)
    smooth = smooth_path(true, frames, 5)
    assert np.abs(smooth - true).max() < 1e-9


def test_trembling_comes_nearer_to_the_truth_and_poses_stay_rigid():
    random, frames = np.random.default_rng(0), np.arange(60)
    true = way(frames)
    shaken = true.copy()
    shaken[:, :3, 3] += random.normal(0.0, 0.05, (60, 3))
    shaken[:, :3, :3] = true[:, :3, :3] @ exponential(random.normal(0.0, 0.01, (60, 3)))
    smooth = smooth_path(shaken, frames, 6)
    for after, before in zip(off(smooth, true), off(shaken, true), strict=True):
        assert after < 0.6 * before  # a parabola's three numbers out of thirteen weighted poses
    turns = smooth[:, :3, :3]
    assert turns @ np.swapaxes(turns, 1, 2) == pytest.approx(np.tile(np.eye(3), (60, 1, 1)))


def test_few_poses_and_no_reach_change_nothing():
    shaken = way(range(3))
    assert np.array_equal(smooth_path(shaken, np.arange(3), 5), shaken)
    apart = way(range(6))
    apart[:, :3, 3] += np.random.default_rng(1).normal(size=(6, 3))
    assert np.array_equal(smooth_path(apart, np.array([0, 1, 2, 200, 201, 202]), 5), apart)  # three neighbours at most
    assert np.array_equal(smooth_path(apart, np.arange(6), 0), apart)
    every_fifth = smooth_path(apart, 5 * np.arange(6), 5)
    assert every_fifth == pytest.approx(smooth_path(apart, np.arange(6), 5)) and not np.array_equal(every_fifth, apart)


def test_a_rotation_vector_and_back():
    vectors = np.array([[0.0, 0.0, 0.0], [1e-9, 0.0, 0.0], [0.3, -0.2, 0.1], [2.0, 1.0, -1.0]])
    assert logarithm(exponential(vectors)) == pytest.approx(vectors, abs=1e-12)
