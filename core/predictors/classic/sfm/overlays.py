"""What lies over all pictures of a size and stands still while they move: logos, stamps, displays, and bars at their edges.

A logo's features match perfectly at no distance, which speaks for a camera that did not move: of six photographs of a statue with a
logo over a thirtieth of each, the focal length was found 1.7 times too long.
A bar has none, but a surface is continued into what nobody knows: black hung before and below the scene.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

FEWEST = 4  # pictures of a size
SIDE = 400  # pixels, of the long side, at which they are compared
SAME = 12  # grey values of 255: most that a pixel of an overlay differs between the pictures, JPEG and all
MOST = 0.3  # of the picture; more is a camera that stood still, or the dark
RIM = 3  # pixels around it that go with it
SMALLEST = 3  # pixels across, at that size
DRAWN = 8.0  # grey values, deviation within: less is the sky or a shadow, which has no features
# A bar stands still all along an edge, and ends at once: most of the line that follows it moves, a few pixels on. Sky does not.
ALL_ALONG, MOVES, ENDS = 0.98, 0.5, 2


class Overlays:
    """Looks at one picture after another, and keeps of each size only the darkest and the brightest of every pixel."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], tuple[int, np.ndarray, np.ndarray]] = {}

    def look(self, gray: np.ndarray) -> None:
        """``gray``: (h, w) uint8."""
        height, width = gray.shape
        factor = min(1.0, SIDE / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        count, low, high = self._seen.get((width, height), (0, small, small))
        self._seen[width, height] = count + 1, np.minimum(low, small), np.maximum(high, small)

    def found(self) -> dict[tuple[int, int], np.ndarray]:
        """By (width, height) of the pictures: (h, w) bool, where something lies over all of them; sizes without are left out."""
        found = {}
        for (width, height), (count, low, high) in self._seen.items():
            if count < FEWEST:
                continue
            still = (high - low <= SAME).astype(np.uint8)
            bars = _bars(still)
            drawn = _drawn(
                cv2.morphologyEx(still & ~bars, cv2.MORPH_OPEN, np.ones((SMALLEST, SMALLEST), np.uint8)), low
            )
            over = bars | drawn if drawn.mean() <= MOST else bars
            if over.any():
                wide = cv2.dilate(over, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
                found[width, height] = cv2.resize(wide, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        return found


def off_centre(over: np.ndarray) -> float:
    """How far bars along the edges of ``over``, (h, w) bool, put the middle of what they leave from the picture's, of its long side."""
    away = 0.0
    for axis in (0, 1):
        left = np.flatnonzero(~over.all(axis=1 - axis))
        if len(left):
            away = max(away, abs(left[0] + left[-1] + 1 - over.shape[axis]) / 2 / max(over.shape))
    return away


def _bars(still: np.ndarray) -> np.ndarray:
    """(h, w) uint8, the bars along the edges of what stands still, (h, w) uint8."""
    bars = np.zeros_like(still)
    for turn in range(4):
        lines, out = np.rot90(still, turn).mean(axis=1), np.rot90(bars, turn)
        width = int(np.argmax(np.append(lines < ALL_ALONG, True)))
        if SMALLEST <= width < len(lines) - ENDS and lines[width + ENDS] < MOVES:
            out[:width] = 1
    return bars


def _drawn(still: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """(h, w) uint8, the connected parts of what stands still that show something."""
    count, part = cv2.connectedComponents(still)
    size = np.maximum(np.bincount(part.ravel(), minlength=count), 1)
    mean, square = (np.bincount(part.ravel(), gray.ravel().astype(float) ** k, count) / size for k in (1, 2))
    shows = np.sqrt(np.maximum(square - mean**2, 0.0)) >= DRAWN
    shows[0] = False  # what moves
    return shows[part].astype(np.uint8)


def over_all(pictures: Iterable[np.ndarray]) -> np.ndarray | None:
    """(h, w) bool, where something lies over all these pictures of one size, (h, w, 3) uint8 RGB; None where nothing does."""
    overlays = Overlays()
    for picture in pictures:
        overlays.look(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    return next(iter(overlays.found().values()), None)
