"""The similarity from a reconstruction's camera centres to measured positions: robust, and with how far it can be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .similarity import Similarity

Array = NDArray[np.float64]

FEWEST = 3
TRIES = 300  # of three positions each
TUKEY = 4.685  # standard deviations beyond which a position counts nothing; 95 % efficient (Huber 1981)
STEPS = 20
TILT = np.radians(1.0)  # where positions say worse than this which way is up, the images say it


@dataclass(frozen=True)
class PositionFit:
    """``similarity`` to the positions' frame (east, north, up); ``used`` (N,) bool: not outliers.

    ``error``: root mean square distance of those used, metres; ``scale_error``: standard deviation of the scale, as a part of it;
    ``north_error``: of the direction of north, radians.
    """

    similarity: Similarity
    used: NDArray[np.bool_]
    error: float
    scale_error: float
    north_error: float


def fit(centres: Array, positions: Array, up: Array | None = None) -> PositionFit | None:
    """Fit N camera centres to their positions.

    Parameters
    ----------
    centres : (N, 3), any world and unit
    positions : (N, 3), metres east, north, up
    up : (3,) in the centres' world, as the images say it; taken where the positions lie nearly on a line, or are too unsure

    Returns
    -------
    None where there are fewer than three, or where all centres or all positions are one place.
    """
    if len(centres) < FEWEST or min(np.ptp(centres, axis=0).max(), np.ptp(positions, axis=0).max()) < 1e-9:
        return None
    found = _robust(centres, positions, None)
    if up is not None and _tilt_error(*found, centres, positions) > TILT:
        found = _robust(centres, positions, up / np.linalg.norm(up))
    similarity, weights = found
    used = weights > 0
    residual = _residual(similarity, centres, positions)
    error = float(np.sqrt((residual[used] ** 2).mean()))
    # An axis's noise over the spread: what least squares leaves of it (7 unknowns of 3 N numbers).
    noise = error / np.sqrt(3.0) * np.sqrt(3 * used.sum() / max(3 * used.sum() - 7, 1))
    moved = similarity.scale * (centres[used] - centres[used].mean(axis=0)) @ similarity.rotation.T
    spread, flat = float(np.sqrt((moved**2).sum())), float(np.sqrt((moved[:, :2] ** 2).sum()))
    return PositionFit(similarity, used, error, float(noise / max(spread, 1e-12)), float(noise / max(flat, 1e-12)))


def _robust(centres: Array, positions: Array, up: Array | None) -> tuple[Similarity, Array]:
    """And the weights (N,): the least median of squares of many triples, then Tukey's weights from there."""
    random = np.random.default_rng(0)  # the same input gives the same answer
    everything = np.ones(len(centres))
    best = _weighted(centres, positions, everything, up)
    least = float(np.median(_residual(best, centres, positions)))
    for _ in range(TRIES if len(centres) > FEWEST else 0):
        weights = np.zeros(len(centres))
        weights[random.choice(len(centres), FEWEST, replace=False)] = 1.0
        tried = _weighted(centres, positions, weights, up)
        middle = float(np.median(_residual(tried, centres, positions)))
        if middle < least:
            best, least = tried, middle
    weights = everything
    for _ in range(STEPS):
        residual = _residual(best, centres, positions)
        # The median length of a vector with three normal parts is 1.538 standard deviations of each.
        noise = max(float(np.median(residual)) / 1.538, 1e-9)
        inside: Array = np.clip(1.0 - (residual / (TUKEY * noise)) ** 2, 0.0, None)
        weights = inside * inside
        if (weights > 0).sum() < FEWEST:
            return best, everything
        best = _weighted(centres, positions, weights, up)
    return best, weights


def _weighted(centres: Array, positions: Array, weights: Array, up: Array | None) -> Similarity:
    """Umeyama's similarity (1991) with weights; with ``up`` only turned about the vertical."""
    share = weights / weights.sum()
    middle, target = share @ centres, share @ positions
    a, b = centres - middle, positions - target
    size = max(float(share @ (a**2).sum(axis=1)), 1e-30)
    if up is None:
        u, d, vt = np.linalg.svd((b * share[:, None]).T @ a)
        signs = np.array([1.0, 1.0, np.linalg.det(u @ vt)])
        rotation, scale = u @ np.diag(signs) @ vt, float((d * signs).sum()) / size
    else:
        stand = _standing(up)
        a = a @ stand.T
        turn = share @ ((b[:, 0] + 1j * b[:, 1]) * (a[:, 0] - 1j * a[:, 1]))
        angle = float(np.angle(turn))
        about = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
        rotation, scale = about @ stand, max(float(abs(turn) + share @ (a[:, 2] * b[:, 2])), 1e-12 * size) / size
    return Similarity(scale, rotation, target - scale * rotation @ middle)


def _standing(up: Array) -> Array:
    """(3, 3) a rotation that takes ``up``, of length 1, to z."""
    across = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(up, across), up])


def _residual(similarity: Similarity, centres: Array, positions: Array) -> Array:
    moved = similarity.scale * centres @ similarity.rotation.T + similarity.translation
    return np.asarray(np.linalg.norm(moved - positions, axis=1), np.float64)


def _tilt_error(similarity: Similarity, weights: Array, centres: Array, positions: Array) -> float:
    """Standard deviation of the vertical, radians: the noise over the spread across the line that the cameras stand on most."""
    used = weights > 0
    if used.sum() <= FEWEST:
        return float(np.pi)  # three positions leave no error to be seen
    noise = np.sqrt((_residual(similarity, centres[used], positions[used]) ** 2).mean() / 3.0)
    moved = similarity.scale * (centres[used] - centres[used].mean(axis=0))
    across = np.linalg.svd(moved, compute_uv=False)[1:]
    return float(noise / max(float(np.linalg.norm(across)), 1e-12))
