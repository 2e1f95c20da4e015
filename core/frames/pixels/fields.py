"""Interlaced video: two moments woven into one picture, row by row."""

from __future__ import annotations

import cv2
import numpy as np

COMBED = 40.0  # levels squared, by which a row leaves both of its neighbours to the same side; noise stays below
WOVEN = 0.002  # share of the pixels from which on a picture is woven: some that say so are not
REACH = 3  # pixels around a comb that are taken with it


def unwoven(image: np.ndarray) -> np.ndarray:
    """A picture with one moment in it: where its two fields differ, the rows of the second are made from the first.

    Parameters
    ----------
    image : (h, w, 3) uint8 that calls itself interlaced

    Returns
    -------
    the same where there is nothing woven in it
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    combs = np.zeros(grey.shape, np.uint8)
    above, here, below = grey[:-2], grey[1:-1], grey[2:]
    combs[1:-1] = (here - above) * (here - below) > COMBED
    # A fine texture has such rows too; a comb goes on over many rows
    tall = cv2.boxFilter(combs, cv2.CV_32F, (1, 5), normalize=False) >= 4
    if tall.mean() < WOVEN:
        return image
    moved = cv2.dilate(tall.astype(np.uint8), np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)).astype(bool)
    first = image[0::2]
    below_too = np.concatenate([first[1:], first[-1:]])[: image.shape[0] // 2]
    between = (first[: image.shape[0] // 2].astype(np.uint16) + below_too + 1) // 2
    result = image.copy()
    rows = result[1::2]
    rows[moved[1::2]] = between.astype(np.uint8)[moved[1::2]]
    return result
