"""What lies around a thing that was cut out of its pictures: one colour, in all of them the same.

It shows nothing, but looks the same in all views wherever it is taken to be, so that surfaces were continued into it: black sheets
around and behind the things. A photograph's sky reaches neither to the lower edge nor all around, and a wall is not that even.
"""

from __future__ import annotations

import cv2
import numpy as np

EVEN = 4  # grey values of 255, most that a pixel differs from the colour around, JPEG and all
ALL_AROUND = 0.6  # of the picture's rim, at least, and
BELOW = 0.5  # of its lower edge, have that colour
NEARLY_ALL = 0.75  # of the pictures
SMALLEST = 5e-4  # of the picture; a smaller part of that colour is one of the thing's own
HALO = 2  # pixels beside it that are mixed with it


def around(pictures: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """(N, h, w) bool, what lies around the things; None where nothing was cut out.

    Parameters
    ----------
    pictures : (N, h, w, 3) uint8, RGB
    valid : (N, h, w) bool, where each picture lies on its canvas
    """
    found = [_rim_colour(picture, inside) for picture, inside in zip(pictures, valid, strict=True)]
    colours = np.array([colour for colour in found if colour is not None]).reshape(-1, 3)
    if len(colours) < NEARLY_ALL * len(pictures) or not len(colours):
        return None
    colour = np.median(colours, axis=0)
    if (np.abs(colours - colour).max(axis=1) <= EVEN).sum() < NEARLY_ALL * len(pictures):
        return None
    return np.stack([_of_colour(picture, colour) for picture in pictures])


def _rim_colour(picture: np.ndarray, inside: np.ndarray) -> np.ndarray | None:
    """(3,) the one colour of most of the rim and of the lower edge, or None."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    own = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.int16)
    below = own[-1]
    rim = np.concatenate([own[0], below, own[:, 0], own[:, -1]])
    colour = np.median(rim, axis=0)
    even = [(np.abs(places - colour).max(axis=1) <= EVEN).mean() for places in (rim, below)]
    return colour if even[0] >= ALL_AROUND and even[1] >= BELOW else None


def _of_colour(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(h, w) bool, the parts of some size that have this colour, and what is mixed with it."""
    low, high = (np.clip(colour + step, 0, 255) for step in (-EVEN, EVEN))
    even = cv2.inRange(picture, low, high)
    _, part, about, _ = cv2.connectedComponentsWithStats(even, connectivity=4)
    large = about[:, cv2.CC_STAT_AREA] >= SMALLEST * even.size
    large[0] = False  # what has another colour
    return cv2.dilate(large[part].astype(np.uint8), np.ones((2 * HALO + 1, 2 * HALO + 1), np.uint8)) > 0
