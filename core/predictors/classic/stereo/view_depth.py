"""Depth of one view from its neighbours.

A plane sweep and semi-global matching on small images find the surfaces; at full size each pixel chooses among the
surfaces around it, which makes the edges crisp, and is then moved along its ray to where the images agree best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from ....monitor import Monitor
from .plane_sweep import Matcher, Ray
from .semi_global import aggregate, best_plane
from .smoothing import smooth, window_ends

SWEEP_PIXELS = 90_000  # a larger image is swept at half its size, or a third, ...
REFINEMENTS = (1.0, 0.5, 0.25)  # spacing of the compared surfaces, in planes of the sweep
OFFSETS = (-2, -1, 0, 1, 2)
SIMILAR = 4.0  # planes; pixels whose depths differ by less belong to one surface
FIRMNESS = 0.02  # curvature of the correlation at which a pixel's own match weighs as much as its surroundings
ROUNDS = 2  # of choosing among the surfaces around
LOYALTY = 0.02  # correlation by which another surface has to be better


class Stereo:
    """All views, at full size and at the size they are swept at.

    Parameters
    ----------
    gray : (N, H, W) float32, 0 to 1
    intrinsics : (N, 3, 3), pixels of ``gray``
    extrinsics : (N, 3, 4), world to camera
    """

    def __init__(self, gray: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray):
        self.gray, self.intrinsics, self.extrinsics = gray, intrinsics, extrinsics
        height, width = gray.shape[1:]
        self.factor = math.ceil(math.sqrt(height * width / SWEEP_PIXELS))
        self.small, self.small_intrinsics = gray, intrinsics
        if self.factor > 1:
            size = round(width / self.factor), round(height / self.factor)
            self.small = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in gray])
            self.small_intrinsics = np.diag([size[0] / width, size[1] / height, 1.0]) @ intrinsics

    @property
    def swept_size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.small.shape[1], self.small.shape[2]

    def inverse_depth(self, view: int, neighbours: Sequence[int], planes: np.ndarray, monitor: Monitor) -> np.ndarray:
        """(H, W) float32 inverse depth of every pixel, right or wrong.

        ``planes`` : (D,) inverse depths, evenly spaced
        """
        step = float(planes[1] - planes[0])
        matcher = self._matcher(self.small, self.small_intrinsics, view, neighbours)
        total = aggregate(matcher.volume(planes, monitor), matcher.own, monitor)
        surface = cv2.medianBlur((planes[0] + best_plane(total) * step).astype(np.float32), 3)
        del total
        surface = smooth(surface, SIMILAR * step)
        if self.factor > 1:
            matcher = self._matcher(self.gray, self.intrinsics, view, neighbours)
            height, width = self.gray.shape[1:]
            surface = cv2.resize(surface, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            for _ in range(ROUNDS):
                surface = choose(matcher, surface, window_ends(surface, self.factor), SIMILAR * step, monitor)
        return refine(matcher, surface, step, monitor)

    def _matcher(self, gray: np.ndarray, intrinsics: np.ndarray, view: int, neighbours: Sequence[int]) -> Matcher:
        size = gray.shape[1], gray.shape[2]
        rays = [Ray.between(intrinsics, self.extrinsics, view, other, size) for other in neighbours]
        return Matcher(gray, view, neighbours, rays)


def choose(
    matcher: Matcher, surface: np.ndarray, candidates: Iterable[np.ndarray], similar: float, monitor: Monitor
) -> np.ndarray:
    """Each pixel takes the candidate, (H, W) inverse depths, at which the images agree better than at its own."""
    best = matcher.similarity(surface) + np.float32(LOYALTY)
    for candidate in candidates:
        monitor.check()
        score = matcher.similarity(candidate)
        better = (score > best) & (np.abs(candidate - surface) > similar)
        surface = np.where(better, candidate, surface)
        best = np.where(better, score, best)
    return surface


def refine(matcher: Matcher, surface: np.ndarray, step: float, monitor: Monitor) -> np.ndarray:
    """Move the surface along its rays to where the images agree best.

    The neighbours are looked up along the surface itself and surfaces parallel to it, so that the compared windows lean
    as it does. Where the images say little, a pixel follows its surroundings.

    Parameters
    ----------
    surface : (H, W) inverse depth
    step : the sweep's spacing in inverse depth
    """
    for fineness in REFINEMENTS:
        spacing = fineness * step
        surface = smooth(surface, SIMILAR * step)
        scores = []
        for k in OFFSETS:
            monitor.check()
            scores.append(matcher.similarity(surface + np.float32(k * spacing)))
        stack = np.stack(scores)
        best = stack.argmax(axis=0).clip(1, len(OFFSETS) - 2)
        before, here, after = (np.take_along_axis(stack, (best + k)[None], axis=0)[0] for k in (-1, 0, 1))
        curvature = np.maximum(2.0 * here - before - after, 1e-6)
        shift = ((after - before) / (2.0 * curvature)).clip(-1.0, 1.0)
        moved = (surface + (best - len(OFFSETS) // 2 + shift) * spacing).astype(np.float32)
        firm = (curvature / (curvature + FIRMNESS * fineness**2 * 4.0)).astype(np.float32)
        surface = firm * moved + (1.0 - firm) * smooth(moved, SIMILAR * step, firm)
    return surface
