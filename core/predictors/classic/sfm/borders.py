"""What was put around a photograph: a white frame with the camera's name below, a passe-partout, the black of a letterbox or a gallery.

The lens looked at the middle of the photograph, not of the file: of eight courtyard pictures three of which had such a line of words
below, places were 0.6 % of the path off and directions 6 degrees, without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

Rect = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two exclusive
Edges = frozenset[int]  # some of them, by their place in that order

EVEN = 24  # grey values of 255, most that a pixel of a bar differs from its colour, JPEG's ringing and all
OUTERMOST = 6  # of its first line, to which ringing does not reach: the dark has noise
PLAIN = 0.98  # of a line has that colour: of its first, and
NEARLY = 0.9  # before its last, mixed with the photograph
# Of every line in between, and of none of the photograph's first: no roof under a white sky is that level.
WRITTEN = 0.5
MIXED = 2  # lines, at most, that are both
MOST = 0.45  # of the picture's side
SMALLEST = 3  # lines; fewer are the edge of a decoder


def whole(image: np.ndarray) -> Rect:
    """All of an image."""
    return 0, 0, image.shape[1], image.shape[0]


def cut(image: np.ndarray, rect: Rect) -> np.ndarray:
    """That part of an image; a view."""
    left, top, right, bottom = rect
    return image[top:bottom, left:right]


def inside(image: np.ndarray) -> Rect:
    """What is left of a picture, (h, w) uint8 grey or (h, w, 3) RGB, without the frame around it; all of it where it has none.

    A frame has bars left and right, above and below, or below only: white above only may be the sky.
    """
    left, top, right, bottom = whole(image)
    before, after = _bars(image.swapaxes(0, 1))
    if before and after:
        left, right = before, right - after
    before, after = _bars(image[:, left:right])
    if after:
        top, bottom = before, bottom - after
    return left, top, right, bottom


def agreed(found: Sequence[Rect], sizes: Sequence[tuple[int, int]], plain: Sequence[Edges]) -> list[Rect]:
    """The same, where a photograph that is as white as its frame hides it: most pictures of its (width, height) have one, and it one like it.

    ``found``: of ``inside``, ``plain``: of ``plain_edges``, of each picture.
    """
    best = {}
    for size in set(sizes):
        rects = Counter(rect for rect, own in zip(found, sizes, strict=True) if own == size)
        best[size] = rects.most_common(1)[0][0]
    return [
        best[size] if rect == (0, 0, *size) and edges >= _cut(best[size], size) else rect
        for rect, size, edges in zip(found, sizes, plain, strict=True)
    ]


def plain_edges(image: np.ndarray) -> Edges:
    """Which edges of an image have one colour."""
    lines = image[:, 0], image[0], image[:, -1], image[-1]
    return frozenset(number for number, line in enumerate(lines) if _plain(line))


def _cut(rect: Rect, size: tuple[int, int]) -> Edges:
    """Which edges of a picture are not in a part of it."""
    return frozenset(
        number for number, (own, all_of) in enumerate(zip(rect, (0, 0, *size), strict=True)) if own != all_of
    )


def _bars(image: np.ndarray) -> tuple[int, int]:
    """How many of an image's lines along its first axis are bars, at its beginning and at its end."""
    if not (_plain(image[0]) or _plain(image[-1])):
        return 0, 0
    gray = image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return _bar(gray), _bar(gray[::-1])


def _plain(line: np.ndarray) -> bool:
    """Whether an outermost line of pixels, (w,) or (w, 3), has one colour."""
    return bool(np.mean(np.abs(line - np.median(line, axis=0)) <= OUTERMOST) >= PLAIN)


def _bar(lines: np.ndarray) -> int:
    """How many lines of an image from its first on, (h, w) uint8, are a bar; 0 where they are none."""
    if not _plain(lines[0]):
        return 0
    colour = float(np.median(lines[0]))
    some = lines[: round(MOST * len(lines)) + MIXED]
    like = np.mean(cv2.inRange(some, colour - EVEN, colour + EVEN) > 0, axis=1)  # type: ignore[call-overload]
    end = int(np.argmax(np.append(like < WRITTEN, True)))
    if not SMALLEST <= end < len(some):
        return 0
    ends_at_once = np.flatnonzero(like[max(0, end - MIXED) : end] >= NEARLY)
    return max(0, end - MIXED) + int(ends_at_once[-1]) + 1 if len(ends_at_once) else 0
