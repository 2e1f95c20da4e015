"""What takes a pixel's confidence away. A filtered pixel has confidence 0 and makes no point."""

from __future__ import annotations

import cv2
import numpy as np

from .prediction import Prediction
from .settings import Settings

EDGE_THRESHOLD = 12 / 255  # of the image's steepest gradient


def apply(prediction: Prediction, settings: Settings) -> None:
    """Take away the confidence of what the settings filter; ``unfiltered`` keeps what it was."""
    if prediction.unfiltered is None:
        prediction.unfiltered = prediction.conf.copy()
    if settings.filter_edges:
        prediction.conf[edges(prediction.depth)] = 0.0


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
    return np.stack([normalised_gradient(image) >= EDGE_THRESHOLD for image in depth])


def normalised_gradient(depth: np.ndarray) -> np.ndarray:
    """Sobel 3x3 magnitude, 0 at the image's flattest pixel and 1 at its steepest; 0 beside pixels without a depth.

    Parameters
    ----------
    depth : (H, W) float32, 0 where nothing is known

    Returns
    -------
    (H, W) float32
    """
    known = cv2.erode((depth > 0).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
    gradient = np.hypot(cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3))
    out = np.zeros(depth.shape, np.float32)
    if known.any():
        low, high = gradient[known].min(), gradient[known].max()
        if high > low:
            out[known] = (gradient[known] - low) / (high - low)
    return out
