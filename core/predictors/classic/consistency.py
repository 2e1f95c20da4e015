"""Which depths other views confirm: that becomes the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional

from .plane_sweep import Rays

DEPTH_TOLERANCE = 0.01  # relative; two views' depths of one place agree within it
PIXEL_TOLERANCE = 1.5  # pixels between a pixel and where it comes back to by way of the other view
SEE_THROUGH = 0.03  # relative; another view that sees this much farther through a point contradicts it
BROKEN = 0.02  # relative; where neighbouring depths differ by more there is an edge, and nothing to interpolate


@dataclass
class Agreement:
    """What the other views say to one view's depths; all (H, W)."""

    count: torch.Tensor  # float32, how many views agree
    quality: torch.Tensor  # float32, sum over them of 1 (equal) to 0 (at the tolerance)
    against: torch.Tensor  # float32, how many views see through the point
    depth: torch.Tensor  # float32, mean of the agreeing views' depths and the own one


def check(
    depth: torch.Tensor,
    intrinsics: torch.Tensor,
    extrinsics: torch.Tensor,
    view: int,
    others: Sequence[int],
    kept: torch.Tensor | None = None,
) -> Agreement:
    """Compare a view's depths with those of other views.

    Parameters
    ----------
    depth : (N, H, W) float32, z-depth of all views, 0 where unknown
    intrinsics, extrinsics : (N, 3, 3) and (N, 3, 4) float64
    kept : (N, H, W) bool, which depths of the other views count; all by default
    """
    size = depth.shape[1:]
    own = depth[view]
    known = own > 0.0
    inverse = torch.where(known, 1.0 / own.clamp(min=1e-9), 0.0)
    count, quality, against = torch.zeros_like(own), torch.zeros_like(own), torch.zeros_like(own)
    total = own.clone()
    height, width = size
    scale = torch.tensor([width / 2.0, height / 2.0], device=own.device)
    for other in others:
        grid = Rays.between(intrinsics, extrinsics, view, [other], size).look_up(inverse)
        theirs = depth[other] if kept is None else torch.where(kept[other], depth[other], 0.0)
        seen = _sample(theirs, grid)
        # The place that the other view sees there, back in this view.
        back = Rays.between(intrinsics, extrinsics, other, [view], size)
        x, y = (grid[0] + 1.0).unbind(-1)
        u, v = x * scale[0], y * scale[1]
        rows = back.a[0, :, 0, 0]
        du = back.a[0, :, 0, 1] - rows
        dv = back.a[0, :, 1, 0] - rows
        ray = rows[:, None, None] + du[:, None, None] * (u - 0.5) + dv[:, None, None] * (v - 0.5)
        point = ray * seen + back.b[0][:, None, None]
        returned = point[2]
        pixel = (point[:2] / returned.clamp(min=1e-9)).permute(1, 2, 0)
        distance = (pixel - _centres(own)).norm(dim=-1)
        error = (returned - own).abs() / own.clamp(min=1e-9)
        usable = known & (seen > 0.0)
        agree = usable & (error < DEPTH_TOLERANCE) & (distance < PIXEL_TOLERANCE)
        count += agree
        quality += torch.where(agree, 1.0 - error / DEPTH_TOLERANCE, 0.0)
        total += torch.where(agree, returned, 0.0)
        reached = _depth_there(intrinsics, extrinsics, view, other, own)
        against += usable & (seen > reached * (1.0 + SEE_THROUGH))
    return Agreement(count, quality, against, total / (count + 1.0))


def _centres(own: torch.Tensor) -> torch.Tensor:
    height, width = own.shape
    v, u = torch.meshgrid(
        torch.arange(height, device=own.device), torch.arange(width, device=own.device), indexing="ij"
    )
    return torch.stack([u, v], dim=-1) + 0.5


def _depth_there(
    intrinsics: torch.Tensor, extrinsics: torch.Tensor, view: int, other: int, own: torch.Tensor
) -> torch.Tensor:
    """(H, W) z-depth in another view of the points that ``own`` (H, W) says."""
    rotation = extrinsics[other, :, :3] @ extrinsics[view, :, :3].T
    shift = extrinsics[other, :, 3] - rotation @ extrinsics[view, :, 3]
    row = (rotation[2] @ torch.linalg.inv(intrinsics[view])).float()
    pixels = _centres(own)
    return own * (pixels @ row[:2] + row[2]) + float(shift[2])


def _sample(depth: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """(H, W) depth at ``grid``: interpolated on a surface (its inverse is linear on a plane), the nearest at an edge."""
    inverse = torch.where(depth > 0.0, 1.0 / depth.clamp(min=1e-9), 0.0)[None, None]
    nearest = functional.grid_sample(inverse, grid, mode="nearest", align_corners=False)[0, 0]
    between = functional.grid_sample(inverse, grid, mode="bilinear", align_corners=False)[0, 0]
    chosen = torch.where((between - nearest).abs() < BROKEN * nearest, between, nearest)
    return torch.where(nearest > 0.0, 1.0 / chosen.clamp(min=1e-9), 0.0)
