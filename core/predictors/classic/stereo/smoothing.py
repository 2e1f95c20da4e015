"""Smoothing of surfaces that are given by inverse depth: on a plane it is linear in the pixel."""

from __future__ import annotations

import cv2
import numpy as np


def slopes(surface: np.ndarray, steepest: float) -> tuple[np.ndarray, np.ndarray]:
    """Change of the inverse depth per pixel, along x and along y, not across edges.

    Parameters
    ----------
    surface : (H, W) float32, inverse depth
    steepest : a larger change between neighbouring pixels is an edge
    """
    found = []
    for axis in (1, 0):
        after = np.zeros_like(surface)
        usable = np.zeros_like(surface)
        inner = (slice(None), slice(0, -1)) if axis == 1 else (slice(0, -1), slice(None))
        after[inner] = np.diff(surface, axis=axis)
        usable[inner] = np.abs(after[inner]) < steepest
        total, count = _window_sum(after * usable, 3), _window_sum(usable, 3)
        found.append(total / np.maximum(count, 1.0))
    return found[0], found[1]


def _window_sum(x: np.ndarray, radius: int) -> np.ndarray:
    size = (2 * radius + 1,) * 2
    return cv2.boxFilter(x, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)


def smooth(surface: np.ndarray, similar: float, weight: np.ndarray | None = None, radius: int = 2) -> np.ndarray:
    """Mean of what the pixels of a window say, each continued by its surface's slope, where they say about the same.

    Parameters
    ----------
    surface : (H, W) float32, inverse depth
    similar : difference in inverse depth up to which two pixels are of one surface
    weight : (H, W) float32, how much each pixel counts
    """
    height, width = surface.shape
    own = np.ones_like(surface) if weight is None else weight + np.float32(1e-3)
    values = np.pad(surface, radius, mode="edge")
    counts = np.pad(own, radius)
    along_x, along_y = slopes(surface, 2.0 * similar)
    total, norm = np.zeros_like(surface), np.zeros_like(surface)
    value, away, tilt = np.empty_like(surface), np.empty_like(surface), np.empty_like(surface)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            np.multiply(along_x, dx - radius, out=tilt)
            np.subtract(values[dy : dy + height, dx : dx + width], tilt, out=value)
            np.multiply(along_y, dy - radius, out=tilt)
            value -= tilt
            np.subtract(value, surface, out=away)
            np.abs(away, out=away)
            w = counts[dy : dy + height, dx : dx + width] * (away < similar)
            norm += w
            value *= w
            total += value
    return np.where(norm > 0.0, total / np.maximum(norm, 1e-9), surface)


def window_ends(surface: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest value within ``radius`` pixels of each; (H, W) both."""
    kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
    return cv2.erode(surface, kernel), cv2.dilate(surface, kernel)
