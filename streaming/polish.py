"""Cameras of one chunk made more exact by its pictures.

A model places each camera with an error of its own, while a video shows how each moves to the next very exactly. Corners are
followed from a frame into some later ones, beginning where depth and cameras say that they should be, and all cameras of the
chunk are then corrected at once (Gauss-Newton, Cauchy weights), held back by how far the model usually errs.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial.transform import Rotation

from ..core.geometry import invert_rigid
from ..core.prediction import Prediction
from .sim3 import cross

AHEAD = (1, 2, 4, 7)  # frames later in which a frame's corners are looked for
CORNERS = 120  # of a frame
SURFACES = 40  # independent places of a pair of frames: depth errors of neighbours are alike
FEWEST = 8  # corners that a pair of frames needs
PIXELS = 0.4  # error of a corner's place
DEPTH = 0.03  # relative error of a depth
TURN, SHIFT = np.radians(0.3), 0.01  # how far a camera errs at least; the latter relative to the median depth
STRAY = 0.1  # of the image's width: a corner farther from where it was expected is another one
STEEP = 1.2  # ratio of depths around a place beyond which there is more than one surface
RETURN = 0.5  # pixels that a corner may be off when it is followed there and back
STEPS = 8


@dataclass(frozen=True)
class _Ties:
    """M corners: seen in ``source`` with a depth, found again in ``target``."""

    source: np.ndarray  # (M,)
    target: np.ndarray
    points: np.ndarray  # (M, 3) in the source's camera
    rays: np.ndarray  # (M, 2) in the target's, at depth 1
    depth: np.ndarray  # (M,) of the target there; 0 where it has none
    share: np.ndarray  # (M,) weight
    corner: np.ndarray  # (M,) number of the corner in its source, from 0
    pixel: float  # at depth 1


def polish(prediction: Prediction) -> np.ndarray:
    """(N, 3, 4) world to camera, corrected; as they were where the pictures say nothing."""
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    if len(prediction) < 2 or prediction.images.shape[:3] != prediction.depth.shape:
        return prediction.extrinsics
    if PIXELS / prediction.intrinsics[:, 0, 0].mean() > TURN:
        return prediction.extrinsics  # too coarse: a corner's place is less sure than the cameras are
    known = prediction.depth[:, ::4, ::4]
    unit = float(np.median(known[known > 0])) if (known > 0).any() else 1.0
    cameras = invert_rigid(prediction.extrinsics)
    ties = _follow(prediction, cameras)
    if ties is None:
        return prediction.extrinsics
    return invert_rigid(_solve(cameras, ties, unit))


def _follow(prediction: Prediction, cameras: np.ndarray) -> _Ties | None:
    assert prediction.intrinsics is not None
    count, height, width = prediction.depth.shape
    grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in prediction.images]
    size = int(np.clip(height // 6, 5, 15)) | 1
    levels = 2 if height >= 150 else 1
    smooth = [cv2.medianBlur(np.ascontiguousarray(d), 3) for d in prediction.depth]
    flat = [_flat(d, c, size) for d, c in zip(smooth, prediction.conf, strict=True)]
    parts = []
    for i in range(count - 1):
        usable = flat[i].astype(np.uint8)
        corners = cv2.goodFeaturesToTrack(grey[i], CORNERS, 0.01, max(3, width // 40), mask=usable)
        if corners is None or len(corners) < FEWEST:
            continue
        corners = corners.reshape(-1, 2)
        column, row = np.rint(corners).astype(int).T
        points = _rays(corners + 0.5, prediction.intrinsics[i]) * smooth[i][row, column].astype(np.float64)[:, None]
        world = points @ cameras[i, :, :3].T + cameras[i, :, 3]
        for j in (i + n for n in AHEAD if i + n < count):
            there = (world - cameras[j, :, 3]) @ cameras[j, :, :3]
            image = there @ prediction.intrinsics[j].T
            with np.errstate(divide="ignore", invalid="ignore"):
                expected = image[:, :2] / image[:, 2:] - 0.5
            ahead = (there[:, 2] > 0) & (expected >= 2).all(axis=1) & (expected < (width - 3, height - 3)).all(axis=1)
            rows = np.flatnonzero(ahead)
            if len(rows) < FEWEST:
                continue
            start = expected[rows].astype(np.float32)
            found, good, _ = cv2.calcOpticalFlowPyrLK(
                grey[i], grey[j], corners[rows], start.copy(), winSize=(size, size), maxLevel=levels,
                flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-3,
            )  # fmt: skip
            at = np.rint(found).astype(int)
            inside = (at >= 0).all(axis=1) & (at < (width, height)).all(axis=1)
            near = np.linalg.norm(found - start, axis=1) < STRAY * width
            back, returned, _ = cv2.calcOpticalFlowPyrLK(
                grey[j], grey[i], found, corners[rows].copy(), winSize=(size, size), maxLevel=levels,
                flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-3,
            )  # fmt: skip
            same = np.linalg.norm(back - corners[rows], axis=1) < RETURN
            kept = inside & near & same & (good[:, 0] > 0) & (returned[:, 0] > 0)
            x, y = at[kept].T
            kept[kept] = flat[j][y, x]
            if kept.sum() < FEWEST:
                continue
            x, y = at[kept].T
            rays = _rays(found[kept] + 0.5, prediction.intrinsics[j])[:, :2]
            number = int(kept.sum())
            share = np.full(number, min(1.0, SURFACES / number))
            depth = smooth[j][y, x].astype(np.float64)
            named = i * CORNERS + rows[kept]
            parts.append((np.full(number, i), np.full(number, j), points[rows[kept]], rays, depth, share, named))
    if not parts:
        return None
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _Ties(*columns, 1.0 / prediction.intrinsics[0, 0, 0])  # type: ignore[call-arg]


def _flat(depth: np.ndarray, conf: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool: places with one surface around them. At a step, what is seen slides over what is behind it."""
    kernel = np.ones((min(size, 7), min(size, 7)), np.uint8)
    near, far = cv2.erode(depth, kernel), cv2.dilate(depth, kernel)
    return (conf > 0) & (near > 0) & (far < STEEP * near)


def _rays(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(P, 3) of z = 1."""
    rays = np.ones((len(pixels), 3))
    rays[:, :2] = (pixels - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
    return rays


def _solve(cameras: np.ndarray, ties: _Ties, unit: float) -> np.ndarray:
    """Corrected cameras to world. Unknown: a turn and a shift of each camera, in its own axes, and the depth of each corner,
    which is eliminated (Schur's complement)."""
    count, size = len(cameras), 6 * len(cameras)
    least = np.array([TURN] * 3 + [SHIFT * unit] * 3)
    corrections = np.zeros((count, 6))
    names, corner = np.unique(ties.corner, return_inverse=True)
    deeper = np.zeros(len(names))  # logarithm of the factor by which each corner's depth is off
    columns = np.concatenate([6 * ties.source[:, None] + np.arange(6), 6 * ties.target[:, None] + np.arange(6)], axis=1)
    rows = np.repeat(corner, 12)
    for step in range(STEPS):
        # How far this model's cameras do err is seen by the corrections themselves.
        off = np.sqrt((corrections**2).reshape(count, 2, 3).mean(axis=(0, 2)))
        spread = np.tile(np.maximum(least, np.repeat(off, 3)) * (3.0 if step == 0 else 1.0), count)
        rotations, centres = _corrected(cameras, corrections)
        residual, jacobian, by_depth = _tied(ties, rotations, centres, deeper[corner])
        # Wide at first, so that a camera far off is not taken for a bad corner.
        width = 25.0 if step < 2 else 9.0
        weight = ties.share / (1.0 + (residual**2).sum(axis=1) / width)
        weighted = np.swapaxes(jacobian, 1, 2) * weight[:, None, None]
        hessian = coo_matrix(
            ((weighted @ jacobian).ravel(), (np.repeat(columns, 12, axis=1).ravel(), np.tile(columns, 12).ravel())),
            (size, size),
        ).toarray()
        gradient = np.bincount(columns.ravel(), (weighted @ residual[..., None]).ravel(), size)
        hessian[np.arange(size), np.arange(size)] += 1.0 / spread**2
        gradient += corrections.ravel() / spread**2
        of_depth = np.bincount(corner, weight * (by_depth**2).sum(axis=1)) + 1.0 / DEPTH**2
        slope = np.bincount(corner, weight * (by_depth * residual).sum(axis=1)) + deeper / DEPTH**2
        mixed = csr_matrix(((weighted @ by_depth[..., None]).ravel(), (rows, columns.ravel())), (len(names), size))
        carried = mixed.multiply(1.0 / of_depth[:, None]).tocsr()
        change = -np.linalg.solve(hessian - (carried.T @ mixed).toarray(), gradient - carried.T @ slope)
        deeper -= (slope + mixed @ change) / of_depth
        corrections += change.reshape(count, 6)
        turns, shifts = np.abs(change).reshape(count, 2, 3).max(axis=(0, 2))
        if turns < 1e-5 and shifts < 1e-5 * unit:
            break
    rotations, centres = _corrected(cameras, corrections)
    return np.concatenate([rotations, centres[:, :, None]], axis=2)


def _corrected(cameras: np.ndarray, corrections: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rotations = cameras[:, :, :3]
    centres = cameras[:, :, 3] + np.einsum("kij,kj->ki", rotations, corrections[:, 3:])
    return rotations @ Rotation.from_rotvec(corrections[:, :3]).as_matrix(), centres


def _tied(
    ties: _Ties, rotations: np.ndarray, centres: np.ndarray, deeper: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (M, 3) in standard deviations: place in the image, twice, and depth; and their derivatives by the corrections
    of both cameras, (M, 3, 12), and by ``deeper``, (M, 3)."""
    x = ties.points * np.exp(deeper)[:, None]
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
            np.log(z / np.where(known, ties.depth, z)) * deep,
        ],
        axis=-1,
    )
    by_y = np.zeros((len(x), 3, 3))
    by_y[:, 0, 0] = by_y[:, 1, 1] = image / z
    by_y[:, 0, 2], by_y[:, 1, 2] = -image * y[:, 0] / z**2, -image * y[:, 1] / z**2
    by_y[:, 2, 2] = deep / z
    by_x = by_y @ turn
    jacobian = np.concatenate([-by_x @ cross(x), by_x, by_y @ cross(y), -by_y], axis=2)
    return residual, jacobian, (by_x @ x[..., None])[..., 0]
