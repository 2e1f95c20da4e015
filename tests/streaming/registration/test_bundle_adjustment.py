"""A chunk's cameras and depths become more exact by its pictures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import truth
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.streaming.registration import feature_tracks
from da3_blender.streaming.registration.bundle_adjustment import adjust
from disturbed_predictor import Disturbance, DisturbedPredictor

FRAMES = list(range(30, 42))


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk")


@pytest.fixture(scope="module")
def disturbed(walk):
    return DisturbedPredictor(walk).predict(walk.images[FRAMES], FRAMES, None)


def turned(extrinsics, walk, frames, pairs):
    """Degrees that cameras of pairs of rows are turned wrongly to each other, root mean square."""
    own, true = extrinsics[:, :, :3], walk.extrinsics[frames][:, :, :3]
    off = [cv2.Rodrigues((own[i] @ own[j].T) @ (true[i] @ true[j].T).T)[0] for i, j in pairs]
    return np.degrees(np.sqrt(np.mean(np.square(off)) * 3))


def test_corners_are_found_where_they_truly_are(walk, disturbed):
    ties = feature_tracks.follow(
        disturbed, invert_rigid(disturbed.extrinsics), feature_tracks.pairs_ahead(range(len(FRAMES)))
    )
    frames, k = np.array(FRAMES), walk.intrinsics[0]
    image = ties.points @ k.T
    pixels = image[:, :2] / image[:, 2:]
    u, v = pixels.astype(int).T
    depth = walk.depth[frames[ties.source], v, u]
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(k).T
    there, here = walk.extrinsics[frames[ties.target]], walk.camera_to_world[frames[ties.source]]
    world = np.einsum("mij,mj->mi", here[:, :3, :3], rays * depth[:, None]) + here[:, :3, 3]
    seen = np.einsum("mij,mj->mi", there[:, :, :3], world) + there[:, :, 3]
    off = (ties.rays - seen[:, :2] / seen[:, 2:]) * k[0, 0]
    # A window that is only shifted, not brought into the other view, is 0.5 pixels off and more over 7 frames.
    assert np.median(np.abs(off)) < 0.2
    assert np.abs(np.median(off, axis=0)).max() < 0.05


def test_cameras_are_turned_right_to_each_other(walk, disturbed):
    pairs = [(i, i + 5) for i in range(len(FRAMES) - 5)]
    before = turned(disturbed.extrinsics, walk, FRAMES, pairs)
    # 0.3 degrees about three axes in both cameras make 0.7; the pictures alone know it to a tenth of a degree.
    assert turned(adjust(disturbed).extrinsics, walk, FRAMES, pairs) < 0.3 * before


def test_frames_that_are_all_too_far_or_too_near_are_seen(walk):
    predictor = DisturbedPredictor(walk, disturbance=Disturbance(depth_error=0.0))
    prediction = predictor.predict(walk.images[FRAMES], FRAMES, None)
    wrong = np.exp(0.03 * np.random.default_rng(0).normal(size=len(FRAMES)))
    prediction.depth *= wrong[:, None, None].astype(np.float32)
    left = np.log(wrong * adjust(prediction).factors)
    assert left.std() < 0.5 * np.log(wrong).std()


def test_both_sides_of_a_joint_pass_are_tied_to_each_other(walk):
    centres, views = walk.camera_to_world[:, :3, 3], walk.camera_to_world[:, :3, 2]
    near = np.linalg.norm(centres[:, None] - centres, axis=2) + 3.0 * (1.0 - views @ views.T)
    near[np.abs(np.subtract.outer(np.arange(100), np.arange(100))) < 60] = np.inf
    a, b = np.unravel_index(near.argmin(), near.shape)
    sides = [list(range(s := int(np.clip(f - 4, 0, 92)), s + 8)) for f in sorted((a, b))]
    frames = sides[0] + sides[1]
    joint = DisturbedPredictor(walk).predict(walk.images[frames], frames, None)
    pairs = [(i, j) for i in range(8) for j in range(8, 16)]
    before = turned(joint.extrinsics, walk, frames, pairs)
    assert turned(adjust(joint, 8).extrinsics, walk, frames, pairs) < 0.5 * before


def test_pictures_without_corners_leave_all_as_it_was(disturbed):
    plain = replace(disturbed, images=np.full_like(disturbed.images, 90))
    adjusted = adjust(plain)
    np.testing.assert_array_equal(adjusted.extrinsics, disturbed.extrinsics)
    np.testing.assert_array_equal(adjusted.factors, 1.0)
