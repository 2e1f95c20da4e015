"""How well the neighbours agree with a view, depth by depth: the matching cost of a plane sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ....monitor import Monitor

WINDOW = (5, 5)  # pixels over which grey values are correlated
NOISE = (2.0 / 255.0) ** 2  # variance of grey values that JPEG and sensor make; texture below it decides nothing
BEHIND = 1e-6  # depth; nearer to the camera's plane is as good as behind it
FAR_OUTSIDE = -1e4  # pixels, where a place lands that the neighbour does not see
FEW = 1.0  # neighbours; what only one of many sees matches by chance more easily than what all see
SCALE = 1000.0  # of the costs in 16 bits


@dataclass
class Ray:
    """Where a view's pixels lie in one neighbour: ``(a + w b)`` in homogeneous pixels, w the inverse depth."""

    a: np.ndarray  # (3, H, W) float32
    b: np.ndarray  # (3,) float32

    @classmethod
    def between(
        cls, intrinsics: np.ndarray, extrinsics: np.ndarray, view: int, other: int, size: tuple[int, ...]
    ) -> Ray:
        """``intrinsics`` (N, 3, 3), ``extrinsics`` (N, 3, 4); ``size`` is (height, width)."""
        to_pixel, shift = relative(intrinsics, extrinsics, view, other)
        u, v = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
        a = np.stack([(row[0] * u + (row[1] * v + row[2])) for row in to_pixel])
        return cls(a.astype(np.float32), shift.astype(np.float32))

    def look_up(self, inverse_depth: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y in pixels as OpenCV counts them (0 is the centre of the first), and z; (H, W) each.

        What lies behind the neighbour lands far outside it.
        """
        z = self.a[2] + inverse_depth * self.b[2]
        inverse = 1.0 / np.maximum(z, BEHIND)
        x = (self.a[0] + inverse_depth * self.b[0]) * inverse
        x -= 0.5
        y = (self.a[1] + inverse_depth * self.b[1]) * inverse
        y -= 0.5
        if z.min() <= BEHIND:
            x[z <= BEHIND] = FAR_OUTSIDE
        return x, y, z


def relative(intrinsics: np.ndarray, extrinsics: np.ndarray, view: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) and (3,): a view's pixel (u, v, 1) times its depth, by the matrix, plus the vector, is homogeneous in another."""
    rotation = extrinsics[other, :, :3] @ extrinsics[view, :, :3].T
    shift = extrinsics[other, :, 3] - rotation @ extrinsics[view, :, 3]
    return intrinsics[other] @ rotation @ np.linalg.inv(intrinsics[view]), intrinsics[other] @ shift


class Matcher:
    """Compares one view with its neighbours along a surface that is given by inverse depths."""

    def __init__(
        self, gray: Sequence[np.ndarray] | np.ndarray, view: int, neighbours: Sequence[int], rays: Sequence[Ray]
    ):
        """``gray`` : N times (H, W) float32, 0 to 1, all views."""
        self.rays = list(rays)
        self.others = [gray[i] for i in neighbours]
        self.own = gray[view]
        self.mean = _box(self.own)
        variance = np.maximum(_box(self.own * self.own) - self.mean * self.mean, 0.0)
        self.certainty = 1.0 / np.sqrt(variance + NOISE)

    def similarity(self, inverse_depth: np.ndarray | float) -> np.ndarray:
        """(H, W) normalised correlation, -1 to 1: mean over the better half of the neighbours, less where few see it.

        A pixel that is hidden in some neighbours is seen by the others; those decide.
        """
        scores, seen = [], np.zeros(self.own.shape, np.int8)
        for ray, other in zip(self.rays, self.others, strict=True):
            x, y, _ = ray.look_up(inverse_depth)
            warped = cv2.remap(other, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-1.0)
            outside = warped < 0.0
            np.maximum(warped, 0.0, out=warped)
            mean = _box(warped)
            score = _box(warped * self.own)
            score -= mean * self.mean
            score *= self.certainty
            variance = _box(warped * warped)
            mean *= mean
            variance -= mean
            np.maximum(variance, 0.0, out=variance)
            variance += NOISE
            np.sqrt(variance, out=variance)
            score /= variance
            score[outside] = -1.0
            seen += ~outside
            scores.append(score)
        return mean_of_better_half(scores, seen)

    def volume(self, inverse_depths: np.ndarray, monitor: Monitor) -> np.ndarray:
        """(D, H, W) int16 costs from 0 (equal) to 1000 for D planes."""
        costs = np.empty((len(inverse_depths), *self.own.shape), np.int16)
        for k, w in enumerate(inverse_depths.astype(np.float32)):
            monitor.check()
            cost = self.similarity(w)
            np.subtract(1.0, cost, out=cost)
            cost *= SCALE
            np.clip(cost, 0.0, SCALE, out=cost)
            costs[k] = cost
        return costs


def mean_of_better_half(scores: Sequence[np.ndarray], seen: np.ndarray) -> np.ndarray:
    """Mean of the larger half of n scores, by passing each largest up.

    Parameters
    ----------
    scores : n times (H, W), -1 where a neighbour does not see the pixel
    seen : (H, W) integer, how many neighbours do

    Returns
    -------
    (H, W) float32, 0 where no neighbour sees it
    """
    half = (seen + 1) // 2
    rest = list(scores)
    total = np.zeros(seen.shape, np.float32)
    for k in range((len(rest) + 1) // 2):
        largest = rest[0]
        passed = []
        for other in rest[1:]:
            passed.append(np.minimum(largest, other))
            largest = np.maximum(largest, other)
        total += np.where(half > k, largest, np.float32(0.0))
        rest = passed
    total *= seen / ((seen + np.float32(FEW)) * np.maximum(half, 1))
    return total


def _box(x: np.ndarray) -> np.ndarray:
    return cv2.blur(x, WINDOW, borderType=cv2.BORDER_REPLICATE)
