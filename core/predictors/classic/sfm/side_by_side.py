"""Stereo pictures: both eyes' in one file, side by side or one over the other. One camera cannot have taken such a file.

Nearly every detail of one half is in the other, a little aside: courtyard with the eyes 6 to 20 cm apart 78 to 95 % of them, photographs
by one camera 9 % at most.
"""

from __future__ import annotations

import cv2
import numpy as np

WIDTH, BLOCK = 128, 16  # pixels, of a half as it is compared, and of its details
AROUND = 5.0  # pixels: slow changes, as from sky to ground, are in both halves of any picture
ASIDE, ABOVE = 24, 3  # pixels that a detail may lie away
ALIKE = 0.8  # correlation of two that are one
SHOWS = 6.0  # grey values, deviation within a detail that says something
FEWEST = 10  # details
MOSTLY = 0.6  # of the details, and of the pictures


def stereo(gray: np.ndarray) -> bool:
    """Whether a picture, (h, w) uint8, holds two of one thing."""
    height, width = gray.shape
    side = gray[:, : width // 2], gray[:, width - width // 2 :]
    over = gray[: height // 2], gray[height - height // 2 :]
    return any(_in_common(*halves) >= MOSTLY for halves in (side, over) if min(halves[0].shape) >= BLOCK)


def _in_common(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the details of one half that are in the other; 0 for few details."""
    size = WIDTH, max(3 * BLOCK, round(one.shape[0] * WIDTH / one.shape[1]))
    one, other = (cv2.resize(half, size, interpolation=cv2.INTER_AREA).astype(np.float32) for half in (one, other))
    one, other = (half - cv2.GaussianBlur(half, (0, 0), AROUND) for half in (one, other))
    found = []
    for y in range(ABOVE, size[1] - BLOCK - ABOVE + 1, BLOCK):
        for x in range(0, WIDTH - BLOCK + 1, BLOCK):
            detail = one[y : y + BLOCK, x : x + BLOCK]
            if detail.std() < SHOWS:
                continue
            rows = slice(y - ABOVE, y + BLOCK + ABOVE)
            again = cv2.matchTemplate(one[rows], detail, cv2.TM_CCOEFF_NORMED).max(axis=0)
            again[max(0, x - BLOCK // 2) : x + BLOCK // 2] = 0.0  # itself
            if again.max() <= ALIKE:  # of a pattern or a long edge, each part is alike
                near = other[rows, max(0, x - ASIDE) : x + BLOCK + ASIDE]
                found.append(cv2.matchTemplate(near, detail, cv2.TM_CCOEFF_NORMED).max() > ALIKE)
    return float(np.mean(found)) if len(found) >= FEWEST else 0.0
