"""What a person is told where ``classic`` finds depth for little of what the images show."""

from __future__ import annotations

import cv2
import numpy as np

from .sfm.diagnosis import MODELS_HINT
from .sfm.reconstruction import SfmResult
from .stereo.view_selection import neighbour_angles

LITTLE = 0.3  # share of the pixels that show no sky; with less than it a scene is not recognised as what it is
FAR_APART = 20.0  # degrees between two views of a point, from which windows look too different to be matched
PLAIN, MOSTLY = (
    3.2,
    0.5,
)  # grey values, deviation within 5 x 5 pixels below which nothing is matched; share of the lost pixels


def of_little(canvas: np.ndarray, counted: np.ndarray, conf: np.ndarray, sfm: SfmResult) -> str | None:
    """A sentence with the share that has depth, the cause and what helps; None where it is not little.

    Parameters
    ----------
    canvas : (N, H, W, 3) uint8, RGB
    counted : (N, H, W) bool, pixels of the pictures that show no sky
    conf : (N, H, W), 0 where nothing is known
    """
    counted = counted & sfm.registered[:, None, None]
    kept = conf > 0.0
    total = int(counted.sum())
    share = int((kept & counted).sum()) / max(total, 1)
    if total == 0 or share >= LITTLE:
        return None
    angles = neighbour_angles(sfm)
    plain = _plain_share(canvas, counted & ~kept)
    if len(angles) and np.median(angles) > FAR_APART:
        cause = f"neighbouring images are {np.median(angles):.0f} degrees apart, so that most is in one image only or looks too different"
        remedy = f"take images in between, 5 to 15 degrees apart, or {MODELS_HINT}"
    elif plain > MOSTLY:
        cause = f"{plain:.0%} of the rest is plain, with nothing to tell one place from another"
        remedy = MODELS_HINT
    else:
        cause = "most of the rest is in one image only, or looks too different in the others"
        remedy = f"take images in between, or {MODELS_HINT}"
    return (
        f"Only {share:.0%} of what {int(sfm.registered.sum())} images show got depth, the sky not counted: {cause}. "
        f"For more, {remedy}"
    )


def _plain_share(canvas: np.ndarray, lost: np.ndarray) -> float:
    """How much of what is lost has no texture."""
    plain = 0
    for image, mask in zip(canvas, lost, strict=True):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        mean = cv2.blur(gray, (5, 5))
        plain += int((mask & (cv2.blur(gray * gray, (5, 5)) - mean * mean < PLAIN * PLAIN)).sum())
    return plain / max(int(lost.sum()), 1)
