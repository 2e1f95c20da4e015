"""Outlines of what is known, moved to edges of colour.

Windows that straddle an outline match where its near side matches, so that near things grow by some pixels into what is
behind them. Every view grows them alike, so that no comparison of views finds it; colour does.
"""

from __future__ import annotations

import cv2
import numpy as np

BAND = 6  # pixels from the outline within which a pixel may be dropped
OUTSIDE = 2  # pixels from the outline from which the unknown side's colour is taken
REACH = 11  # pixels, how far around a pixel the two sides' colours are taken
NOISE = 0.03  # colours (0 to 1) of one surface differ by it
CLEARER = 2.0  # how many times better (squared) the unknown side's colour has to fit
LEAST = 16  # pixels of each side that must be there


def trim(keep: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Drop the pixels next to an outline whose colour is that of the other side.

    Parameters
    ----------
    keep : (H, W) bool, where depth is known
    colour : (H, W, 3) float32, 0 to 1

    Returns
    -------
    (H, W) bool
    """
    core = _eroded(keep, BAND)
    band = keep & ~core
    if not band.any():
        return keep
    inside, outside = (_misfit(colour, side) for side in (core, _eroded(~keep, OUTSIDE)))
    drop = (inside + 1.0 > CLEARER * (outside + 1.0)) & np.isfinite(inside) & np.isfinite(outside)
    return keep & ~(band & drop)


def _misfit(colour: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(H, W) squared distance of each pixel's colour from the colours of a side around it, in its deviations."""
    mask = side.astype(np.float32)
    size = (2 * REACH + 1,) * 2

    def total(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)

    count = total(mask)
    number = np.maximum(count, 1.0)[..., None]
    tinted = colour * mask[..., None]
    mean = total(tinted) / number
    variance = np.maximum(total(tinted * colour) / number - mean * mean, 0.0) + np.float32(NOISE**2)
    return np.where(count >= LEAST, ((colour - mean) ** 2 / variance).sum(axis=-1), np.float32(np.inf))


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """Pixels with nothing but ``mask`` within ``radius``; the image's border is no outline."""
    kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
    return cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0


def without_islands(keep: np.ndarray, least: int) -> np.ndarray:
    """``keep`` (H, W) bool without connected patches of fewer than ``least`` pixels."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(keep.astype(np.uint8), connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= least
    return keep & large[labels]
