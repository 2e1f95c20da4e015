"""One pixel convention, and nothing lost on the way to Blender's axes."""

import numpy as np
import pytest
from da3_blender.core.geometry import projection


def random_cameras(count, seed=0):
    random = np.random.default_rng(seed)
    q, r = np.linalg.qr(random.normal(size=(count, 3, 3)))
    rotations = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    rotations *= np.sign(np.linalg.det(rotations))[:, None, None]
    extrinsics = np.concatenate([rotations, random.normal(size=(count, 3, 1))], axis=-1)
    intrinsics = np.array([[[40.0, 0, 33.0], [0, 42.0, 21.0], [0, 0, 1]]]).repeat(count, axis=0)
    return extrinsics, intrinsics


def test_unprojected_points_project_back_to_the_centres_of_their_pixels():
    extrinsics, intrinsics = random_cameras(3)
    depth = np.random.default_rng(1).uniform(0.5, 20, (3, 48, 64)).astype(np.float32)
    points = projection.unproject(depth, intrinsics, extrinsics)
    v, u = np.mgrid[0:48, 0:64] + 0.5
    for i in range(3):
        pixels, z = projection.project(points[i].astype(np.float64), intrinsics[i], extrinsics[i])
        # float32 points up to 30 units away keep about 2e-6 units; at fx 42 and depth 0.5 that is 2e-4 px
        np.testing.assert_allclose(pixels, np.stack([u, v], -1), atol=1e-3)
        np.testing.assert_allclose(z, depth[i], rtol=1e-5, atol=5e-6)


def test_a_centred_principal_point_is_the_middle_of_the_image():
    k = projection.pinhole(64, 48, np.radians(60))
    extrinsics = np.eye(4)[None, :3]
    points = projection.unproject(np.ones((1, 48, 64), np.float32), k[None], extrinsics)[0]
    np.testing.assert_allclose(points.mean(axis=(0, 1)), [0, 0, 1], atol=1e-6)  # symmetric around the axis
    assert 2 * np.degrees(np.arctan(32 / k[0, 0])) == pytest.approx(60)


def test_blender_axes_are_x_z_minus_y():
    np.testing.assert_array_equal(projection.points_to_blender(np.array([[1.0, 2.0, 3.0]])), [[1, 3, -2]])


def test_a_point_is_seen_the_same_by_opencv_and_blender_cameras():
    extrinsics, _ = random_cameras(4)
    matrices = projection.cameras_to_blender(extrinsics)
    points = np.random.default_rng(2).normal(size=(10, 3))
    blender_points = points @ projection.BLENDER_FROM_OPENCV.T
    for w2c, c2w in zip(extrinsics, matrices, strict=True):
        seen = points @ w2c[:, :3].T + w2c[:, 3]
        local = blender_points - c2w[:3, 3]
        np.testing.assert_allclose(local @ c2w[:3, :3], seen * [1, -1, -1], atol=1e-9)  # Blender: y up, looks along -z
        assert np.linalg.det(c2w[:3, :3]) == pytest.approx(1)


def test_inverting_twice_gives_the_camera_back():
    extrinsics, _ = random_cameras(5)
    np.testing.assert_allclose(projection.invert_rigid(projection.invert_rigid(extrinsics)), extrinsics, atol=1e-12)
