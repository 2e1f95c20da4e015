"""What takes a pixel's confidence away. A filtered pixel has confidence 0 and makes no point."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..settings import BatchMode, Settings
from . import sky
from .prediction import Prediction

FARTHEST, NEARER = 0.98, 0.6  # of the depths; the sky is put at least that far, as a part of the farthest
MOST_SKY = 0.95  # of an image
EDGE_THRESHOLD = 12 / 255  # of the image's steepest gradient


def apply(prediction: Prediction, settings: Settings) -> None:
    """Take away the confidence of what the settings filter; ``unfiltered`` keeps what it was."""
    if prediction.unfiltered is None:
        prediction.unfiltered = prediction.conf.copy()
    if settings.filter_edges:
        prediction.conf[edges(prediction.depth)] = 0.0
    if settings.drop_sky:
        if prediction.sky is None:
            prediction.sky = sky_of(prediction)
        prediction.conf[prediction.sky] = 0.0


def sky_of(prediction: Prediction) -> np.ndarray:
    """(N, H, W) bool, for a model that does not tell: what is clearly nearer than the farthest is none."""
    depth = prediction.depth
    some = depth[:, ::2, ::2]  # of the pixels, a quarter: they tell it as well
    farthest = np.array([np.quantile(d[d > 0], FARTHEST) if (d > 0).any() else 0.0 for d in some])
    near = (depth > 0) & (depth < NEARER * farthest[:, None, None])
    found = sky.find(prediction.images, near, None, prediction.extrinsics, prediction.intrinsics)
    found[found.mean(axis=(1, 2)) > MOST_SKY] = (
        False  # a plain wall, or a picture of nothing: not a sky with something below it
    )
    return found


def apply_anew(prediction: Prediction, settings: Settings) -> None:
    """Filter a prediction that was filtered before, from its confidence before all filters on."""
    assert prediction.unfiltered is not None
    prediction.conf = prediction.unfiltered.copy()
    apply(prediction, settings)
    if settings.batch_mode is BatchMode.DA3_STREAMING:
        drop_unsure(prediction, settings)


@dataclass(frozen=True)
class Dropped:
    """How many points DA3 Streaming's thresholds have dropped: ``far`` by Depth Threshold, ``unsure`` by Conf Threshold Coef.

    A point that both would drop counts as unsure; ``points``: that there were before.
    """

    far: int = 0
    unsure: int = 0
    points: int = 0

    def __add__(self, more: Dropped) -> Dropped:
        return Dropped(self.far + more.far, self.unsure + more.unsure, self.points + more.points)

    def sentences(self, settings: Settings) -> list[str]:
        """What is to be said of it; nothing where nothing was dropped."""
        dropped = {f"Depth Threshold {settings.depth_threshold:g}": self.far}
        dropped[f"Conf Threshold Coef {settings.conf_threshold_coef:g}"] = self.unsure
        return [f"{what} dropped {count:,} of {self.points:,} points" for what, count in dropped.items() if count]


def drop_unsure(prediction: Prediction, settings: Settings) -> Dropped:
    """What DA3 Streaming drops: far points, and those of less confidence than a part of the mean; how many.

    People's confidence, which is set, says nothing of it.
    """
    conf = prediction.conf
    people = prediction.people if prediction.people is not None else np.zeros(conf.shape, bool)
    seen = (conf > 0) & ~people
    points = (conf > 0) & (conf >= settings.min_confidence) & (prediction.depth > 0)
    unsure = np.zeros(conf.shape, bool)
    if seen.any():
        unsure = (conf < settings.conf_threshold_coef * float(conf[seen].mean(dtype=np.float64))) & ~people
    far = prediction.depth > settings.farthest
    conf[unsure | far] = 0.0
    conf[people & (conf > 0)] = 1.0  # two passes may not agree where they are
    return Dropped(int((far & ~unsure & points).sum()), int((unsure & points).sum()), int(points.sum()))


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
    return np.stack([_is_steep(image) for image in depth])


def _is_steep(depth: np.ndarray) -> np.ndarray:
    gradient, known, low, high = _gradient(depth)
    if high <= low:
        return np.zeros(depth.shape, bool)
    steep = cv2.compare(gradient, low + EDGE_THRESHOLD * (high - low), cv2.CMP_GE)
    return np.asarray(cv2.bitwise_and(steep, known), bool)


def normalised_gradient(depth: np.ndarray) -> np.ndarray:
    """Sobel 3x3 magnitude, 0 at the image's flattest pixel and 1 at its steepest; 0 beside pixels without a depth.

    Parameters
    ----------
    depth : (H, W) float32, 0 where nothing is known

    Returns
    -------
    (H, W) float32
    """
    gradient, known, low, high = _gradient(depth)
    if high <= low:
        return np.zeros(depth.shape, np.float32)
    return np.where(known, (gradient - np.float32(low)) / np.float32(high - low), np.float32(0.0))


def _gradient(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """(H, W) Sobel magnitude and whether it is known, uint8, and its least and greatest value; 0 and 0 where nothing is known."""
    known = cv2.erode((depth > 0).view(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    gradient = cv2.magnitude(cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3))
    low, high, _, _ = cv2.minMaxLoc(gradient, known)
    return gradient, known, low, high
