"""Depth of one view from its neighbours.

A plane sweep and semi-global matching on small images find the surfaces; at full size each pixel chooses among the
surfaces around it, which makes the edges crisp, and is then moved along its ray to where the images agree best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as functional

from ...monitor import Monitor
from .plane_sweep import Matcher, Rays
from .semi_global import aggregate, best_plane
from .smoothing import median_3x3, smooth, window_ends

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
    intrinsics : (N, 3, 3) float64, pixels of ``gray``
    extrinsics : (N, 3, 4) float64, world to camera
    """

    def __init__(self, gray: torch.Tensor, intrinsics: torch.Tensor, extrinsics: torch.Tensor):
        self.gray, self.intrinsics, self.extrinsics = gray, intrinsics, extrinsics
        height, width = gray.shape[1:]
        self.factor = math.ceil(math.sqrt(height * width / SWEEP_PIXELS))
        self.small, self.small_intrinsics = gray, intrinsics
        if self.factor > 1:
            size = round(height / self.factor), round(width / self.factor)
            self.small = functional.interpolate(gray[:, None], size, mode="area")[:, 0]
            ratio = torch.tensor([size[1] / width, size[0] / height, 1.0], device=gray.device, dtype=torch.float64)
            self.small_intrinsics = torch.diag(ratio) @ intrinsics

    @property
    def swept_size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.small.shape[1], self.small.shape[2]

    def inverse_depth(
        self, view: int, neighbours: Sequence[int], planes: torch.Tensor, monitor: Monitor
    ) -> torch.Tensor:
        """(H, W) float32 inverse depth of every pixel, right or wrong.

        ``planes`` : (D,) inverse depths, evenly spaced
        """
        step = float(planes[1] - planes[0])
        matcher = self._matcher(self.small, self.small_intrinsics, view, neighbours)
        total = aggregate(matcher.volume(planes, monitor), matcher.own, monitor)
        surface = median_3x3(planes[0] + best_plane(total) * step)
        del total
        surface = smooth(surface, SIMILAR * step)
        if self.factor > 1:
            matcher = self._matcher(self.gray, self.intrinsics, view, neighbours)
            size = self.gray.shape[1:]
            surface = functional.interpolate(surface[None, None], size, mode="nearest-exact")[0, 0]
            surface = choose(matcher, surface, self.factor, SIMILAR * step, monitor)
        return refine(matcher, surface, step, monitor)

    def _matcher(self, gray: torch.Tensor, intrinsics: torch.Tensor, view: int, neighbours: Sequence[int]) -> Matcher:
        size = gray.shape[1], gray.shape[2]
        return Matcher(gray, view, neighbours, Rays.between(intrinsics, self.extrinsics, view, neighbours, size))


def choose(matcher: Matcher, surface: torch.Tensor, radius: int, similar: float, monitor: Monitor) -> torch.Tensor:
    """Each pixel takes the nearest or the farthest surface within ``radius`` if the images agree better there."""
    for _ in range(ROUNDS):
        best = matcher.similarity(surface) + LOYALTY
        for candidate in window_ends(surface, radius):
            monitor.check()
            score = torch.where((candidate - surface).abs() > similar, matcher.similarity(candidate), -1.0)
            surface = torch.where(score > best, candidate, surface)
            best = torch.maximum(score, best)
    return surface


def refine(matcher: Matcher, surface: torch.Tensor, step: float, monitor: Monitor) -> torch.Tensor:
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
            scores.append(matcher.similarity(surface + k * spacing))
        stack = torch.stack(scores)
        best = stack.argmax(dim=0).clamp(1, len(OFFSETS) - 2)
        before, here, after = (torch.gather(stack, 0, (best + k)[None])[0] for k in (-1, 0, 1))
        curvature = (2.0 * here - before - after).clamp(min=1e-6)
        shift = ((after - before) / (2.0 * curvature)).clamp(-1.0, 1.0)
        moved = surface + (best - len(OFFSETS) // 2 + shift) * spacing
        firm = curvature / (curvature + FIRMNESS * fineness**2 * 4.0)
        surface = firm * moved + (1.0 - firm) * smooth(moved, SIMILAR * step, firm)
    return surface
