"""Pixels, cameras and points.

One pixel convention everywhere (COLMAP's, and what DA3's own intrinsics mean): the image spans 0..W by 0..H, the centre
of the top-left pixel is at (0.5, 0.5), a centred principal point is (W / 2, H / 2). Cameras are OpenCV's (x right, y
down, z forward); Blender's world is z up.
"""

from __future__ import annotations

import numpy as np

# Rows: (x, y, z) of OpenCV becomes (x, z, -y) in Blender.
BLENDER_FROM_OPENCV = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def homogeneous(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 4) to (..., 4, 4), last row (0, 0, 0, 1)."""
    last = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), (*matrices.shape[:-2], 1, 4))
    return np.concatenate([matrices, last], axis=-2)


def invert_rigid(matrices: np.ndarray) -> np.ndarray:
    """Inverse of rigid transforms, (..., 3, 4) to (..., 3, 4): world-to-camera to camera-to-world and back."""
    rotation = np.swapaxes(matrices[..., :3, :3], -1, -2)
    translation = -rotation @ matrices[..., :3, 3:]
    return np.concatenate([rotation, translation], axis=-1)


def unproject(depth: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray) -> np.ndarray:
    """World points of every pixel.

    Parameters
    ----------
    depth : (N, H, W) float32, z-depth in the scene's unit
    intrinsics : (N, 3, 3), pixels, the centre of the top-left pixel at (0.5, 0.5)
    extrinsics : (N, 3, 4), world to camera, OpenCV axes

    Returns
    -------
    (N, H, W, 3) float32, in the unit of ``depth``
    """
    height, width = depth.shape[1:]
    u, v = np.arange(0.5, width), np.arange(0.5, height)[:, None]
    cameras_to_world = invert_rigid(extrinsics)
    points = np.empty((*depth.shape, 3), np.float32)
    along = np.empty((height, width), np.float32)  # one axis of one frame: a fifth of the time of 64 bits for all
    for i, frame in enumerate(depth):
        to_world = cameras_to_world[i, :, :3] @ np.linalg.inv(intrinsics[i])
        for axis, (by_u, by_v, ahead) in enumerate(to_world):
            np.add((by_u * u).astype(np.float32), (by_v * v + ahead).astype(np.float32), out=along)
            along *= frame
            np.add(along, np.float32(cameras_to_world[i, axis, 3]), out=points[i, :, :, axis])
    return points


def project(points: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where world points are seen by one camera.

    Parameters
    ----------
    points : (..., 3)
    intrinsics : (3, 3), pixels
    extrinsics : (3, 4), world to camera

    Returns
    -------
    pixels : (..., 2), (u, v); meaningless where the depth is not positive
    depth : (...,), z-depth
    """
    camera = points @ extrinsics[:, :3].T + extrinsics[:, 3]
    image = camera @ intrinsics.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return image[..., :2] / image[..., 2:], camera[..., 2]


def points_to_blender(points: np.ndarray) -> np.ndarray:
    """(..., 3) OpenCV world to Blender world, (x, y, z) -> (x, z, -y); float32, contiguous."""
    out = np.empty(points.shape, np.float32)
    out[..., 0] = points[..., 0]
    out[..., 1] = points[..., 2]
    np.negative(points[..., 1], out=out[..., 2])
    return out


def cameras_to_blender(extrinsics: np.ndarray) -> np.ndarray:
    """Camera-to-world matrices as Blender wants them.

    Parameters
    ----------
    extrinsics : (N, 3, 4), world to camera, OpenCV axes

    Returns
    -------
    (N, 4, 4) float64: Blender's world axes, and a camera that looks along its -z with y up
    """
    c2w = invert_rigid(extrinsics)
    c2w = BLENDER_FROM_OPENCV @ c2w
    c2w[..., :3, 1:3] *= -1.0  # the camera's own y and z axes
    return homogeneous(c2w)


def points_from_blender(points: np.ndarray) -> np.ndarray:
    """(..., 3) Blender world to OpenCV world, (x, z, -y) -> (x, y, z); float64."""
    return np.asarray(points, np.float64) @ BLENDER_FROM_OPENCV


def cameras_from_blender(matrices: np.ndarray) -> np.ndarray:
    """The inverse of ``cameras_to_blender``: (N, 4, 4) rigid camera-to-world to (N, 3, 4) float64 extrinsics."""
    c2w = BLENDER_FROM_OPENCV.T @ np.asarray(matrices, np.float64)[..., :3, :]
    c2w[..., :3, 1:3] *= -1.0
    return invert_rigid(c2w)


def pinhole(width: int, height: int, field_of_view: float) -> np.ndarray:
    """(3, 3) intrinsics of a centred camera whose longest side spans ``field_of_view`` radians."""
    focal = max(width, height) / 2.0 / np.tan(field_of_view / 2.0)
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])


def vertical_pinhole(width: int, height: int, field_of_view: float) -> np.ndarray:
    """(3, 3) intrinsics of a centred camera whose image spans ``field_of_view`` radians from top to bottom."""
    focal = height / 2.0 / np.tan(field_of_view / 2.0)
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])
