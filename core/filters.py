"""What takes a pixel's confidence away. A filtered pixel has confidence 0 and makes no point."""

from __future__ import annotations

import cv2
import numpy as np

EDGE_THRESHOLD = 12 / 255  # of the image's steepest gradient


def edges(depth: np.ndarray) -> np.ndarray:
    """Where the depth changes steeply: there a model smears foreground into background.

    Sobel 3x3 gradient magnitude, min-max normalised per image, at or above 12/255. Where a pixel of the 3x3 neighbourhood
    has no depth the gradient means nothing and the pixel is left as it is.

    Parameters
    ----------
    depth : (N, H, W) float32, 0 where nothing is known

    Returns
    -------
    (N, H, W) bool
    """
    steep = np.zeros(depth.shape, bool)
    for i, image in enumerate(depth):
        known = cv2.erode((image > 0).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
        gradient = np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3))
        if not known.any():
            continue
        low, high = gradient[known].min(), gradient[known].max()
        if high > low:
            steep[i] = known & ((gradient - low) / (high - low) >= EDGE_THRESHOLD)
    return steep
