"""Smoothing of surfaces that are given by inverse depth: on a plane it is linear in the pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as functional


def slopes(surface: torch.Tensor, steepest: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Change of the inverse depth per pixel, along x and along y, not across edges.

    Parameters
    ----------
    surface : (H, W) inverse depth
    steepest : a larger change between neighbouring pixels is an edge
    """
    found = []
    for axis in (1, 0):
        after = torch.diff(surface, dim=axis)
        usable = (after.abs() < steepest).float()
        padding = (0, 1, 0, 0) if axis == 1 else (0, 0, 0, 1)
        total = _window_sum(functional.pad(after * usable, padding), 3)
        count = _window_sum(functional.pad(usable, padding), 3)
        found.append(total / count.clamp(min=1.0))
    return found[0], found[1]


def _window_sum(x: torch.Tensor, radius: int) -> torch.Tensor:
    size = 2 * radius + 1
    return functional.avg_pool2d(x[None, None], size, 1, radius, divisor_override=1)[0, 0]


def smooth(surface: torch.Tensor, similar: float, weight: torch.Tensor | None = None, radius: int = 2) -> torch.Tensor:
    """Mean of what the pixels of a window say, each continued by its surface's slope, where they say about the same.

    Parameters
    ----------
    surface : (H, W) inverse depth
    similar : difference in inverse depth up to which two pixels are of one surface
    weight : (H, W), how much each pixel counts
    """
    height, width = surface.shape
    own = torch.ones_like(surface) if weight is None else weight + 1e-3
    size = (radius,) * 4
    values = functional.pad(surface[None], size, mode="replicate")[0]
    counts = functional.pad(own[None], size)[0]
    along_x, along_y = slopes(surface, 2.0 * similar)
    total, norm = torch.zeros_like(surface), torch.zeros_like(surface)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            value = values[dy : dy + height, dx : dx + width] - (dx - radius) * along_x - (dy - radius) * along_y
            w = counts[dy : dy + height, dx : dx + width] * ((value - surface).abs() < similar)
            total += w * value
            norm += w
    return torch.where(norm > 0.0, total / norm.clamp(min=1e-9), surface)


def window_ends(surface: torch.Tensor, radius: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the greatest value within ``radius`` pixels of each; (H, W) both."""
    size = 2 * radius + 1
    greatest = functional.max_pool2d(surface[None, None], size, 1, radius)[0, 0]
    least = -functional.max_pool2d(-surface[None, None], size, 1, radius)[0, 0]
    return least, greatest


def median_3x3(x: torch.Tensor) -> torch.Tensor:
    """(H, W) median of each pixel's 3 x 3 window."""
    padded = functional.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    height, width = x.shape
    shifted = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    return torch.stack(shifted).median(dim=0).values
