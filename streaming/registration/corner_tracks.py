"""The corners by which a chunk was made better, as points in its world: what a streamed run gives as its tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...core.frames.resizing import Placement
from ...core.geometry.projection import invert_rigid
from ...core.prediction.prediction import Prediction, Tracks
from .feature_tracks import Correspondences

Doubles = NDArray[np.float64]

STRAY = 2.0  # pixels from where the point is seen, beyond which a corner that was found again is another one


def as_tracks(ties: Correspondences, cameras: Doubles, factors: Doubles, prediction: Prediction) -> Tracks | None:
    """Each corner as a point, at the depth that all its sightings agree on; None where none was found again.

    Frames are those of the chunk, from 0, and pixels those of the processed image, until ``give`` names the input's: first of
    each where it was taken, then where it was found again. The error is that of the latter.

    Parameters
    ----------
    cameras : (N, 3, 4), camera to world, corrected
    factors : (M,) of the depth of each tie's point, corrected
    """
    assert prediction.intrinsics is not None
    own, focal = cameras[ties.source], prediction.intrinsics[:, [0, 1], [0, 1]]
    world = np.einsum("mij,mj->mi", own[:, :, :3], ties.points * factors[:, None]) + own[:, :, 3]
    others = invert_rigid(cameras)[ties.target]
    there = np.einsum("mij,mj->mi", others[:, :, :3], world) + others[:, :, 3]
    flat = there[:, :2] / np.maximum(there[:, 2:], 1e-9)
    away = np.linalg.norm((flat - ties.rays) * focal[ties.target], axis=1)
    kept = (there[:, 2] > 0) & (away < STRAY)
    if not kept.any():
        return None
    corners, first, rows = np.unique(ties.corner[kept], return_index=True, return_inverse=True)
    source, target, rows = ties.source[kept][first], ties.target[kept], rows.reshape(-1)
    count = np.bincount(rows)
    middle = prediction.intrinsics[:, :2, 2]
    points = ties.points[kept][first]
    at_source = points[:, :2] / points[:, 2:] * focal[source] + middle[source]
    at_target = ties.rays[kept] * focal[target] + middle[target]
    return Tracks(
        corners,
        world[kept][first],
        np.bincount(rows, away[kept]) / count,
        count + 1,
        np.concatenate([
            np.stack([source, np.arange(len(corners))], axis=1), np.stack([target, rows], axis=1)
        ]).astype(np.int64),
        np.concatenate([at_source, at_target]),
    )  # fmt: skip


def give(prediction: Prediction, tracks: Tracks, indices: Sequence[int], places: Sequence[Placement]) -> None:
    """Give a chunk its tracks, with frames of the input and pixels of its originals, and each frame its mean error.

    Parameters
    ----------
    prediction : with the cameras that the tracks were made with
    indices : N, the chunk's frames
    places : N, where each original lies on the processed image
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    frames, rows = tracks.seen.T
    scale = np.array([[at.original_width / at.width, at.original_height / at.height] for at in places])[frames]
    corner = np.array([[at.left, at.top] for at in places], np.float64)[frames]
    poses, lenses = prediction.extrinsics[frames], prediction.intrinsics[frames]
    own = np.einsum("mij,mj->mi", poses[:, :, :3], tracks.points[rows]) + poses[:, :, 3]
    flat = own[:, :2] / own[:, 2:] * lenses[:, [0, 1], [0, 1]] + lenses[:, :2, 2]
    away = np.linalg.norm((flat - tracks.pixels) * scale, axis=1)
    again = np.arange(len(rows)) >= len(tracks.points)  # what lies before are the places where corners were taken
    found = np.bincount(frames[again], minlength=len(prediction))
    total = np.bincount(frames[again], away[again], minlength=len(prediction))
    prediction.reprojection_error = total / np.maximum(found, 1)
    error = np.bincount(rows[again], away[again]) / np.bincount(rows[again])
    pixels = (_bent(tracks.pixels, frames, prediction) - corner) * scale
    # Chunks share frames: a corner of the same frame at the same place is the same one, which comes once.
    every = np.asarray(indices, np.int64)[frames]
    column, row = tracks.pixels[~again].astype(np.int64).T
    number = (every[~again] << 32) | (row << 16) | column
    seen = np.stack([every, rows], axis=1)
    prediction.tracks = replace(tracks, number=number, error=error, seen=seen, pixels=pixels)


def _bent(pixels: Doubles, frames: Doubles, prediction: Prediction) -> Doubles:
    """(M, 2) pixels of the processed image as the lens bends them."""
    if prediction.distortion is None or not prediction.distortion.any():
        return pixels
    assert prediction.intrinsics is not None
    focal, middle = prediction.intrinsics[frames][:, [0, 1], [0, 1]], prediction.intrinsics[frames][:, :2, 2]
    flat = (pixels - middle) / focal
    squared = (flat**2).sum(axis=1, keepdims=True)
    k1, k2, k3 = prediction.distortion[frames].T[:, :, None]
    return np.asarray(flat * (1.0 + squared * (k1 + squared * (k2 + squared * k3))) * focal + middle)
