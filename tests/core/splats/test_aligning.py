"""What photographs say of cameras and depths: errors like a model's become smaller, and what nothing can better stays."""

import numpy as np
import pytest
import truth

torch = pytest.importorskip("torch")

from da3_blender.core.frames.resizing import Placement  # noqa: E402
from da3_blender.core.geometry.projection import cameras_from_blender  # noqa: E402
from da3_blender.core.monitor import Monitor  # noqa: E402
from da3_blender.core.output.blender_arrays import cameras  # noqa: E402
from da3_blender.core.prediction.batch import Batch  # noqa: E402
from da3_blender.core.prediction.prediction import Prediction  # noqa: E402
from da3_blender.core.splats import aligning, preparing  # noqa: E402
from one_thread import one_thread  # noqa: E402, F401  # a fixture
from scipy.spatial.transform import Rotation  # noqa: E402

EVERY = 4  # pixel
KEPT = slice(2, 10, 2)


@pytest.fixture
def known():
    """Four photographs of the courtyard in a quarter of their size, and what is true of them."""
    whole = truth.load("courtyard")
    lens = whole.intrinsics[KEPT].copy()
    lens[:, :2] /= EVERY
    images = whole.images[KEPT].reshape(4, 428 // EVERY, EVERY, 640 // EVERY, EVERY, 3).mean(axis=(2, 4))
    depth = whole.depth[KEPT, EVERY // 2 :: EVERY, EVERY // 2 :: EVERY]
    conf = np.where(depth > 0, 5.0, 0.0).astype(np.float32)
    return Prediction(depth.copy(), conf, whole.extrinsics[KEPT].copy(), lens, np.round(images).astype(np.uint8))


def disturbed(known):
    """Each camera turned by 0.4 degrees, the depth wrong by 2 % from one side of the picture to the other."""
    random = np.random.default_rng(0)
    turns = Rotation.from_rotvec(np.radians(0.4) * random.normal(size=(4, 3))).as_matrix()
    centres = -np.einsum("nij,ni->nj", known.extrinsics[:, :, :3], known.extrinsics[:, :, 3])
    turned = turns @ known.extrinsics[:, :, :3]
    poses = np.concatenate([turned, -(turned @ centres[:, :, None])], axis=-1)
    tilt = 1.0 + 0.02 * random.choice([-1, 1], 4)[:, None, None] * np.linspace(-1, 1, known.depth.shape[2])
    return Prediction((known.depth * tilt).astype(np.float32), known.conf.copy(), poses, known.intrinsics, known.images)


def between(poses):
    """(6, 3) radians, how each camera is turned against each other one."""
    first, second = np.triu_indices(len(poses), 1)
    return Rotation.from_matrix(poses[first][:, :, :3] @ poses[second][:, :, :3].transpose(0, 2, 1))


def wrong(prediction, known):
    """Mean error of the angles between cameras, degrees, and median error of the depths against one scale, a share."""
    angle = (between(prediction.extrinsics) * between(known.extrinsics).inv()).magnitude()
    there = known.depth > 0
    off = np.log(prediction.depth[there] / known.depth[there])
    return np.degrees(angle).mean(), np.median(np.abs(off - np.median(off)))


def test_cameras_and_depths_come_nearer_to_the_truth(known, one_thread, monkeypatch):  # noqa: F811
    monkeypatch.setattr(aligning, "SAMPLES", 400)  # a third, of small pictures
    prediction = disturbed(known)
    batch = Batch([0, 1, 2, 3], prediction)
    places = [Placement(0, 0, 160, 107, 160, 107)] * 4
    records = cameras(prediction, batch.indices, list("abcd"), [""] * 4, places)
    before = wrong(prediction, known)
    ((_, moved),) = preparing.prepared(iter([batch]), lambda _: records, Monitor(), "cpu", [])
    after = wrong(batch.prediction, known)
    assert after[0] < 0.4 * before[0] and after[1] < 0.5 * before[1], (before, after)
    seen = cameras_from_blender(np.reshape([one.camera_to_world for one in moved], (4, 4, 4)))
    np.testing.assert_allclose(seen[:, :3], batch.prediction.extrinsics, atol=1e-5)


def test_what_is_known_or_right_stays(known, one_thread, monkeypatch):  # noqa: F811
    monkeypatch.setattr(aligning, "SAMPLES", 400)
    given, true = disturbed(known), known.extrinsics.copy()
    given.cameras_known = True
    assert not aligning.align([Batch([0, 1, 2, 3], given)], Monitor(), "cpu")
    assert not aligning.align([Batch([0, 1, 2, 3], known)], Monitor(), "cpu")
    np.testing.assert_array_equal(known.extrinsics, true)
