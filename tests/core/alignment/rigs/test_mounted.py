"""Mounted cameras of a model that sees each frame by itself: one rig in all batches, nearer to the truth than each alone."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from da3_blender.core.alignment.rigs import mounted
from da3_blender.core.frames.frame import Mount
from da3_blender.core.geometry.projection import homogeneous, invert_rigid
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction

CAMERAS, MOMENTS = 3, 8


@dataclass
class Frames:
    mounted: dict = field(default_factory=dict)


def turn(angles):
    """(3, 3) of small angles about the three axes, radians."""
    x, y, z = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def pose(angles, centre):
    """(4, 4) world to camera."""
    rotation = turn(angles)
    return homogeneous(np.column_stack([rotation, -rotation @ np.asarray(centre)]))


@pytest.fixture
def truth():
    """(MOMENTS, CAMERAS, 4, 4) world to camera."""
    random = np.random.default_rng(3)
    rig = [np.eye(4), pose((0.02, 0.6, 0.0), (0.3, 0.0, -0.1)), pose((0.0, -0.5, 0.05), (-0.3, 0.02, -0.1))]
    path = [pose(0.1 * random.normal(size=3), (0.4 * k, 0.05 * k, 0.2 * np.sin(k))) for k in range(MOMENTS)]
    return np.stack([[own @ base for own in rig] for base in path])


def batch_of(poses, indices):
    """Frame 10 * camera + moment, as the inputs lie behind each other."""
    extrinsics = np.stack([poses[i % 10, i // 10][:3] for i in indices])
    depth = np.full((len(indices), 4, 6), 3.0, np.float32)
    camera = np.repeat(np.array([[5.0, 0, 3.0], [0, 5.0, 2.0], [0, 0, 1.0]])[None], len(indices), axis=0)
    return Batch(
        list(indices),
        Prediction(depth, np.full_like(depth, 2.0), extrinsics, camera, np.zeros((*depth.shape, 3), np.uint8)),
    )


def disturbed(truth, radians=0.01, shift=0.02):
    random = np.random.default_rng(5)
    return np.stack([
        [pose(radians * random.normal(size=3), shift * random.normal(size=3)) @ one for one in moment] for moment in truth
    ])  # fmt: skip


FRAMES = Frames({10 * camera + moment: Mount(camera, moment) for camera in range(CAMERAS) for moment in range(MOMENTS)})
ORDER = [10 * camera + moment for moment in range(MOMENTS) for camera in range(CAMERAS)]


def errors(truth, batches):
    """Of all cameras: (rms degrees, rms distance)."""
    angles, away = [], []
    for batch in batches:
        for i, own in zip(batch.indices, batch.prediction.extrinsics, strict=True):
            true = truth[i % 10, i // 10][:3]
            cosine = (np.trace(own[:, :3] @ true[:, :3].T) - 1.0) / 2.0
            angles.append(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
            away.append(np.linalg.norm(invert_rigid(own)[:, 3] - invert_rigid(true)[:, 3]))
    return np.sqrt(np.mean(np.square([angles, away]), axis=1))


def test_the_truth_stays_the_truth(truth):
    (batch,) = mounted.hold([batch_of(truth, ORDER)], FRAMES)
    assert np.allclose(batch.prediction.extrinsics, [truth[i % 10, i // 10][:3] for i in ORDER], atol=1e-9)


def test_all_batches_have_one_rig_even_where_a_moment_is_split(truth):
    wrong = disturbed(truth)
    cut = [ORDER[:13], ORDER[13:]]  # within a moment
    after = list(mounted.hold([batch_of(wrong, own) for own in cut], FRAMES))
    poses = {i: homogeneous(e) for b in after for i, e in zip(b.indices, b.prediction.extrinsics, strict=True)}
    for camera in (1, 2):
        relative = np.stack([poses[10 * camera + m] @ np.linalg.inv(poses[m]) for m in range(MOMENTS)])
        assert np.abs(relative - relative[0]).max() < 1e-12
    assert not any(batch.warnings for batch in after)


def test_a_rig_is_nearer_to_the_truth_than_its_cameras_alone(truth):
    wrong = disturbed(truth)
    (after,) = mounted.hold([batch_of(wrong, ORDER)], FRAMES)
    assert (errors(truth, [after]) < 0.85 * errors(truth, [batch_of(wrong, ORDER)])).all()


def test_cameras_that_turn_against_each_other_stay_as_they_are_and_it_is_said(truth):
    wrong = truth.copy()
    wrong[:, 1] = truth[[5, 2, 7, 0, 3, 6, 1, 4], 1] @ np.linalg.inv(pose((0, 0.4, 0), (0, 0, 0)))
    wrong[::2, 1] = pose((0.0, 0.8, 0.0), (0.0, 0.0, 0.0)) @ wrong[::2, 1]
    given = batch_of(wrong, ORDER)
    before = given.prediction.extrinsics.copy()
    (batch,) = mounted.hold([given], FRAMES)
    assert (batch.prediction.extrinsics == before).all() and "Mounted Together had no effect" in batch.warnings[0]


def test_frames_of_no_mounted_camera_and_what_is_no_batch_go_through(truth):
    given = batch_of(truth, [0, 1, 2])
    thing = object()
    assert list(mounted.hold([thing, given], Frames())) == [thing, given]
