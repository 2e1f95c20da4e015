"""Places on surfaces that two frames of different passes both show, found in the images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..prediction import filters
from ..prediction.prediction import Prediction

MOST = 600  # features of a frame; more cost time and say nothing new
RATIO = 0.8  # best to second-best distance of descriptors (Lowe 2004, Distinctive Image Features, 7.1)


@dataclass(frozen=True)
class Features:
    """F places of one frame that have a depth."""

    rays: np.ndarray  # (F, 2) image coordinates at depth 1, x / z and y / z
    depth: np.ndarray  # (F,) in the pass's unit
    descriptors: np.ndarray  # (F, 128) float32
    pixel: float  # size of a pixel at depth 1

    def __len__(self) -> int:
        return len(self.rays)


def features(prediction: Prediction) -> list[Features]:
    """Of each frame of a pass, those that lie on a surface and not on its edge."""
    assert prediction.intrinsics is not None
    detector = cv2.SIFT_create(nfeatures=MOST, contrastThreshold=0.02)
    good = (prediction.conf > 0) & (prediction.depth > 0) & ~filters.edges(prediction.depth)
    found = []
    for image, depth, usable, intrinsics in zip(
        prediction.images, prediction.depth, good, prediction.intrinsics, strict=True
    ):
        if image.shape[:2] != depth.shape:  # a predictor that keeps no pictures of the processed size
            found.append(_none(intrinsics))
            continue
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        points, descriptors = detector.detectAndCompute(grey, usable.astype(np.uint8))
        if descriptors is None or len(points) < 2:
            found.append(_none(intrinsics))
            continue
        at = np.array([p.pt for p in points]) + 0.5  # OpenCV's centre of the first pixel is at (0, 0)
        rays = (at - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
        # A median of 3 x 3: single pixels of a depth map can be far off.
        smooth = cv2.medianBlur(depth, 3)
        column, row = np.floor(at).astype(int).T
        z = smooth[row.clip(0, depth.shape[0] - 1), column.clip(0, depth.shape[1] - 1)]
        kept = z > 0
        unit = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
        found.append(Features(rays[kept], z[kept].astype(np.float64), unit[kept], float(1.0 / intrinsics[0, 0])))
    return found


def match(first: Features, second: Features) -> tuple[np.ndarray, np.ndarray]:
    """Indices (M,) into both of features that are each other's best, and clearly better than the second best."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    alike = first.descriptors @ second.descriptors.T  # cosine; squared distance is 2 - 2 cosine
    best = alike.argmax(axis=1)
    back = alike.argmax(axis=0)
    rows = np.arange(len(best))
    top = alike[rows, best]
    alike[rows, best] = -1.0
    second_best = alike.max(axis=1)
    clear = (1.0 - top) < RATIO**2 * (1.0 - second_best)
    kept = clear & (back[best] == rows)
    return rows[kept], best[kept]


def _none(intrinsics: np.ndarray) -> Features:
    return Features(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 128), np.float32), float(1.0 / intrinsics[0, 0]))
