"""What a frame looks like, in few numbers: frames of one place get similar ones.

A model may say it itself (``Prediction.descriptors``), as DA3 does by the early features of its backbone (``core/predictors/da3/frame_descriptors.py``);
what is here does for the others.
"""

from __future__ import annotations

import cv2
import numpy as np

TINY = (16, 12)  # width, height of the coarse picture
GRID = (4, 3)  # cells of the gradients' and colours' histograms
DIRECTIONS = 8
PARTS = (2.0, 0.7, 0.5, 0.7)  # weight of palette, coarse picture, gradients, colours by place
COLORS = 8  # bins of hue
FINE = (18, 4, 4)  # bins of hue, saturation and value of the palette, which does not care where in the image a thing is
_FINE_BINS = [np.arange(256) * count // most for count, most in zip(FINE, (180, 256, 256), strict=True)]  # of each tone


def describe(images: np.ndarray) -> np.ndarray:
    """The palette, a coarse picture, gradients by direction, and colours by hue.

    Parameters
    ----------
    images : (N, H, W, 3) uint8, RGB

    Returns
    -------
    (N, D) float32, of length 1: the product of two is their similarity, at most 1
    """
    return np.stack([_one(image) for image in images])


def without_common(descriptors: np.ndarray) -> np.ndarray:
    """(N, D), of length 1: without what all frames of a run have in common, which is most of them."""
    own = descriptors - descriptors.mean(axis=0)
    return own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-6)


def _one(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, (TINY[0] * 8, TINY[1] * 8), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    tiny = cv2.resize(small, TINY, interpolation=cv2.INTER_AREA).astype(np.float32).reshape(-1, 3)
    gx, gy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    turn = (np.arctan2(gy, gx) / np.pi % 1.0 * DIRECTIONS).astype(int) % DIRECTIONS  # a light edge is like a dark one
    tones = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    hsv = tones.astype(np.float32)
    hue = (hsv[..., 0] / 180.0 * COLORS).astype(int) % COLORS
    fine = [bins.take(tones[..., n]) for n, bins in enumerate(_FINE_BINS)]
    palette = (fine[0] * FINE[1] + fine[1]) * FINE[2] + fine[2]
    parts = [
        np.sqrt(np.bincount(palette.clip(0, np.prod(FINE) - 1).ravel(), minlength=int(np.prod(FINE)))),
        (tiny - tiny.mean(axis=0)).ravel(),
        np.sqrt(_histograms(turn, np.hypot(gx, gy), DIRECTIONS)),
        np.sqrt(_histograms(hue, hsv[..., 1] * hsv[..., 2], COLORS)),
    ]
    joined = np.concatenate(
        [w * part / max(float(np.linalg.norm(part)), 1e-6) for w, part in zip(PARTS, parts, strict=True)]
    )
    return (joined / max(float(np.linalg.norm(joined)), 1e-6)).astype(np.float32)


def _histograms(bins: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """(cells * count,): a histogram in each cell of the grid."""
    height, width = bins.shape
    rows, columns = np.arange(height) * GRID[1] // height, np.arange(width) * GRID[0] // width
    cells = rows[:, None] * GRID[0] + columns
    size = GRID[0] * GRID[1] * count
    return np.bincount((cells * count + bins).ravel(), weights.ravel(), size).astype(np.float32)
