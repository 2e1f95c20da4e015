"""How well the neighbours agree with a view, depth by depth: the matching cost of a plane sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional

from ...monitor import Monitor

RADIUS = 2  # pixels; correlation over windows of 5 x 5
NOISE = (2.0 / 255.0) ** 2  # variance of grey values that JPEG and sensor make; texture below it decides nothing
BEHIND = 1e-6  # depth; nearer to the camera's plane is as good as behind it


@dataclass
class Rays:
    """Where a view's pixels lie in n neighbours: ``(a + w b)`` in homogeneous pixels, w the inverse depth."""

    a: torch.Tensor  # (n, 3, H, W)
    b: torch.Tensor  # (n, 3)

    @classmethod
    def between(
        cls,
        intrinsics: torch.Tensor,
        extrinsics: torch.Tensor,
        view: int,
        neighbours: Sequence[int],
        size: tuple[int, int],
    ) -> Rays:
        """``intrinsics`` (N, 3, 3) and ``extrinsics`` (N, 3, 4) float64; ``size`` is (height, width)."""
        height, width = size
        device = intrinsics.device
        v, u = torch.meshgrid(
            torch.arange(height, device=device) + 0.5, torch.arange(width, device=device) + 0.5, indexing="ij"
        )
        pixels = torch.stack([u, v, torch.ones_like(u)]).double()
        rotation, translation = extrinsics[view, :, :3], extrinsics[view, :, 3]
        others = list(neighbours)
        relative = extrinsics[others, :, :3] @ rotation.T
        shift = extrinsics[others, :, 3] - relative @ translation
        to_pixel = intrinsics[others] @ relative @ torch.linalg.inv(intrinsics[view])
        return cls(
            torch.einsum("nij,jhw->nihw", to_pixel, pixels).float(),
            torch.einsum("nij,nj->ni", intrinsics[others], shift).float(),
        )

    def look_up(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(n, H, W, 2) coordinates for ``grid_sample``, -1 to 1 across a neighbour, far more where it is behind it.

        ``inverse_depth`` : (H, W) or a scalar tensor
        """
        height, width = self.a.shape[-2:]
        b = self.b[:, :, None, None]
        z = torch.addcmul(self.a[:, 2], b[:, 2], inverse_depth)
        z = torch.where(z > BEHIND, z, -BEHIND)  # behind the neighbour: made to land far outside it
        grid = torch.empty((*z.shape, 2), device=z.device)
        for axis, pixels in enumerate((width, height)):
            numerator = torch.addcmul(self.a[:, axis], b[:, axis], inverse_depth)
            torch.div(numerator, z, out=numerator)
            torch.sub(numerator * (2.0 / pixels), 1.0, out=grid[..., axis])
        return grid


def box(x: torch.Tensor, radius: int = RADIUS) -> torch.Tensor:
    """Mean over windows of ``2 radius + 1`` pixels, the border repeated; (n, H, W) or (H, W)."""
    height, width = x.shape[-2:]
    squeeze = x.dim() == 2
    x = x[None] if squeeze else x
    padded = functional.pad(x[None], (0, 0, radius, radius), mode="replicate")[0]
    total = padded[:, :height].clone()
    for k in range(1, 2 * radius + 1):
        total += padded[:, k : k + height]
    padded = functional.pad(total[None], (radius, radius, 0, 0), mode="replicate")[0]
    total = padded[:, :, :width].clone()
    for k in range(1, 2 * radius + 1):
        total += padded[:, :, k : k + width]
    total *= 1.0 / (2 * radius + 1) ** 2
    return total[0] if squeeze else total


class Matcher:
    """Compares one view with its neighbours along a surface that is given by inverse depths."""

    def __init__(self, gray: torch.Tensor, view: int, neighbours: Sequence[int], rays: Rays):
        """``gray`` : (N, H, W) float32, 0 to 1, all views."""
        self.rays = rays
        self.others = gray[list(neighbours)][:, None]
        self.own = gray[view]
        self.mean = box(self.own)
        self.variance = (box(self.own * self.own) - self.mean**2).clamp_(min=0.0)

    def similarity(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(H, W) normalised correlation, -1 to 1: mean over the better half of the neighbours.

        A pixel that is hidden in some neighbours is seen by the others; those decide.
        """
        grid = self.rays.look_up(inverse_depth)
        warped = functional.grid_sample(self.others, grid, align_corners=False, padding_mode="border")[:, 0]
        outside = grid[..., 0].abs().maximum(grid[..., 1].abs()) > 1.0
        mean = box(warped)
        variance = (box(warped * warped) - mean * mean).clamp_(min=0.0)
        covariance = box(warped * self.own) - mean * self.mean
        score = covariance * torch.rsqrt((variance + NOISE) * (self.variance + NOISE))
        score.masked_fill_(outside, -1.0)
        return mean_of_better_half(score, len(score) - outside.sum(dim=0, dtype=torch.int32))

    def volume(self, inverse_depths: torch.Tensor, monitor: Monitor) -> torch.Tensor:
        """(H, W, D) int16 costs from 0 (equal) to 1000 for D planes."""
        height, width = self.own.shape
        costs = torch.empty((height, width, len(inverse_depths)), dtype=torch.int16, device=self.own.device)
        for k, w in enumerate(inverse_depths):
            monitor.check()
            costs[:, :, k] = ((1.0 - self.similarity(w)).clamp_(0.0, 1.0) * 1000.0).to(torch.int16)
        return costs


def mean_of_better_half(scores: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Mean of the larger half of n scores, by passing each largest up (``topk`` is ten times slower).

    Parameters
    ----------
    scores : (n, H, W), -1 where a neighbour does not see the pixel
    seen : (H, W) integer, how many neighbours do

    Returns
    -------
    (H, W), 0 where no neighbour sees it
    """
    half = (seen + 1).div_(2, rounding_mode="floor").float()
    rest = list(scores.unbind(0))
    total = torch.zeros_like(rest[0])
    for k in range((len(rest) + 1) // 2):
        largest = rest[0]
        passed = []
        for other in rest[1:]:
            passed.append(torch.minimum(largest, other))
            largest = torch.maximum(largest, other)
        total += largest * (half > k)
        rest = passed
    return total / half.clamp(min=1)
