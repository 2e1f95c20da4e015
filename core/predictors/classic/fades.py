"""Frames of a video in which one scene is faded into another: they show two places at once, and would join them.

Between a frame before and one after, each is a mixture of the two. Where a camera only moves or turns, or the light changes, that is not
so, or the two look alike.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ...monitor import Monitor

# Pixels, of the long side, at which frames are compared: a moving camera changes little of that during a fade.
SIDE = 32
REACH = 40  # frames, at most, from the last of one scene to the first of the next
OTHERWISE = 20.0  # grey values of 255, deviation between the two scenes, at least
UNLIKE = 0.6  # their correlation, at most: the same view in another light has more
LEFT_OVER = 0.3  # of what differs between the two, that mixing them leaves unexplained, at most; of a pan it is 0.8
PLAIN = 5.0  # grey values, deviation within: such a frame, black or white, shows no other scene
MIXED = 0.04  # share of the other scene, from which on a frame is a mixture


def blended(frames: Iterable[np.ndarray], monitor: Monitor) -> list[int]:
    """Which frames are mixtures of two scenes, by their place.

    Parameters
    ----------
    frames : N arrays (h, w, 3) uint8, RGB, of one size, one after another

    Raises
    ------
    Cancelled
    """
    looked = []
    for frame in frames:
        monitor.check()
        looked.append(_small(frame))
    small = np.array(looked)
    found: set[int] = set()
    for first in range(len(small) - 2):
        monitor.check()
        for last in range(first + 2, min(len(small), first + REACH + 1)):
            if {first, last} & found:
                continue
            step = small[last] - small[first]
            if step.std() < OTHERWISE or not _fits(small[(first + last) // 2], small[first], step):
                continue
            if min(small[first].std(), small[last].std()) < PLAIN:
                continue
            alike = float(np.corrcoef(small[first], small[last])[0, 1])
            between = range(first + 1, last)
            if alike < UNLIKE and all(_fits(small[i], small[first], step) for i in between):
                shares = [_share(small[i], small[first], step) for i in between]
                found |= {i for i, share in zip(between, shares, strict=True) if MIXED < share < 1.0 - MIXED}
    return sorted(found)


def _small(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    size = max(2, round(SIDE * width / max(width, height))), max(2, round(SIDE * height / max(width, height)))
    gray = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return gray.ravel().astype(np.float32)


def _share(frame: np.ndarray, first: np.ndarray, step: np.ndarray) -> float:
    """How much of the later scene is in a frame, by least squares."""
    return float((frame - first) @ step / (step @ step))


def _fits(frame: np.ndarray, first: np.ndarray, step: np.ndarray) -> bool:
    share = _share(frame, first, step)
    left = frame - first - share * step
    return -MIXED < share < 1.0 + MIXED and float(np.linalg.norm(left)) < LEFT_OVER * float(np.linalg.norm(step))
