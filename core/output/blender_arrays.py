"""From a batch to what Blender copies: flat arrays in Blender's axes, cameras as plain numbers.

All arithmetic is done here, in the worker, so that Blender's main thread has nothing to do but ``foreach_set``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry.projection import BLENDER_FROM_OPENCV, cameras_to_blender, unproject
from ..prediction.prediction import Prediction
from .payload import FILLS_A_PIXEL, CameraRecord, PointArrays
from .splats import discs
from .splats.thinning import LARGER, Thinner, View

if TYPE_CHECKING:
    from ..frames.resizing import Placement


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB to (..., 3) float32 linear, by IEC 61966-2-1."""
    return _linear_levels().take(colors)


def _linear_levels() -> np.ndarray:
    """(256,) float32: each sRGB level in linear light."""
    srgb = np.arange(256) / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


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
    splats: bool = False,
    thinner: Thinner | None = None,
) -> PointArrays:
    """The points of every pixel that has a depth and enough confidence.

    Parameters
    ----------
    prediction : with cameras, N frames
    indices : N, the frames' places in the input
    min_confidence : pixels below are dropped
    chosen : (N, H, W) bool, the pixels in question; None: all
    motion : (N, H, W) float32, becomes the points' attribute
    splats : each point is to be a Gaussian splat as well
    thinner : of the run, so that splats of different frames do not lie on each other; None: all are drawn
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    kept = (prediction.depth > 0) & (prediction.conf >= min_confidence) & (prediction.conf > 0)
    if chosen is not None:
        kept &= chosen
    to_camera = prediction.extrinsics.copy()
    to_camera[:, :, :3] = to_camera[:, :, :3] @ BLENDER_FROM_OPENCV.T  # from Blender's axes
    more = {}
    if splats:
        world, colors = unproject(prediction.depth, prediction.intrinsics, to_camera), prediction.images[kept]
        more = _splats(prediction, kept, world, colors, thinner)
    ends = np.cumsum(kept.sum(axis=(1, 2)))
    focal = np.sqrt(prediction.intrinsics[:, 0, 0] * prediction.intrinsics[:, 1, 1])
    per_pixel = (FILLS_A_PIXEL / focal).astype(np.float32)
    attributes = {
        "conf": prediction.conf,
        "radius": prediction.depth,
        "motion": motion,
        "object_id": prediction.object_id,
    }
    given = {name: values for name, values in attributes.items() if values is not None}
    made: dict[str, Any] = {name: np.empty(ends[-1], np.int32 if name == "object_id" else np.float32) for name in given}
    made |= {
        "position": np.empty((ends[-1], 3), np.float32), "point_color": np.empty((ends[-1], 4), np.float32),
        "frame": np.empty(ends[-1], np.int32),
    }  # fmt: skip

    def fill(i: int) -> None:
        # Looked up once: a mask is several times slower for each array that it picks from.
        rows = np.flatnonzero(kept[i])
        own, one = slice(ends[i] - len(rows), ends[i]), np.s_[i : i + 1]

        def picked(pixels: np.ndarray) -> np.ndarray:
            return pixels.reshape(kept[i].size, *pixels.shape[2:]).take(rows, axis=0)

        world = unproject(prediction.depth[one], prediction.intrinsics[one], to_camera[one])  # type: ignore[index]
        made["position"][own] = picked(world[0])
        made["point_color"][own] = rgba(picked(prediction.images[i]))
        made["frame"][own] = indices[i]
        for name, values in given.items():
            made[name][own] = picked(values[i])
        made["radius"][own] *= per_pixel[i]

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # frame by frame, which also keeps to the processor's caches
        list(threads.map(fill, range(len(kept))))
    return PointArrays(**made, **more)


def _splats(
    prediction: Prediction, kept: np.ndarray, world: np.ndarray, colors: np.ndarray, thinner: Thinner | None
) -> dict[str, np.ndarray]:
    """The splats' arrays of the ``kept`` pixels, (N, H, W) bool, at ``world``, (N, H, W, 3), with (P, 3) uint8 ``colors``."""
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    if prediction.gaussians is not None:  # made to be drawn all together, so none is left out
        return discs.of_network(
            prediction.gaussians, prediction.depth, kept, prediction.intrinsics, prediction.extrinsics
        )
    conf = np.where(kept, prediction.conf, np.float32(0.0))
    views, made = [], []
    for i, (intrinsics, extrinsics) in enumerate(zip(prediction.intrinsics, prediction.extrinsics, strict=True)):
        one = discs.discs(prediction.depth[i], conf[i], intrinsics, extrinsics)
        views.append(View.of(kept[i], world[i], one, intrinsics, extrinsics))
        made.append(one)
    scale, rotation, opacity = (
        np.concatenate([getattr(one, name) for one in made]) for name in ("scale", "rotation", "opacity")
    )
    larger = np.full(len(scale), LARGER[0]) if thinner is None else thinner.sizes(views)
    scale *= larger[:, None]
    return {"scale": scale, "rotation": rotation, "radiance": discs.radiance(colors, opacity)}


def rgba(colors: np.ndarray) -> np.ndarray:
    """(P, 3) uint8 sRGB to (P, 4) float32 linear with alpha 1."""
    levels = _linear_levels()
    out = np.ones((len(colors), 4), np.float32)
    for channel in range(3):  # one by one, a third of the memory and of the time
        out[:, channel] = levels.take(colors[:, channel])
    return out


def cameras(
    prediction: Prediction,
    indices: Sequence[int],
    names: Sequence[str],
    images: Sequence[str],
    placements: Sequence[Placement],
    orientations: Sequence[int] | None = None,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> list[CameraRecord]:
    """A record for each of the prediction's N frames.

    ``names``, ``images`` (paths, or empty), ``placements``, ``orientations`` (EXIF's; by default upright) and ``sizes`` (upright
    width and height of the file; by default the placement's original): N of each.
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    matrices = cameras_to_blender(prediction.extrinsics)
    height, width = prediction.depth.shape[1:]
    return [
        CameraRecord(
            name=name, frame=int(index), camera_to_world=tuple(matrix.ravel().tolist()),
            fx=float(k[0, 0]), fy=float(k[1, 1]), cx=float(k[0, 2]), cy=float(k[1, 2]), width=width, height=height,
            image=image, placement=(place.left, place.top, place.width, place.height), orientation=orientation,
            photo=size, distortion=tuple(bent.tolist()), reprojection_error=float(away),
        )
        for index, name, image, matrix, k, place, orientation, size, bent, away in zip(
            indices, names, images, matrices, prediction.intrinsics, placements, orientations or [1] * len(names),
            sizes or [(place.original_width, place.original_height) for place in placements],
            np.zeros((len(names), 3)) if prediction.distortion is None else prediction.distortion,
            np.zeros(len(names)) if prediction.reprojection_error is None else prediction.reprojection_error, strict=True,
        )
    ]  # fmt: skip
