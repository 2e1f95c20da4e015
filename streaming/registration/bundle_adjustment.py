"""Cameras and depths of one chunk made more exact by its pictures.

A model places each camera with an error of its own, and the depths of a frame are all too large or too small together, while a
video shows how each frame goes over into the next very exactly. Corners are followed (``corners``), and then all cameras of the
chunk, a factor for the depths of each frame and the depth of each corner are corrected at once (Gauss-Newton, Cauchy weights),
held back by how far the model usually errs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from ...core.geometry.projection import invert_rigid
from ...core.geometry.similarity import skew
from ...core.prediction.prediction import Prediction, Tracks
from .corner_tracks import as_tracks
from .feature_tracks import Correspondences, follow, pairs_across, pairs_ahead

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
    width = 2 * UNKNOWNS
    # Which place of each corner's row of mixed derivatives each of them goes to: the same in all steps.
    places, place = np.unique((corner[:, None] * size + columns).ravel(), return_inverse=True)
    starts = np.searchsorted(places, size * np.arange(len(names) + 1))
    pattern = places % size, starts
    pair = np.unique(ties.source * count + ties.target, return_inverse=True)[1]
    share = np.minimum(1.0, SURFACES / np.bincount(pair))[pair]
    parts = _runs(pair)
    blocks = [columns[part.start] for part in parts]
    squares = [np.ix_(own, own) for own in blocks]
    for step in range(STEPS):
        # How far this model does err is seen by the corrections themselves.
        off = np.array([np.sqrt((part**2).mean()) for part in np.split(corrections, kinds, axis=1)])
        spread = np.tile(np.repeat(np.maximum(least, off) * (3.0 if step == 0 else 1.0), axes), count)
        rotations, centres = _corrected(cameras, corrections)
        residual, jacobian, by_depth = _tied(ties, rotations, centres, deeper[corner], corrections[:, 6])
        # Wide at first, so that a camera far off is not taken for a bad corner.
        wide = 25.0 if step < 2 else 9.0
        weight = share / (1.0 + (residual**2).sum(axis=1) / wide)
        weighted = jacobian * weight[:, None, None]
        hessian, gradient = np.zeros((size, size)), np.zeros(size)
        for part, own, square in zip(parts, blocks, squares, strict=True):  # its corners have the same two frames
            by_own = weighted[part].reshape(-1, width).T
            hessian[square] += by_own @ jacobian[part].reshape(-1, width)
            gradient[own] += by_own @ residual[part].ravel()
        hessian[np.arange(size), np.arange(size)] += 1.0 / spread**2
        gradient += corrections.ravel() / spread**2
        of_depth = np.bincount(corner, weight * (by_depth**2).sum(axis=1)) + 1.0 / DEPTH**2
        slope = np.bincount(corner, weight * (by_depth * residual).sum(axis=1)) + deeper / DEPTH**2
        of_both = (weighted * by_depth[..., None]).sum(axis=1)
        of_place = np.bincount(place, of_both.ravel())
        mixed = csr_matrix((of_place, *pattern), (len(names), size))
        carried = csr_matrix((of_place * np.repeat(1.0 / of_depth, np.diff(starts)), *pattern), mixed.shape)
        change = -np.linalg.solve(hessian - (carried.T @ mixed).toarray(), gradient - carried.T @ slope)
        deeper -= (slope + mixed @ change) / of_depth
        corrections += change.reshape(count, UNKNOWNS)
        turns, shifts, _ = (np.abs(p).max() for p in np.split(change.reshape(count, UNKNOWNS), kinds, axis=1))
        if turns < 1e-5 and shifts < 1e-5 * unit:
            break
    rotations, centres = _corrected(cameras, corrections)
    return np.concatenate([rotations, centres[:, :, None]], axis=2), np.exp(corrections[:, 6]), np.exp(deeper)[corner]


def _runs(values: np.ndarray) -> list[slice]:
    """Where neighbouring values are the same."""
    edges = np.flatnonzero(np.diff(values)) + 1
    return [slice(int(a), int(b)) for a, b in zip([0, *edges], [*edges, len(values)], strict=True)]


def _corrected(cameras: np.ndarray, corrections: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rotations = cameras[:, :, :3]
    centres = cameras[:, :, 3] + np.einsum("kij,kj->ki", rotations, corrections[:, 3:6])
    return rotations @ Rotation.from_rotvec(corrections[:, :3]).as_matrix(), centres


def _tied(
    ties: Correspondences, rotations: np.ndarray, centres: np.ndarray, deeper: np.ndarray, larger: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (M, 3) in standard deviations: place in the image, twice, and depth; and their derivatives by the corrections
    of both frames, (M, 3, 14), and by ``deeper``, (M, 3). ``larger``: (N,) logarithm of each frame's factor."""
    x = ties.points * np.exp(deeper + larger[ties.source])[:, None]
    to_target = np.swapaxes(rotations, 1, 2)[ties.target]
    turn = to_target @ rotations[ties.source]
    y = (turn @ x[..., None])[..., 0] + (to_target @ (centres[ties.source] - centres[ties.target])[..., None])[..., 0]
    z = np.maximum(y[:, 2], 1e-3 * x[:, 2])
    known = ties.depth > 0
    image, deep = 1.0 / (PIXELS * ties.pixel), known / DEPTH
    residual = np.stack(
        [
            (y[:, 0] / z - ties.rays[:, 0]) * image,
            (y[:, 1] / z - ties.rays[:, 1]) * image,
            (np.log(z / np.where(known, ties.depth, z)) - larger[ties.target]) * deep,
        ],
        axis=-1,
    )
    by_y = np.zeros((len(x), 3, 3))
    by_y[:, 0, 0] = by_y[:, 1, 1] = image / z
    by_y[:, 0, 2], by_y[:, 1, 2] = -image * y[:, 0] / z**2, -image * y[:, 1] / z**2
    by_y[:, 2, 2] = deep / z
    by_x = by_y @ turn
    by_depth = by_x @ x[..., None]
    by_larger = np.zeros((len(x), 3, 1))
    by_larger[:, 2, 0] = -deep
    jacobian = np.concatenate([-by_x @ skew(x), by_x, by_depth, by_y @ skew(y), -by_y, by_larger], axis=2)
    return residual, jacobian, by_depth[..., 0]
