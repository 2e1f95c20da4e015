"""Similarities of space, and robust means that they are made of."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np


class Posed(Protocol):
    """What a similarity can move: depth maps with their cameras, as ``Prediction`` is."""

    depth: np.ndarray
    extrinsics: np.ndarray | None
    tracks: Any  # a dataclass with (T, 3) ``points`` of the same world, or None


STEADY = 20  # rounds of reweighting

PosedType = TypeVar("PosedType", bound=Posed)


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation, from a pass's own world to the common one."""

    scale: float
    rotation: np.ndarray  # (3, 3)
    translation: np.ndarray  # (3,)

    def of_points(self, points: np.ndarray) -> np.ndarray:
        """(P, 3) points in the other world."""
        return self.scale * points @ self.rotation.T + self.translation

    def apply(self, prediction: PosedType) -> PosedType:
        """The prediction in the other world; its depths, cameras and tracks are new arrays."""
        assert prediction.extrinsics is not None
        rotations = prediction.extrinsics[:, :, :3] @ self.rotation.T
        translations = self.scale * prediction.extrinsics[:, :, 3] - rotations @ self.translation
        moved = copy(prediction)
        moved.depth = prediction.depth * np.float32(self.scale)
        moved.extrinsics = np.concatenate([rotations, translations[:, :, None]], axis=-1)
        if prediction.tracks is not None:
            moved.tracks = replace(prediction.tracks, points=self.of_points(prediction.tracks.points))
        return moved


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value with half of the weight on either side; both (P,)."""
    order = np.argsort(values)
    total = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """(N, 3, 3) to the (3, 3) with the least sum of squared chords (Hartley et al. 2013, Rotation Averaging, 5.3)."""
    u, _, vt = np.linalg.svd(rotations.sum(axis=0))
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt


def mean_pose(rotations: np.ndarray, centres: np.ndarray, angle: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation with the least sum of angles and centre with the least sum of distances, by reweighting; poses within ``angle``
    and ``step`` count fully (Huber).

    Parameters
    ----------
    rotations : (V, 3, 3)
    centres : (V, 3)
    angle, step : radians, and a length of the scene

    Returns
    -------
    (3, 3) and (3,)

    Sources: Hartley et al., Rotation Averaging, 2013, 5.4; Weiszfeld, 1937.
    """
    rotation, centre = mean_rotation(rotations), centres.mean(axis=0)
    for _ in range(STEADY):
        weights = 1.0 / np.maximum(angles_between(rotations, rotation), angle)
        rotation = mean_rotation(rotations * weights[:, None, None])
        near = 1.0 / np.maximum(np.linalg.norm(centres - centre, axis=1), step)
        centre = near @ centres / near.sum()
    return rotation, centre


def angles_between(rotations: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(V,) radians between each of (V, 3, 3) and (3, 3)."""
    cosine = (np.einsum("vij,ij->v", rotations, rotation) - 1.0) / 2.0
    return np.arccos(np.clip(cosine, -1.0, 1.0))


def umeyama(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity with the least squares between points (P, 3) (Umeyama 1991, equations 40 to 42)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.linalg.det(u @ vt)])
    rotation = u @ np.diag(signs) @ vt
    scale = float((d * signs).sum() / max((a**2).sum(), 1e-30))
    return Similarity(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0))


def from_points(source: np.ndarray, target: np.ndarray, tolerance: float, tries: int = 300) -> Similarity | None:
    """The similarity that most of the pairs of points agree with (RANSAC); None where hardly any do.

    Parameters
    ----------
    source, target : (P, 3)
    tolerance : distance up to which a pair agrees, in the target's unit
    """
    if len(source) < 12:
        return None
    random = np.random.default_rng(0)  # the same input gives the same answer
    best = np.zeros(len(source), bool)
    for _ in range(tries):
        rows = random.choice(len(source), 4, replace=False)
        agrees = _agreeing(umeyama(source[rows], target[rows]), source, target, tolerance)
        if agrees.sum() > best.sum():
            best = agrees
    if best.sum() < max(12, 0.2 * len(source)):
        return None
    for _ in range(3):
        found = umeyama(source[best], target[best])
        best = _agreeing(found, source, target, tolerance)
        if best.sum() < 12:
            return None
    return found


def _agreeing(similarity: Similarity, source: np.ndarray, target: np.ndarray, tolerance: float) -> np.ndarray:
    return np.linalg.norm(similarity.of_points(source) - target, axis=1) < tolerance


def skew(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) to the skew-symmetric (..., 3, 3) that multiply like a cross product."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
