"""From a batch to what Blender copies: flat arrays in Blender's axes, cameras as plain numbers.

All arithmetic is done here, in the worker, so that Blender's main thread has nothing to do but ``foreach_set``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .geometry import cameras_to_blender, points_to_blender, unproject
from .payload import CameraRecord, PointArrays
from .prediction import Prediction

if TYPE_CHECKING:
    from .resizing import Placement


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB to (..., 3) float32 linear, by IEC 61966-2-1."""
    srgb = np.arange(256) / 255.0
    table = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[colors]


def srgb_from_linear(colors: np.ndarray) -> np.ndarray:
    """The inverse of ``linear_from_srgb``: (..., 3) float32 linear to (..., 3) uint8 sRGB."""
    linear = np.arange(1 << 16) / ((1 << 16) - 1)  # steps a twentieth of the finest between two of 8 bit
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1.0 / 2.4) - 0.055)
    table = np.round(srgb * 255.0).astype(np.uint8)
    return table[(np.clip(colors, 0.0, 1.0) * np.float32(len(table) - 1) + np.float32(0.5)).astype(np.uint16)]


def points(
    prediction: Prediction,
    indices: Sequence[int],
    min_confidence: float,
    *,
    chosen: np.ndarray | None = None,
    motion: np.ndarray | None = None,
) -> PointArrays:
    """The points of every pixel that has a depth and enough confidence.

    Parameters
    ----------
    prediction : with cameras, N frames
    indices : N, the frames' places in the input
    min_confidence : pixels below are dropped
    chosen : (N, H, W) bool, the pixels in question; None: all
    motion : (N, H, W) float32, becomes the points' attribute
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    kept = (prediction.depth > 0) & (prediction.conf >= min_confidence) & (prediction.conf > 0)
    if chosen is not None:
        kept &= chosen
    world = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)
    frame = np.broadcast_to(np.asarray(indices, np.int32)[:, None, None], kept.shape)
    return PointArrays(
        points_to_blender(world[kept]), rgba(prediction.images[kept]), prediction.conf[kept], frame[kept],
        motion=None if motion is None else motion[kept].astype(np.float32),
        object_id=None if prediction.object_id is None else prediction.object_id[kept].astype(np.int32),
    )  # fmt: skip


def rgba(colors: np.ndarray) -> np.ndarray:
    """(P, 3) uint8 sRGB to (P, 4) float32 linear with alpha 1."""
    out = np.ones((len(colors), 4), np.float32)
    out[:, :3] = linear_from_srgb(colors)
    return out


def cameras(
    prediction: Prediction,
    indices: Sequence[int],
    names: Sequence[str],
    images: Sequence[str],
    placements: Sequence[Placement],
    orientations: Sequence[int] | None = None,
) -> list[CameraRecord]:
    """A record for each of the prediction's N frames.

    ``names``, ``images`` (paths, or empty), ``placements`` and ``orientations`` (EXIF's; by default upright): N of each.
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    matrices = cameras_to_blender(prediction.extrinsics)
    height, width = prediction.depth.shape[1:]
    return [
        CameraRecord(
            name=name, frame=int(index), camera_to_world=tuple(matrix.ravel().tolist()),
            fx=float(k[0, 0]), fy=float(k[1, 1]), cx=float(k[0, 2]), cy=float(k[1, 2]), width=width, height=height,
            image=image, placement=(place.left, place.top, place.width, place.height), orientation=orientation,
        )
        for index, name, image, matrix, k, place, orientation in zip(
            indices, names, images, matrices, prediction.intrinsics, placements, orientations or [1] * len(names),
            strict=True,
        )
    ]  # fmt: skip
