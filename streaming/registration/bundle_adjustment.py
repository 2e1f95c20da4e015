"""Cameras and depths of one chunk made more exact by its pictures.

A model places each camera with an error of its own, and the depths of a frame are all too large or too small together, while a
video shows how each frame goes over into the next very exactly. Corners are followed (``corners``), and then all cameras of the
chunk, a factor for the depths of each frame and the depth of each corner are corrected at once (Gauss-Newton, Cauchy weights),
held back by how far the model usually errs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.geometry.projection import invert_rigid
from ...core.prediction.prediction import Prediction, Tracks
from .corner_tracks import as_tracks
from .feature_tracks import Correspondences, follow, pairs_across, pairs_ahead
from .normal_equations import normal_equations

PIXELS = 0.3  # error of a corner's place
DEPTH = 0.03  # relative error of a depth beside that of its frame
TURN, SHIFT = np.radians(0.3), 0.01  # how far a camera errs at least; the latter relative to the median depth
GROW = 0.01  # how far the depths of a frame are off together, at least
COARSEST = 0.4  # pixels that must not be more than ``TURN``
SURFACES = 40  # independent places of a pair of frames: errors of neighbours are alike
STEPS = 8
UNKNOWNS = 7  # of a frame: turn, shift, logarithm of the factor of its depths


@dataclass(frozen=True)
class Adjusted:
    """``extrinsics`` (N, 3, 4), world to camera, ``factors`` (N,) for the depths of each frame, and the corners as points.

    ``tracks``: of one chunk, see ``as_tracks``; None of a joint pass, and where nothing was followed.
    """

    extrinsics: np.ndarray
    factors: np.ndarray
    tracks: Tracks | None = None

    def apply_to(self, prediction: Prediction) -> None:
        """Give a prediction of the same frames these cameras and depths."""
        prediction.extrinsics = self.extrinsics
        prediction.depth = prediction.depth * self.factors[:, None, None].astype(prediction.depth.dtype)


def adjust(prediction: Prediction, first: int | None = None) -> Adjusted:
    """Corrected cameras and factors of depths; as they were, and 1, where the pictures say nothing.

    Parameters
    ----------
    first : frames of the first side, where it is a joint pass of two sides
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    count = len(prediction)
    as_it_was = Adjusted(prediction.extrinsics, np.ones(count))
    if count < 2 or prediction.images.shape[:3] != prediction.depth.shape:
        return as_it_was
    if COARSEST / prediction.intrinsics[:, 0, 0].mean() > TURN:
        return as_it_was  # too coarse: a corner's place is less sure than the cameras are
    known = prediction.depth[:, ::4, ::4]
    unit = float(np.median(known[known > 0])) if (known > 0).any() else 1.0
    cameras = invert_rigid(prediction.extrinsics)
    pairs = pairs_ahead(range(first or count))
    if first is not None:
        pairs += pairs_ahead(range(first, count)) + pairs_across(cameras, first)
    ties = follow(prediction, cameras, pairs)
    if ties is None:
        return as_it_was
    cameras, factors, deeper = solve(cameras, ties, unit)
    tracks = None if first is not None else as_tracks(ties, cameras, factors[ties.source] * deeper, prediction)
    return Adjusted(invert_rigid(cameras), factors, tracks)


def solve(cameras: np.ndarray, ties: Correspondences, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corrected cameras to world, the factor of each frame's depths, and that of each tie's corner beside it.

    Unknown are also the depths of the corners, which are eliminated (Schur's complement).
    """
    count, size = len(cameras), UNKNOWNS * len(cameras)
    least = np.array([TURN, SHIFT * unit, GROW])
    axes = np.array([3, 3, 1])
    kinds = np.cumsum(axes)[:-1]
    corrections = np.zeros((count, UNKNOWNS))
    names, corner = np.unique(ties.corner, return_inverse=True)
    deeper = np.zeros(len(names))  # logarithm of the factor by which each corner's depth is off
    columns = np.concatenate(
        [UNKNOWNS * ties.source[:, None] + np.arange(UNKNOWNS), UNKNOWNS * ties.target[:, None] + np.arange(UNKNOWNS)],
        axis=1,
    )
    # Which place of each corner's row of mixed derivatives each of them goes to: the same in all steps.
    places, place = np.unique((corner[:, None] * size + columns).ravel(), return_inverse=True)
    starts = np.searchsorted(places, size * np.arange(len(names) + 1))
    unknowns, of_corner = places % size, places // size
    pair = np.unique(ties.source * count + ties.target, return_inverse=True)[1]
    share = np.minimum(1.0, SURFACES / np.bincount(pair))[pair]
    seen = ties.source, ties.target, corner, ties.points, ties.rays, ties.depth.astype(np.float64)
    for step in range(STEPS):
        # How far this model does err is seen by the corrections themselves.
        off = np.array([np.sqrt((part**2).mean()) for part in np.split(corrections, kinds, axis=1)])
        spread = np.tile(np.repeat(np.maximum(least, off) * (3.0 if step == 0 else 1.0), axes), count)
        hessian, gradient, of_depth, slope, mixed = normal_equations(
            seen, (1.0 / (PIXELS * ties.pixel), 1.0 / DEPTH), *_corrected(cameras, corrections), deeper, corrections[:, 6].copy(),
            share, 25.0 if step < 2 else 9.0,  # wide at first, so that a camera far off is not taken for a bad corner
            (1.0 / spread**2, corrections.ravel()), 1.0 / DEPTH**2, place.reshape(-1, 2 * UNKNOWNS), (unknowns, starts),
        )  # fmt: skip
        change = -np.linalg.solve(hessian, gradient)
        deeper = deeper - (slope + np.bincount(of_corner, mixed * change[unknowns], len(names))) / of_depth
        corrections += change.reshape(count, UNKNOWNS)
        turns, shifts, _ = (np.abs(p).max() for p in np.split(change.reshape(count, UNKNOWNS), kinds, axis=1))
        if turns < 1e-5 and shifts < 1e-5 * unit:
            break
    rotations, centres = _corrected(cameras, corrections)
    return np.concatenate([rotations, centres[:, :, None]], axis=2), np.exp(corrections[:, 6]), np.exp(deeper)[corner]


def _corrected(cameras: np.ndarray, corrections: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rotations = cameras[:, :, :3]
    centres = cameras[:, :, 3] + np.einsum("kij,kj->ki", rotations, corrections[:, 3:6])
    return rotations @ Rotation.from_rotvec(corrections[:, :3]).as_matrix(), centres
