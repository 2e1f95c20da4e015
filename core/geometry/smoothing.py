"""A camera's way without its trembling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .similarity import skew

Doubles = NDArray[np.float64]

FEWEST = 4  # poses that a parabola is fitted to; through three it goes exactly


def smooth_path(matrices: Doubles, frames: Doubles, reach: int) -> Doubles:
    """Each pose as a parabola through those around it has it.

    Local regression of second order with tricube weights (Cleveland 1979, LOWESS), which is Savitzky and Golay's filter for
    frames that may be missing: a way of constant speed or acceleration stays as it is, to its ends. Places are smoothed as
    they are, rotations in the tangent space of each frame's own.

    Parameters
    ----------
    matrices : (N, 4, 4) rigid, camera to world
    frames : (N,) rising, when each is
    reach : poses before and after that take part, as far apart as they usually are; 0 changes nothing

    Returns
    -------
    (N, 4, 4)
    """
    count, out = len(matrices), matrices.astype(np.float64)
    if reach < 1 or count < FEWEST:
        return out
    near = np.arange(count)[:, None] + np.arange(-reach, reach + 1)
    inside = (near >= 0) & (near < count)
    near = near.clip(0, count - 1)
    usual = float(np.median(np.diff(frames)))  # where every n-th frame is used, n
    away = (frames[near] - frames[:, None]) / (usual * (reach + 1.0))  # (N, K)
    weights = np.where(inside, np.clip(1.0 - np.abs(away) ** 3, 0.0, None) ** 3, 0.0)
    places, turns = out[:, :3, 3], out[:, :3, :3]
    own = np.swapaxes(turns, 1, 2)[:, None]
    steps = np.concatenate([places[near] - places[:, None], logarithm(own @ turns[near])], axis=2)  # (N, K, 6)
    enough = (weights > 0.0).sum(axis=1) >= FEWEST
    powers = np.stack([np.ones_like(away), away, away**2], axis=-1)[enough]
    weighted = np.swapaxes(powers * weights[enough, :, None], 1, 2)
    now = np.linalg.solve(weighted @ powers, weighted @ steps[enough])[:, 0]
    out[enough, :3, 3] += now[:, :3]
    out[enough, :3, :3] = turns[enough] @ exponential(now[:, 3:])
    return out


def logarithm(rotations: Doubles) -> Doubles:
    """(..., 3) rotation vectors of (..., 3, 3) rotations that are less than half a turn."""
    skew = (rotations - np.swapaxes(rotations, -1, -2)) / 2.0
    vector = np.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], axis=-1)
    sine = np.linalg.norm(vector, axis=-1)
    cosine = (np.trace(rotations, axis1=-2, axis2=-1) - 1.0) / 2.0
    angle = np.arctan2(sine, cosine)
    per_sine: Doubles = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 1.0)
    return np.asarray(vector * per_sine[..., None])


def exponential(vectors: Doubles) -> Doubles:
    """(..., 3, 3) rotations of (..., 3) rotation vectors (Rodrigues)."""
    angle, cross = np.linalg.norm(vectors, axis=-1)[..., None, None], skew(vectors)
    # sin(a) / a and (1 - cos(a)) / a^2: NumPy's sinc has them without a division by 0.
    half = np.sinc(angle / (2.0 * np.pi))
    return np.asarray(np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * half**2 * (cross @ cross))
