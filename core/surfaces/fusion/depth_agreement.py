"""Makes depth maps agree with each other before they are fused, and measures how far they still do not.

A model's error in a depth map is mostly smooth: whole regions are some percent too near or too far. What a frame's
neighbours say along its rays tells that error, and the smooth part of it is taken out; several rounds of it bring all frames
to what most of them say. It needs one small depth map of each frame, not the frames themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ...monitor import Monitor
from ...prediction.prediction import Prediction
from . import frame_kernels
from .depth_maps import Frame, taken

WIDTH = 56  # pixels of the longer side of the small depth maps
NEIGHBOURS = 10  # of a frame that it is compared with
CANDIDATES = 80  # of a frame, those that look at the nearest places
PROBES = 64  # pixels of a frame that tell whether another sees the same
LEAST_SHARED = 0.2  # of a frame's probes, for a neighbour
ROUNDS = 4
ROUNDS_OF_A_PASS = 2  # its few frames see each other at once: what is left after four is no less (docs/streaming.md)
SMOOTH = 0.06  # standard deviation of the window that tells the smooth part from noise, in widths of the image
GATE = 0.12  # relative; places that differ by more at first are different surfaces
MOST_UNEVEN = 3.0  # how much more exact than another one view can be taken to be
PRIOR = 1.0  # neighbours' worth of trust in the frame itself


@dataclass
class Small:
    """A frame's small depth map and camera; ``log_scale`` is what has been found to be wrong with it."""

    depth: np.ndarray  # (h, w) float32, 0 where unknown
    facing: np.ndarray  # (h, w) float32
    intrinsics: np.ndarray  # (3, 3) of the small map
    extrinsics: np.ndarray  # (3, 4)
    step: int  # pixels of the frame for each of the small map
    log_scale: np.ndarray  # (h, w) float32: the right depth is the frame's times its exponential


@dataclass(frozen=True)
class Noise:
    """How depths of one place differ between frames: standard deviations relative to the depth."""

    before: float
    after: float


class Agreement:
    """Collects frames, then finds their corrections."""

    def __init__(self) -> None:
        self.small: list[Small] = []

    def add(self, frame: Frame) -> None:
        """Note what is needed of a frame."""
        step, part = _looked_at(frame.depth.shape)
        depth, facing = (np.ascontiguousarray(values[part]) for values in (frame.depth, frame.facing))
        self._add(depth, facing, step, frame.intrinsics, frame.extrinsics)

    def add_row(self, prediction: Prediction, row: int) -> None:
        """``add`` of a frame of a prediction, all of whose pixels with confidence are taken: only those looked at are computed."""
        assert prediction.extrinsics is not None and prediction.intrinsics is not None
        step, part = _looked_at(prediction.depth[row].shape)
        cameras = (np.asarray(values[row], np.float64) for values in (prediction.intrinsics, prediction.extrinsics))
        self._add(*taken(prediction, row, 0.0, part), step, *cameras)

    def _add(
        self, depth: np.ndarray, facing: np.ndarray, step: int, intrinsics: np.ndarray, extrinsics: np.ndarray
    ) -> None:
        """A small depth map, of a frame whose camera has these ``intrinsics``."""
        intrinsics = intrinsics.copy()
        intrinsics[:2, 2] += 0.5 * step - (step // 2 + 0.5)  # the pixels taken become the small pixels' centres
        intrinsics[:2] /= step
        self.small.append(Small(depth, facing, intrinsics, extrinsics, step, np.zeros(depth.shape, np.float32)))

    def solve(self, monitor: Monitor) -> Noise:
        """Find the corrections, and how far frames were and are from each other; ``log_scale`` holds them afterwards."""
        spreads = list(self._rounds(monitor))
        return Noise(spreads[0], spreads[-1])

    def correct(self, monitor: Monitor, rounds: int = ROUNDS) -> None:
        """``solve``, without looking once more how far frames are from each other now."""
        list(itertools.islice(self._rounds(monitor), rounds))

    def _rounds(self, monitor: Monitor) -> Iterator[float]:
        """Correct again and again; how far frames are from each other before each, and after the last."""
        together = _Together(self.small)
        neighbours = self._neighbours(together, monitor)
        gate = GATE
        for number in range(ROUNDS + 1):
            together.correct(self.small)
            found = []
            for i in range(len(self.small)):
                monitor.check()
                found.append(self._differences(i, neighbours[i], together, gate))
            spread = _spread([f[0][f[1] > 0] for f in found])
            if number < ROUNDS:
                gate = float(np.clip(5.0 * spread, 0.01, GATE))
                for small, (difference, weight) in zip(self.small, found, strict=True):
                    small.log_scale = small.log_scale + _smooth_part(difference, weight)
            yield spread

    def correction(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        """(H, W) float32, by which the depth of the frame added as ``number`` is multiplied."""
        small = self.small[number]
        return np.exp(cv2.resize(small.log_scale, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR))

    def _neighbours(self, together: _Together, monitor: Monitor) -> list[np.ndarray]:
        """Frames that see much of what each frame sees."""
        count = len(self.small)
        probes = [_probes(s) for s in self.small]
        middles = np.array([p.mean(axis=0) if len(p) else np.full(3, np.inf) for p in probes])
        usable = np.flatnonzero(np.isfinite(middles).all(axis=1))
        result = [np.zeros(0, int)] * count
        if len(usable) < 2:
            return result
        nearest = cKDTree(middles[usable]).query(middles[usable], k=min(CANDIDATES, len(usable)))[1]
        for i, near in zip(usable, usable[np.atleast_2d(nearest)], strict=True):
            monitor.check()
            others = near[near != i]
            shared = _shares(probes[i], together, others)
            good = others[shared >= LEAST_SHARED]
            order = good[np.argsort(-shared[shared >= LEAST_SHARED], kind="stable")]
            # Spread over all that see it, so that what is found travels far.
            chosen = np.unique(np.linspace(0, len(order) - 1, NEIGHBOURS).round().astype(int)) if len(order) else []
            result[i] = order[chosen] if len(order) else order
        return result

    def _differences(
        self, i: int, others: np.ndarray, together: _Together, gate: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of each pixel of a frame, the log of the factor that neighbours would put on its depth, and their weight; (h, w)."""
        own = self.small[i]
        total, weight = np.zeros(own.depth.shape, np.float32), np.zeros(own.depth.shape, np.float32)
        row, column = np.nonzero(own.depth)
        if not len(row) or not len(others):
            return total, weight
        z = own.depth[row, column] * np.exp(own.log_scale[row, column])
        found = together.differences(own, row, column, z, others, gate)
        total[row, column], weight[row, column] = found
        return total, weight


def bring_together(prediction: Prediction, monitor: Monitor) -> None:
    """Take the smooth error inside each depth map out of a prediction, in place, by what its N frames say of each other.

    The mean of a frame's log depth stays what it is: how large frames are beside each other is not decided here.
    """
    agreement = Agreement()
    for row in range(len(prediction)):
        agreement.add_row(prediction, row)
    agreement.correct(monitor, ROUNDS_OF_A_PASS)
    for i, depth in enumerate(prediction.depth):
        known = depth > 0
        if known.any():
            correction = agreement.correction(i, depth.shape)
            depth *= correction / np.exp(np.log(correction[known]).mean())


def _looked_at(shape: tuple[int, ...]) -> tuple[int, tuple[slice, slice]]:
    """Pixels of a frame (H, W) for each of its small depth map, and which of them that has."""
    step = max(1, round(max(shape) / WIDTH))
    return step, np.s_[step // 2 :: step, step // 2 :: step]


class _Together:
    """The small depth maps of all frames in one row, so that many are looked at in one step."""

    def __init__(self, small: list[Small]) -> None:
        self._sizes = np.array([s.depth.shape for s in small], np.int64).reshape(-1, 2)
        pixels = self._sizes.prod(axis=1)
        self._begin = np.cumsum(pixels) - pixels
        self._rotation = np.array([s.intrinsics @ s.extrinsics[:, :3] for s in small]).reshape(-1, 3, 3)
        self._shift = np.array([s.intrinsics @ s.extrinsics[:, 3] for s in small]).reshape(-1, 3)
        self.facing = _row([s.facing for s in small])
        self.correct(small)

    def correct(self, small: list[Small]) -> None:
        """Take the depths as they have been found to be."""
        self.depth = _row([s.depth * np.exp(s.log_scale) for s in small])

    def project(self, points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places (P, 3) in some frames (M,): pixel in the row, depth (float32), and whether the frame has it in view; (M, P)
        each. A pixel is always one of the frame's."""
        turned = self._rotation[others].reshape(-1, 3) @ points.T
        x, y, depth = np.swapaxes(turned.reshape(len(others), 3, -1) + self._shift[others][..., None], 0, 1)
        safe = np.maximum(depth, 1e-9)
        u, v = x / safe, y / safe
        height, width = self._sizes[others].T[..., None]
        inside = (depth > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        column, row = (np.where(inside, at, 0).astype(np.int64) for at in (u, v))
        return self._begin[others][:, None] + row * width + column, depth.astype(np.float32), inside

    def differences(
        self, own: Small, row: np.ndarray, column: np.ndarray, z: np.ndarray, others: np.ndarray, gate: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """``frame_kernels.depth_differences`` of P pixels of a frame, at depths ``z``; from its own camera on, so that 32 bits are
        enough anywhere."""
        k, pose = own.intrinsics, own.extrinsics
        rays = np.stack([(column + 0.5 - k[0, 2]) / k[0, 0], (row + 0.5 - k[1, 2]) / k[1, 1], np.ones(len(z))])
        turn = self._rotation[others] @ pose[:, :3].T
        shift = self._shift[others] - turn @ pose[:, 3]
        turn, shift, rays = (values.astype(np.float32) for values in (turn, shift, rays))
        return frame_kernels.depth_differences(
            z, own.facing[row, column], rays, turn, shift, self._begin[others], self._sizes[others],
            self.depth, self.facing, gate, MOST_UNEVEN,
        )  # fmt: skip


def _row(maps: list[np.ndarray]) -> np.ndarray:
    """Maps one after the other, (S,) float32."""
    return np.concatenate([np.zeros(0, np.float32), *(m.reshape(-1) for m in maps)])


def _probes(small: Small) -> np.ndarray:
    """(P, 3) some places that a frame sees."""
    row, column = np.nonzero(small.depth)
    if not len(row):
        return np.zeros((0, 3))
    chosen = np.linspace(0, len(row) - 1, min(PROBES, len(row))).astype(int)
    row, column = row[chosen], column[chosen]
    return _world(small, row, column, small.depth[row, column])


def _shares(points: np.ndarray, together: _Together, others: np.ndarray) -> np.ndarray:
    """(M,) share of the places that each of the other frames sees."""
    pixel, reached, inside = together.project(points, others)
    theirs = together.depth[pixel]
    return (inside & (np.abs(theirs - reached) < GATE * theirs)).mean(axis=1)


def _world(small: Small, row: np.ndarray, column: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(P, 3) places of pixels at depths ``z``."""
    k, pose = small.intrinsics, small.extrinsics
    x, y = (column + 0.5 - k[0, 2]) / k[0, 0] * z - pose[0, 3], (row + 0.5 - k[1, 2]) / k[1, 1] * z - pose[1, 3]
    ahead = z - pose[2, 3]
    return np.stack([x * a + y * b + ahead * c for a, b, c in pose[:, :3].T], axis=-1)  # thin products take longer


def _smooth_part(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What is smooth of the differences (h, w), as far as it is sure; continued where nothing is known."""
    sigma = SMOOTH * max(difference.shape)
    trust = weight / (weight + PRIOR)
    blurred = cv2.GaussianBlur((difference * trust).astype(np.float32), (0, 0), sigma)
    norm = cv2.GaussianBlur((weight > 0).astype(np.float32), (0, 0), sigma)
    return blurred / np.maximum(norm, 0.05)


def _spread(parts: list[np.ndarray]) -> float:
    """Standard deviation by the median of the absolute values, which strays do not move."""
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(1.4826 * np.median(np.abs(values))) if len(values) else 0.0
