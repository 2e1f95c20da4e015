"""Which depths other views confirm: that becomes the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .plane_sweep import Ray, relative

DEPTH_TOLERANCE = 0.01  # relative; two views' depths of one place agree within it,
LOOSEST = 0.06  # or within a pixel of the other view, where that is more, up to this
PIXEL_TOLERANCE = 1.5  # pixels between a pixel and where it comes back to by way of the other view
SEE_THROUGH = 0.03  # relative; another view that sees this much farther through a point contradicts it
BROKEN = 0.02  # relative; where neighbouring depths differ by more there is an edge, and nothing to interpolate


@dataclass
class Agreement:
    """What the other views say to one view's depths; all (H, W)."""

    count: np.ndarray  # float32, how many views agree
    quality: np.ndarray  # float32, sum over them of 1 (equal) to 0 (at the tolerance)
    against: np.ndarray  # float32, how many views see through the point
    depth: np.ndarray  # float32, mean of the agreeing views' depths and the own one


def check(
    depth: np.ndarray,
    intrinsics: np.ndarray,
    extrinsics: np.ndarray,
    view: int,
    others: Sequence[int],
    own: np.ndarray | None = None,
) -> Agreement:
    """Compare a view's depths with those of other views.

    Parameters
    ----------
    depth : (N, H, W) float32, z-depth of all views, 0 where unknown
    intrinsics, extrinsics : (N, 3, 3) and (N, 3, 4) float64
    own : (H, W), the view's depths, where others than ``depth``'s are meant
    """
    size = depth.shape[1:]
    own = depth[view] if own is None else own
    known = own > 0.0
    inverse = np.where(known, 1.0 / np.maximum(own, 1e-9), 0.0).astype(np.float32)
    count, quality, against = (np.zeros(size, np.float32) for _ in range(3))
    total = own.copy()
    u, v = (np.arange(size[1]) + 0.5).astype(np.float32), (np.arange(size[0]) + 0.5).astype(np.float32)[:, None]
    for other in others:
        rays = Ray.between(intrinsics, extrinsics, view, other, size)
        x, y, z = rays.look_up(inverse)
        seen = _sample(depth[other], x, y)
        # The place that the other view sees there, back in this view.
        back, shift = (m.astype(np.float32) for m in relative(intrinsics, extrinsics, other, view))
        x += 0.5
        y += 0.5
        returned = (back[2, 0] * x + back[2, 1] * y + back[2, 2]) * seen + shift[2]
        scale = 1.0 / np.maximum(returned, 1e-9)
        away_u = ((back[0, 0] * x + back[0, 1] * y + back[0, 2]) * seen + shift[0]) * scale - u
        away_v = ((back[1, 0] * x + back[1, 1] * y + back[1, 2]) * seen + shift[1]) * scale - v
        error = np.abs(returned - own) * inverse
        tolerance = _tolerance(rays, x, y)
        usable = known & (seen > 0.0)
        agree = usable & (error < tolerance) & (away_u * away_u + away_v * away_v < PIXEL_TOLERANCE**2)
        count += agree
        quality += np.where(agree, 1.0 - error / tolerance, np.float32(0.0))
        total += np.where(agree, returned, np.float32(0.0))
        against += usable & (seen > z * own * (1.0 + SEE_THROUGH))
    return Agreement(count, quality, against, total / (count + 1.0))


def _tolerance(rays: Ray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(H, W) relative change of depth that moves a point by a pixel in the other view, within limits.

    ``x``, ``y`` : where the points are; how far that is from where they would be at infinity says how fast they move
    """
    far = 1.0 / np.maximum(rays.a[2], 1e-6)
    moved = np.hypot(x - rays.a[0] * far, y - rays.a[1] * far)
    return np.clip(1.0 / np.maximum(moved, 1e-3), DEPTH_TOLERANCE, LOOSEST)


def _sample(depth: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(H, W) depth at x, y: interpolated on a surface (its inverse is linear on a plane), the nearest at an edge."""
    inverse = np.where(depth > 0.0, 1.0 / np.maximum(depth, 1e-9), 0.0).astype(np.float32)
    nearest = cv2.remap(inverse, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    between = cv2.remap(inverse, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    chosen = np.where(np.abs(between - nearest) < BROKEN * nearest, between, nearest)
    return np.where(nearest > 0.0, 1.0 / np.maximum(chosen, 1e-9), np.float32(0.0))
