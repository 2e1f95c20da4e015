"""Which depths other views confirm: that becomes the confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .plane_sweep import Ray, relative

DEPTH_TOLERANCE = 0.01  # relative; two views' depths of one place agree within it,
LOOSEST = 0.06  # or within a pixel of the other view, where that is more, up to this
PIXEL_TOLERANCE = 1.5  # pixels between a pixel and where it comes back to by way of the other view
SEE_THROUGH = 0.03  # relative; another view that sees this much farther through a point contradicts it
ALIKE = 8.0  # grey values of each channel, by which two views' pictures of one place may differ
SAMPLED, ENOUGH = 7, 50  # pixels between those, and least number, by which two pictures' exposures are compared
FITS, MOST_EXPOSED = 4, 2.0  # rounds; how much more contrast one picture may have
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
    heard: Mapping[int, float] | None = None,
) -> Agreement:
    """Compare a view's depths with those of other views.

    Parameters
    ----------
    depth : (N, H, W) float32, z-depth of all views, 0 where unknown
    intrinsics, extrinsics : (N, 3, 3) and (N, 3, 4) float64
    own : (H, W), the view's depths, where others than ``depth``'s are meant
    heard : by view, up to which depth of its own it contradicts others; by default up to any
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
        limit = np.inf if heard is None else heard.get(other, np.inf)
        against += usable & (seen > z * own * (1.0 + SEE_THROUGH)) & (seen <= limit)
    return Agreement(count, quality, against, total / (count + 1.0))


def unknown_elsewhere(
    depth: np.ndarray,
    sure: np.ndarray,
    wall: np.ndarray,
    colour: Sequence[np.ndarray],
    intrinsics: np.ndarray,
    extrinsics: np.ndarray,
    view: int,
    others: Sequence[int],
    own: np.ndarray,
    one_surface: bool = False,
) -> np.ndarray:
    """(H, W) bool, places of a view: another one shows the same colour there and knows nothing either, and none sees through.

    A place that another view does know is one that it can see; that it was not found here says that something is before it.

    Parameters
    ----------
    depth, sure : (N, H, W) float32, z-depth of all views, 0 where unknown; and where more than one view confirms it
    wall : (N, H, W) bool, sky and what is no picture
    colour : N times (H, W, 3) float32, 0 to 255, a little blurred
    own : (H, W), the depths of the places, 0 where there are none
    one_surface : the places are many and of one surface; the pictures' exposures are compared by them, too
    """
    rows, columns = np.nonzero(own > 0.0)
    z, here = own[rows, columns], colour[view][rows, columns]
    known = depth[view][::SAMPLED, ::SAMPLED]
    some = tuple(SAMPLED * index for index in np.nonzero(known > 0.0))
    found, against = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for other in others:
        transform = relative(intrinsics, extrinsics, view, other)
        at, there, inside = _moved(transform, some[0], some[1], depth[view][some], own.shape)
        same = inside & (np.abs(depth[other][at] - there) < 2.0 * DEPTH_TOLERANCE * there)
        gain = np.ones(3)
        if same.sum() >= ENOUGH:  # exposures differ
            gain = np.median(colour[view][some][same] / np.maximum(colour[other][at][same], 1.0), axis=0)
        at, there, inside = _moved(transform, rows, columns, z, own.shape)
        against |= inside & (sure[other][at] > there * (1.0 + SEE_THROUGH))
        alike = np.abs(colour[other][at] * gain - here).max(axis=-1) <= ALIKE
        usable = inside & (depth[other][at] <= 0.0) & ~wall[other][at]
        if one_surface and usable.sum() >= ENOUGH:
            alike |= np.abs(_exposed(colour[other][at], here, usable) - here).max(axis=-1) <= ALIKE
        found |= usable & alike
    out = np.zeros(own.shape, bool)
    out[rows, columns] = found & ~against
    return out


def _exposed(there: np.ndarray, here: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(P, 3) colours ``there`` as a picture with the exposure and the stray light of ``here`` shows them, by the usable places.

    A line for each channel; what differs counts little (Cauchy's weights).
    """
    a, b, weight = there[usable], here[usable], np.ones((usable.sum(), 1))
    for _ in range(FITS):
        total = weight.sum()
        mean_a, mean_b = (weight * a).sum(axis=0) / total, (weight * b).sum(axis=0) / total
        spread = (weight * (a - mean_a) ** 2).sum(axis=0)
        slope = (weight * (a - mean_a) * (b - mean_b)).sum(axis=0) / np.maximum(spread, 1e-6)
        slope = slope.clip(1.0 / MOST_EXPOSED, MOST_EXPOSED)
        away = np.abs((a - mean_a) * slope + mean_b - b).max(axis=-1, keepdims=True)
        weight = 1.0 / (1.0 + (away / ALIKE) ** 2)
    return (there - mean_a) * slope + mean_b


def _moved(
    transform: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    z: np.ndarray,
    size: tuple[int, ...],
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """In another view: rows and columns of P pixels' places, their z-depth, and whether they are in its picture."""
    turn, shift = transform
    x, y, depth = (turn @ np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])) * z + shift[:, None]
    ahead = depth > 1e-6
    column, row = (np.floor(np.where(ahead, p / np.maximum(depth, 1e-6), -1.0)).astype(np.int64) for p in (x, y))
    inside = ahead & (column >= 0) & (column < size[1]) & (row >= 0) & (row < size[0])
    return (np.where(inside, row, 0), np.where(inside, column, 0)), depth, inside


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
