"""Surfaces continued into places that no other view confirms: a plane through the sure pixels around, not across edges.

Around each pixel a plane is fitted to the inverse depth of the sure pixels, each weighted by how near it is and how alike the
colours on the way to it are (the domain transform, Gastal and Oliveira, SIGGRAPH 2011, of the fit's sums). Where the sure
pixels do not lie on a plane, or too far away, nothing is filled.
"""

from __future__ import annotations

import cv2
import numpy as np

SCALES = (8.0, 40.0)  # pixels, how far the planes look; a wider one where a narrower one finds too little
COLOUR = 0.12  # sum of the channels' differences (0 to 1) that is as far as a scale
ROUNDS = 2  # of the filter, along rows and along columns
LEAST = 0.1  # share of the surroundings, by their weight, that has to be sure
STIFF = 2.0  # pixels; planes through patches narrower than it do not tilt
SPREAD = 0.01  # relative; most deviation of a plane's prediction
AGREE = 0.012  # relative; most difference between the plane and what the view's own sweep says, right or wrong
EDGELESS = 8  # pixels
LEVEL, LEVEL_EDGE = 0.05, 1.06  # how far a silent pixel may be from what is around, and how much that may vary
UNIT = 100.0  # pixels, of the fit's coordinates


def fill(
    inverse: np.ndarray, weight: np.ndarray, swept: np.ndarray, silent: np.ndarray, colour: np.ndarray, wall: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth of planes through the sure pixels.

    Parameters
    ----------
    inverse : (H, W) float32, inverse depth where ``weight`` > 0
    weight : (H, W) float32, how much each pixel counts; 0 where it is not sure
    swept : (H, W) float32, inverse depth that the view found by itself; 0 where it is infinite
    silent : (H, W) bool, where the images agree nowhere along the ray, so that ``swept`` means nothing; there the surface
        must be one with no edge around
    colour : (H, W, 3) float32, 0 to 1
    wall : (H, W) bool, pixels that nothing reaches across: sky, canvas

    Returns
    -------
    (H, W) float32 inverse depth, 0 where nothing can be said, and its deviation, relative
    """
    known = weight > 0.0
    if not known.any():
        return np.zeros_like(inverse), np.ones_like(inverse)
    middle = float(np.median(inverse[known]))
    sums = _sums(np.where(known, inverse / middle, 0.0).astype(np.float32), weight)
    near = _nearest_known(inverse, known)
    steps = [_steps(colour, wall, axis) for axis in (0, 1)]
    value, deviation = np.zeros_like(inverse), np.ones_like(inverse)
    for scale in SCALES:
        guess, spread = _plane(_spread(sums, steps, scale))
        guess *= middle
        better = (value <= 0.0) & (spread < SPREAD) & (guess > 0.0)
        better &= (np.abs(guess - swept) < AGREE * guess) | (silent & (np.abs(guess - near) < LEVEL * guess))
        value = np.where(better, guess, value)
        deviation = np.where(better, spread, deviation)
    return value.astype(np.float32), deviation.astype(np.float32)


def _nearest_known(inverse: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W) the inverse depth known within ``EDGELESS`` pixels, 0 where there is none or where it has an edge."""
    kernel = np.ones((2 * EDGELESS + 1,) * 2, np.uint8)
    high = cv2.dilate(inverse, kernel)
    low = cv2.erode(np.where(known, inverse, np.float32(np.inf)), kernel, borderValue=np.inf)
    return np.where((high > 0.0) & (high < LEVEL_EDGE * low), (high + low) / 2.0, np.float32(0.0))


def _coordinates(size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    v, u = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return (u - size[1] / 2.0) / UNIT, (v - size[0] / 2.0) / UNIT


def _sums(d: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(H, W, 10) what a weighted fit of a plane sums up."""
    x, y = _coordinates(d.shape)
    one = np.ones_like(d)
    return np.stack([one, x, y, x * x, x * y, y * y, d, x * d, y * d, d * d], axis=-1) * weight[..., None]


def _steps(colour: np.ndarray, wall: np.ndarray, axis: int) -> np.ndarray:
    """How far each pixel is from the one before it along an axis, in scales, beside the pixel itself."""
    difference = np.abs(np.diff(colour, axis=axis)).sum(axis=-1) / np.float32(COLOUR)
    blocked = np.diff(wall.astype(np.int8), axis=axis) != 0
    return np.where(blocked, np.float32(1e3), difference)


def _spread(sums: np.ndarray, steps: list[np.ndarray], scale: float) -> np.ndarray:
    """The sums, each a mean over the surroundings that are alike."""
    out = sums
    for k in range(ROUNDS):
        sigma = scale * np.sqrt(3.0) * 2.0 ** (ROUNDS - k - 1) / np.sqrt(4.0**ROUNDS - 1.0)
        for axis in (1, 0):
            feedback = np.exp(-np.sqrt(2.0) / sigma * (1.0 + scale * steps[axis])).astype(np.float32)
            out = _recursive(out, feedback, axis)
    return out


def _recursive(x: np.ndarray, feedback: np.ndarray, axis: int) -> np.ndarray:
    """Each line becomes a mean of itself and of the lines before and after it."""
    out = np.ascontiguousarray(np.moveaxis(x, axis, 0))
    a = np.ascontiguousarray(np.moveaxis(feedback, axis, 0))[..., None]
    step = np.empty_like(out[0])
    for k in range(1, len(out)):
        np.subtract(out[k - 1], out[k], out=step)
        step *= a[k - 1]
        out[k] += step
    for k in range(len(out) - 2, -1, -1):
        np.subtract(out[k + 1], out[k], out=step)
        step *= a[k]
        out[k] += step
    return np.moveaxis(out, 0, axis)


def _plane(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the plane says at each pixel, and its deviation there, relative; the latter 1 where there is no plane."""
    total = sums[..., 0]
    mean = sums[..., 1:] / np.maximum(total, 1e-6)[..., None]
    mx, my, md = mean[..., 0], mean[..., 1], mean[..., 5]
    stiff = (STIFF / UNIT) ** 2
    xx, yy = mean[..., 2] - mx * mx + stiff, mean[..., 4] - my * my + stiff
    xy = mean[..., 3] - mx * my
    xd, yd, dd = mean[..., 6] - mx * md, mean[..., 7] - my * md, mean[..., 8] - md * md
    determinant = np.maximum(xx * yy - xy * xy, 1e-12)
    slope_x, slope_y = (yy * xd - xy * yd) / determinant, (xx * yd - xy * xd) / determinant
    x, y = _coordinates(total.shape)
    dx, dy = x - mx, y - my
    value = md + slope_x * dx + slope_y * dy
    rest = np.maximum(dd - slope_x * xd - slope_y * yd, 0.0) + (2e-3 * md) ** 2
    away = np.maximum((yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant, 0.0)
    spread = np.sqrt(rest * (1.0 + away)) / np.maximum(value, 1e-6)
    return value, np.where((total > LEAST) & (value > 0.0), spread, np.float32(1.0))
