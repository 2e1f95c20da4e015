"""How two passes that share frames lie to each other, and how sure that is.

A shared frame says four things: how its camera is turned in both passes, where the camera stands, where what it sees
lies, and how the depths compare. Which of them to trust differs from model to model and from scene to scene, so the spread of each
over the shared frames is measured, and each gets the weight it has earned. The points of one frame move as one with its
camera, in a shared frame's two copies pixel by pixel, so they count as one place and not as thousands (docs/streaming.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.alignment.pass_alignment import mean_rotation, weighted_median
from ...core.geometry.projection import invert_rigid
from ...core.geometry.similarity import skew
from ...core.prediction.prediction import Prediction
from ...core.settings import AlignmentLibrary, AlignmentMethod
from . import sim3

SAMPLES = 3000  # pixels of a frame that are looked at
STARTING = 6000  # points of all frames that a first guess needs
SURE = 0.1  # of the smaller median confidence: pixels below are left out, as the official method does it
OUTLIER = 0.2  # of the logarithm of a ratio of depths
ITERATIONS = 8
ALIKE = 4.0  # neighbouring frames whose errors are about the same, since one chunk's pictures correct them together
HUBER = 2.0  # standard deviations at which a frame's say stops growing
# What is assumed before anything is seen (per axis; lengths relative to the median depth), worth this many frames.
PRIOR_FRAMES = 0.1
PRIOR = {"turn": np.radians(0.5), "place": 0.01, "seen": 0.02, "scale": 0.01}


@dataclass(frozen=True)
class Fit:
    """Where one pass lies in another's world.

    ``matrix`` (4, 4) brings own points into the reference's world; ``information`` (7, 7) is the inverse covariance of
    the error xi in ``matrix @ exp(xi)``; ``residual`` the median relative difference of depths and places after it, None
    where no surface is seen by both; ``shared`` how many frames it stands on; ``spread`` the standard deviations found.
    """

    matrix: np.ndarray
    information: np.ndarray
    residual: float | None
    shared: int
    spread: dict[str, float]


@dataclass
class _Shared:
    """K shared frames: cameras to world of both passes, and P pixels of each as points of both cameras."""

    reference: np.ndarray  # (K, 3, 4)
    own: np.ndarray
    rays: np.ndarray  # (P, 3) of z = 1, by frame (K, P, 3)
    reference_depth: np.ndarray  # (K, P)
    own_depth: np.ndarray
    own_rays: np.ndarray
    weights: np.ndarray  # (K, P)


def fit(
    reference: Prediction,
    reference_rows: Sequence[int],
    own: Prediction,
    own_rows: Sequence[int],
    method: AlignmentMethod = AlignmentMethod.SIM3,
    library: AlignmentLibrary = AlignmentLibrary.NUMPY,
) -> Fit:
    """The similarity that brings ``own`` into the world of ``reference``.

    Parameters
    ----------
    reference_rows, own_rows : the frames that both have, in the same order; at least one
    """
    shared = _gather(reference, reference_rows, own, own_rows)
    scales, seen_by_both = _scales(shared)
    fixed: float | None = None
    if method is AlignmentMethod.SE3:
        fixed = 1.0
    elif method is AlignmentMethod.SCALE_SE3:
        fixed = float(np.exp(np.median(scales[seen_by_both]))) if seen_by_both.any() else 1.0
    start = _start(shared, scales, seen_by_both, fixed, method, library)
    found, information, spread = _refine(shared, scales, seen_by_both, start, fixed)
    information = information / min(ALIKE, len(own_rows))
    return Fit(found, information, _residual(shared, found), len(own_rows), spread)


def _gather(reference: Prediction, rows_a: Sequence[int], own: Prediction, rows_b: Sequence[int]) -> _Shared:
    assert reference.extrinsics is not None and own.extrinsics is not None
    assert reference.intrinsics is not None and own.intrinsics is not None
    height, width = own.depth.shape[1:]
    step = max(1, round((height * width / SAMPLES) ** 0.5))
    start = step // 2
    v, u = np.mgrid[start:height:step, start:width:step] + 0.5
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])

    def sampled(array: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        return np.stack([array[row, start::step, start::step].ravel() for row in rows]).astype(np.float64)

    def rays(intrinsics: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        return np.swapaxes(np.linalg.inv(intrinsics[list(rows)]) @ pixels, 1, 2)

    depth_a, depth_b = sampled(reference.depth, rows_a), sampled(own.depth, rows_b)
    conf_a, conf_b = sampled(reference.conf, rows_a), sampled(own.conf, rows_b)
    good = (depth_a > 0) & (depth_b > 0) & (conf_a > 0) & (conf_b > 0)
    if good.any():
        good &= np.minimum(conf_a, conf_b) > SURE * min(np.median(conf_a[good]), np.median(conf_b[good]))
    return _Shared(
        invert_rigid(reference.extrinsics[list(rows_a)]),
        invert_rigid(own.extrinsics[list(rows_b)]),
        rays(reference.intrinsics, rows_a),
        depth_a,
        depth_b,
        rays(own.intrinsics, rows_b),
        np.where(good, np.sqrt(conf_a * conf_b), 0.0),
    )


def _scales(shared: _Shared) -> tuple[np.ndarray, np.ndarray]:
    """(K,) median logarithm of the ratio of depths, and whether the frame has one; outliers lose their weight."""
    scales = np.zeros(len(shared.weights))
    seen = np.zeros(len(shared.weights), bool)
    for k, weight in enumerate(shared.weights):
        good = weight > 0
        if good.any():
            seen[k] = True
            ratio = np.log(shared.reference_depth[k, good] / shared.own_depth[k, good])
            scales[k] = weighted_median(ratio, weight[good])
            weight[good] *= np.abs(ratio - scales[k]) < OUTLIER
    return scales, seen


def _start(
    shared: _Shared,
    scales: np.ndarray,
    seen: np.ndarray,
    fixed: float | None,
    method: AlignmentMethod,
    library: AlignmentLibrary,
) -> np.ndarray:
    """From the points of all shared frames; from the cameras where there are too few."""
    good = shared.weights > 0
    if good.sum() >= 100:
        some = slice(None, None, max(1, int(good.sum()) // STARTING))
        source = _world(shared.own, shared.own_rays, shared.own_depth)[good][some]
        target = _world(shared.reference, shared.rays, shared.reference_depth)[good][some]
        return sim3.fit_points(source, target, shared.weights[good][some], method, library, scale=fixed).matrix
    rotation = mean_rotation(shared.reference[:, :, :3] @ np.swapaxes(shared.own[:, :, :3], 1, 2))
    scale = fixed if fixed is not None else float(np.exp(np.median(scales[seen]))) if seen.any() else 1.0
    offset = np.median(shared.reference[:, :, 3] - scale * shared.own[:, :, 3] @ rotation.T, axis=0)
    return sim3.matrix(scale, rotation, offset)


def _world(cameras: np.ndarray, rays: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(K, P, 3)."""
    return (rays * depth[..., None]) @ np.swapaxes(cameras[:, :, :3], 1, 2) + cameras[:, None, :, 3]


def _refine(
    shared: _Shared, scales: np.ndarray, seen: np.ndarray, start: np.ndarray, fixed: float | None
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Gauss-Newton over all four kinds of evidence; their variances are found along with the similarity."""
    found = start
    k = len(scales)
    total = np.maximum(shared.weights.sum(axis=1), 1e-12)[:, None]
    anchors_a = (shared.weights[..., None] * shared.rays * shared.reference_depth[..., None]).sum(axis=1) / total
    anchors_b = (shared.weights[..., None] * shared.own_rays * shared.own_depth[..., None]).sum(axis=1) / total
    seen = seen & (shared.weights.sum(axis=1) > 0)
    own_seen = _world(shared.own, anchors_b[:, None], np.ones((k, 1)))[:, 0]
    reference_seen = _world(shared.reference, anchors_a[:, None], np.ones((k, 1)))[:, 0]
    depth = float(np.median(anchors_b[seen, 2])) if seen.any() else 1.0
    information = np.eye(7)
    spread: dict[str, float] = {}
    free = np.arange(7) if fixed is None else np.arange(6)
    for _ in range(ITERATIONS):
        back = sim3.inverse(found)
        rotation, scale = sim3.rotation_of(found), float(sim3.scale_of(found))
        turns = rotation.T @ shared.reference[:, :, :3] @ np.swapaxes(shared.own[:, :, :3], 1, 2)
        evidence = {
            "turn": (Rotation.from_matrix(turns).as_rotvec(), _turning(k)),
            "place": _placed(shared.reference[:, :, 3], shared.own[:, :, 3], back),
        }
        if seen.any():
            evidence["seen"] = _placed(reference_seen[seen], own_seen[seen], back)
            if fixed is None:
                jacobian = np.zeros((int(seen.sum()), 1, 7))
                jacobian[:, 0, 6] = 1.0
                evidence["scale"] = ((scales[seen] - np.log(scale))[:, None], jacobian)
        information, right = np.zeros((7, 7)), np.zeros(7)
        for kind, (residual, jacobian) in evidence.items():
            prior = PRIOR[kind] * (depth if kind in ("place", "seen") else 1.0)
            sigma, weights = _spread(residual, prior)
            spread[kind] = sigma
            weighted = jacobian * (weights / sigma**2)[:, None, None]
            information += np.einsum("kri,krj->ij", weighted, jacobian)
            right += np.einsum("kri,kr->i", weighted, residual)
        if fixed is not None:
            information[6, :] = information[:, 6] = 0.0
            information[6, 6] = 1e12
        step = np.zeros(7)
        part = information[np.ix_(free, free)]
        step[free] = np.linalg.solve(part + 1e-12 * np.diag(np.diag(part)), right[free])
        found = found @ sim3.exp(step[None])[0]
        if np.abs(step).max() < 1e-10 * max(1.0, depth):
            break
    return found, information, spread


def _turning(count: int) -> np.ndarray:
    jacobian = np.zeros((count, 3, 7))
    jacobian[:, :, 3:6] = np.eye(3)
    return jacobian


def _placed(reference: np.ndarray, own: np.ndarray, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (K, 3) of places in the own world, and how they answer to a perturbation, (K, 3, 7)."""
    there = reference @ back[:3, :3].T + back[:3, 3]
    jacobian = np.zeros((len(own), 3, 7))
    jacobian[:, :, :3] = np.eye(3)
    jacobian[:, :, 3:6] = -skew(there)
    jacobian[:, :, 6] = there
    return there - own, jacobian


def _spread(residual: np.ndarray, prior: float) -> tuple[float, np.ndarray]:
    """Standard deviation along one axis, and each frame's Huber weight (K,)."""
    count, axes = residual.shape
    size = np.sqrt((residual**2).mean(axis=1))
    # Median of the root mean square of normal numbers: 0.674 for one axis, 0.888 for three.
    robust = float(np.median(size)) / (0.888 if axes == 3 else 0.674)
    clipped = np.minimum(size, HUBER * max(robust, 1e-9 * prior))
    variance = float((clipped**2).mean()) * count / max(count - 1, 1)
    sigma = np.sqrt((PRIOR_FRAMES * prior**2 + (count - 1) * variance) / (PRIOR_FRAMES + count - 1))
    return float(sigma), np.minimum(1.0, HUBER * sigma / np.maximum(size, 1e-12))


def _residual(shared: _Shared, found: np.ndarray) -> float | None:
    """Median over pixels of the distance between both copies of a point, relative to its depth."""
    good = shared.weights > 0
    if not good.any():
        return None
    own = _world(shared.own, shared.own_rays, shared.own_depth)[good] @ found[:3, :3].T + found[:3, 3]
    reference = _world(shared.reference, shared.rays, shared.reference_depth)[good]
    distance = np.linalg.norm(own - reference, axis=1)
    return float(np.median(distance / shared.reference_depth[good]))
