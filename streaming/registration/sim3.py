"""Similarities in three dimensions: their group, and their fit to pairs of points.

A similarity is a 4x4 matrix ((s R, t), (0, 1)), x -> s R x + t. Its tangent is (v, w, l): translation, rotation, logarithm
of the scale, in this order; perturbations stand on the right, ``S @ exp(xi)`` (Strasdat 2012, Local Accuracy and Global
Consistency for Efficient Visual SLAM, 2.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.geometry.similarity import skew
from ...core.settings import AlignmentLibrary, AlignmentMethod

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)  # type: ignore[no-untyped-call]  # exact to rounding for turns up to pi
_NODES, _WEIGHTS = (_NODES + 1.0) / 2.0, _WEIGHTS / 2.0
# Of x / (exp(x) - 1): the inverse of a group's left Jacobian in powers of ad (Bernoulli numbers over factorials).
_BERNOULLI = (1.0, -1 / 2, 1 / 12, 0.0, -1 / 720, 0.0, 1 / 30240, 0.0, -1 / 1209600, 0.0, 1 / 47900160)


def matrix(scale: float, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(4, 4) of its parts."""
    out = np.eye(4)
    out[:3, :3] = scale * rotation
    out[:3, 3] = translation
    return out


def scale_of(matrices: np.ndarray) -> np.ndarray:
    """(...,) of (..., 4, 4)."""
    return np.cbrt(np.linalg.det(matrices[..., :3, :3]))


def rotation_of(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) of (..., 4, 4)."""
    return matrices[..., :3, :3] / scale_of(matrices)[..., None, None]


def inverse(matrices: np.ndarray) -> np.ndarray:
    """(..., 4, 4)."""
    out = np.zeros_like(matrices)
    linear = np.swapaxes(matrices[..., :3, :3], -1, -2) / scale_of(matrices)[..., None, None] ** 2
    out[..., :3, :3] = linear
    out[..., :3, 3] = -(linear @ matrices[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def exp(tangents: np.ndarray) -> np.ndarray:
    """(N, 7) to (N, 4, 4)."""
    v, w, scale = tangents[:, :3], tangents[:, 3:6], np.exp(tangents[:, 6])
    out = np.zeros((len(tangents), 4, 4))
    out[:, :3, :3] = Rotation.from_rotvec(w).as_matrix() * scale[:, None, None]
    out[:, :3, 3] = (_mixing(w, tangents[:, 6]) @ v[:, :, None])[..., 0]
    out[:, 3, 3] = 1.0
    return out


def log(matrices: np.ndarray) -> np.ndarray:
    """(N, 4, 4) to (N, 7); rotations of less than pi."""
    w = Rotation.from_matrix(rotation_of(matrices)).as_rotvec()
    size = np.log(scale_of(matrices))
    v = np.linalg.solve(_mixing(w, size), matrices[:, :3, 3:])[..., 0]
    return np.concatenate([v, w, size[:, None]], axis=1)


def _mixing(w: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(N, 3, 3) integral over u in 0..1 of exp(u size) Exp(u w), by quadrature: no special cases at zero."""
    angle = np.linalg.norm(w, axis=1)[:, None]
    grow = np.exp(_NODES * size[:, None]) * _WEIGHTS
    first = (grow * _NODES * np.sinc(_NODES * angle / np.pi)).sum(axis=1)
    second = (grow * _NODES**2 / 2 * np.sinc(_NODES * angle / (2 * np.pi)) ** 2).sum(axis=1)
    turn = skew(w)
    return (
        grow.sum(axis=1)[:, None, None] * np.eye(3) + first[:, None, None] * turn + second[:, None, None] * turn @ turn
    )


def adjoint(matrices: np.ndarray) -> np.ndarray:
    """(N, 7, 7) with S exp(xi) S^-1 = exp(Ad xi)."""
    rotation, t = rotation_of(matrices), matrices[:, :3, 3]
    out = np.zeros((len(matrices), 7, 7))
    out[:, :3, :3] = matrices[:, :3, :3]
    out[:, :3, 3:6] = skew(t) @ rotation
    out[:, :3, 6] = -t
    out[:, 3:6, 3:6] = rotation
    out[:, 6, 6] = 1.0
    return out


def inverse_left_jacobian(tangents: np.ndarray) -> np.ndarray:
    """(N, 7, 7) J with log(exp(d) exp(xi)) = xi + J d for small d. The right one is this of ``-tangents``."""
    v, w, size = tangents[:, :3], tangents[:, 3:6], tangents[:, 6]
    ad = np.zeros((len(tangents), 7, 7))
    ad[:, :3, :3] = skew(w) + size[:, None, None] * np.eye(3)
    ad[:, :3, 3:6] = skew(v)
    ad[:, :3, 6] = -v
    ad[:, 3:6, 3:6] = skew(w)
    out = np.zeros_like(ad)
    power = np.broadcast_to(np.eye(7), ad.shape)
    for factor in _BERNOULLI:
        out += factor * power
        power = power @ ad
    return out


@dataclass(frozen=True)
class PointFit:
    """How one set of points lies on another: ``matrix`` (4, 4), ``residual`` the median distance in the target's unit."""

    matrix: np.ndarray
    residual: float


class _Pairs(Protocol):
    """Pairs of points where the chosen library has them."""

    def moments(self, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]: ...
    def distances(self, matrix: np.ndarray) -> Any: ...
    def huber(self, distances: Any, delta: float) -> Any: ...
    def median(self, distances: Any) -> float: ...


class _NumpyPairs:
    def __init__(self, source: np.ndarray, target: np.ndarray, weights: np.ndarray):
        self.source, self.target = source.astype(np.float64), target.astype(np.float64)
        self.weights = weights.astype(np.float64)

    def moments(self, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
        w = weights / weights.sum()
        a, b = w @ self.source, w @ self.target
        x, y = self.source - a, self.target - b
        return a, b, (y * w[:, None]).T @ x, float(w @ (x * x).sum(axis=1)), float(w @ (y * y).sum(axis=1))

    def distances(self, matrix: np.ndarray) -> Any:
        return np.linalg.norm(self.source @ matrix[:3, :3].T + matrix[:3, 3] - self.target, axis=1)

    def huber(self, distances: Any, delta: float) -> Any:
        return self.weights * np.minimum(1.0, delta / np.maximum(distances, delta * 1e-3))

    def median(self, distances: Any) -> float:
        return float(np.partition(distances, len(distances) // 2)[len(distances) // 2])


class _TorchPairs:
    """On the processor, whatever computes the passes: a few thousand points are fitted there before a card has been asked
    twice how far they are, and in float64, which Apple's cards do not have and GeForce cards are slow at."""

    def __init__(self, source: np.ndarray, target: np.ndarray, weights: np.ndarray):
        import torch  # here, so that NumPy alone is enough for the other library

        self.torch = torch
        self.source, self.target, self.weights = (
            torch.as_tensor(array, dtype=torch.float64) for array in (source, target, weights)
        )

    def moments(self, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
        w = weights / weights.sum()
        a, b = w @ self.source, w @ self.target
        x, y = self.source - a, self.target - b
        spread = (y * w[:, None]).T @ x
        sizes = float(w @ (x * x).sum(dim=1)), float(w @ (y * y).sum(dim=1))
        return a.numpy(), b.numpy(), spread.numpy(), *sizes

    def distances(self, matrix: np.ndarray) -> Any:
        m = self.torch.as_tensor(matrix, dtype=self.torch.float64)
        return (self.source @ m[:3, :3].T + m[:3, 3] - self.target).norm(dim=1)

    def huber(self, distances: Any, delta: float) -> Any:
        return self.weights * (delta / distances.clamp_min(delta * 1e-3)).clamp_max(1.0)

    def median(self, distances: Any) -> float:
        return float(distances.kthvalue(len(distances) // 2 + 1).values)


def fit_points(
    source: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    method: AlignmentMethod = AlignmentMethod.SIM3,
    library: AlignmentLibrary = AlignmentLibrary.NUMPY,
    iterations: int = 10,
    scale: float | None = None,
) -> PointFit:
    """The similarity that brings ``source`` onto ``target``, robustly.

    Closed form with weights (Umeyama 1991; the scale as ratio of spreads, Horn 1987, which noise does not shrink),
    repeated with Huber's weights. Their delta is the median distance, so that it means the same in a scene of any unit.

    Parameters
    ----------
    source, target : (P, 3), at least three pairs
    weights : (P,), >= 0
    method : ``se3`` fits no scale
    scale : taken as it is, as ``scale_se3`` wants it
    """
    kind = _TorchPairs if library is AlignmentLibrary.TORCH else _NumpyPairs
    pairs: _Pairs = kind(source, target, weights)
    if method is AlignmentMethod.SE3:
        scale = 1.0
    found = _closed_form(pairs, pairs.weights, scale)  # type: ignore[attr-defined]
    spread = float(np.sqrt(np.asarray(target).var(axis=0).sum())) or 1.0
    for _ in range(iterations):
        distances = pairs.distances(found)
        delta = max(pairs.median(distances), 1e-9 * spread)
        before, found = found, _closed_form(pairs, pairs.huber(distances, delta), scale)
        if np.abs(found - before).max() < 1e-9 * max(1.0, spread):
            break
    return PointFit(found, pairs.median(pairs.distances(found)))


def _closed_form(pairs: _Pairs, weights: Any, scale: float | None) -> np.ndarray:
    a, b, spread, size_a, size_b = pairs.moments(weights)
    u, _, vt = np.linalg.svd(spread)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    if scale is None:
        scale = float(np.sqrt(size_b / size_a)) if size_a > 0 else 1.0
    return matrix(scale, rotation, b - scale * rotation @ a)
