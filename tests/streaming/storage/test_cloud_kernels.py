"""Compiled loops give what NumPy gives."""

import numpy as np
from da3_blender.core.files.ply import VERTEX
from da3_blender.core.geometry.projection import invert_rigid, unproject
from da3_blender.streaming.storage import cloud_kernels

RANDOM = np.random.default_rng(0)
TURN = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
INTRINSICS = np.array([[30.0, 0.0, 15.0], [0.0, 31.0, 11.0], [0.0, 0.0, 1.0]])
EXTRINSICS = np.concatenate([TURN * np.linalg.det(TURN), [[1.0], [-2.0], [3.0]]], axis=1)


def filled():
    depth = np.where(RANDOM.random((22, 30)) < 0.3, 0.0, RANDOM.uniform(1.0, 5.0, (22, 30))).astype(np.float32)
    depth[0, 0] = np.nan
    conf = RANDOM.uniform(0.0, 2.0, depth.shape).astype(np.float32)
    image = RANDOM.integers(0, 255, (22, 30, 3), np.uint8)
    camera, room = invert_rigid(EXTRINSICS), np.empty(depth.size, cloud_kernels.FLAT)
    to_world = camera[:, :3] @ np.linalg.inv(INTRINSICS)
    count = cloud_kernels.fill(room, depth, conf, image, 0.5, to_world, camera[:, 3].copy())
    return depth, conf, image, room[:count].view(VERTEX)


def test_the_vertices_are_those_of_the_pixels_that_have_a_depth_and_enough_confidence():
    depth, conf, image, made = filled()
    kept = (depth > 0) & (conf >= 0.5)
    assert len(made) == kept.sum() and not np.isnan(depth[kept]).any()
    world = unproject(depth[None], INTRINSICS[None], EXTRINSICS[None])[0]
    np.testing.assert_allclose(made["position"], world[kept], atol=1e-5)
    np.testing.assert_array_equal(made["color"], image[kept])
    np.testing.assert_array_equal(made["confidence"], conf[kept])


def test_a_similarity_moves_them_and_leaves_the_rest():
    *_, made = filled()
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = 1.5 * TURN, (4.0, 5.0, -6.0)
    moved = made.copy()
    cloud_kernels.move(moved.view(cloud_kernels.FLAT), move)
    wanted = made["position"].astype(np.float64) @ move[:3, :3].T + move[:3, 3]
    np.testing.assert_allclose(moved["position"], wanted, atol=1e-5)
    for name in ("color", "confidence"):
        np.testing.assert_array_equal(moved[name], made[name])
