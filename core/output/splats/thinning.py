"""Which of the splats that lie on each other are drawn: of a place that several frames see, those of the one that sees it best.

Discs of several frames at one place, each a little off, would mix their colours to fog. A point is left out where a finer or
surer disc of another frame covers it: one whose plane it lies in. That disc itself is drawn, unless a third is better still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry.projection import BLENDER_FROM_OPENCV
from .discs import ALONE, SIGMA, Discs

Array = NDArray[Any]

LAYERS = 3  # of discs that are drawn at a place: one has gaps between its pixels
#: How much larger a disc is that is alone at its place, with one other, with more: so that one frame's have no gaps either.
LARGER = np.array([ALONE / SIGMA, 0.5 * (ALONE / SIGMA + 1.0), 1.0], np.float32)
REMEMBERED = 12  # frames of earlier batches that later ones are compared with
EARLIER_MAY_BE = 0.5  # as good as a later one, whose point is then left out all the same: what is given out stays
CLOSEST, FARTHEST = 0.003, 0.03  # of the depth: so far off a disc's plane a point may lie, by how well the frames agree
ALIKE = 0.8  # cosine of the angle between two surfaces that are one
SAMPLE = 4000  # points of a frame that say how well it agrees with another


@dataclass(frozen=True)
class View:
    """What a frame sees: its P points, and which pixel has which."""

    number: Array  # (H, W) int32, the point of each pixel; -1: none
    position: Array  # (P, 3) float32, Blender's world
    normal: Array  # (P, 3) float32
    quality: Array  # (P,) float32: how opaque over how large
    to_pixel: Array  # (3, 4) float32, from Blender's world to pixels times depth

    @classmethod
    def of(cls, kept: Array, world: Array, made: Discs, intrinsics: Array, extrinsics: Array) -> View:
        """The ``kept`` pixels, (H, W) bool, of a frame at ``world``, (H, W, 3), with their discs and their camera (OpenCV)."""
        number = np.where(kept, np.cumsum(kept, dtype=np.int32).reshape(kept.shape) - np.int32(1), np.int32(-1))
        to_camera = np.array(extrinsics, np.float64)
        to_camera[:, :3] = to_camera[:, :3] @ BLENDER_FROM_OPENCV.T
        area = np.maximum(made.area, np.float32(1e-30))
        return cls(number, world[kept], made.normal, made.opacity / area, (intrinsics @ to_camera).astype(np.float32))

    def seen(self, points: Array) -> tuple[Array, Array, Array]:
        """Which of (P, 3) points fall on a pixel that has a point: their rows, the view's own points there, their depths."""
        height, width = self.number.shape
        image = points @ self.to_pixel[:, :3].T
        image += self.to_pixel[:, 3]
        depth = image[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = image[:, 0] / depth, image[:, 1] / depth
        rows = np.flatnonzero((depth > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height))
        own = self.number[v[rows].astype(np.int32), u[rows].astype(np.int32)]
        rows, own = rows[own >= 0], own[own >= 0]
        return rows, own, depth[rows]


class Thinner:
    """Thins the splats of a run's batches as they come."""

    def __init__(self) -> None:
        self._earlier: deque[View] = deque(maxlen=REMEMBERED)

    def sizes(self, views: Sequence[View]) -> Array:
        """Factors of the sizes of the splats of a batch's frames, 0 for one that is not drawn: float32, one frame's after
        another's."""
        out = []
        for i, view in enumerate(views):
            drawn = np.arange(len(view.position))
            covers, others = np.zeros((2, len(view.position)), np.int32)
            for k, other in enumerate([*views, *self._earlier]):
                if k != i:
                    may_be = EARLIER_MAY_BE if k >= len(views) else 1.0
                    beside, better = _covered(view, drawn, other, may_be, also_equal=k < i)
                    others[drawn] += beside
                    covers[drawn] += better
                    drawn = drawn[covers[drawn] < LAYERS]
            out.append(LARGER[np.minimum(others, len(LARGER) - 1)] * (covers < LAYERS))
        self._earlier.extend(views)
        return np.concatenate(out) if out else np.zeros(0, np.float32)


def _covered(view: View, rows: Array, other: View, may_be: float, *, also_equal: bool) -> tuple[Array, Array]:
    """Which of a view's points ``rows`` a disc of another view covers, and which a better one; bool for each of them.

    Parameters
    ----------
    may_be : how good the other's must be, relative to the point's own
    also_equal : whether one that is just as good counts as better
    """
    covered, better = np.zeros((2, len(rows)), bool)
    points = view.position[rows]
    few = points[:: max(1, len(points) // SAMPLE)]
    some, own, depth = other.seen(few)
    if not len(some):
        return covered, better
    off = _off(few[some], other, own) / depth
    near = off[off < FARTHEST]
    tolerance = np.clip(4.0 * np.median(near), CLOSEST, FARTHEST) if len(near) else CLOSEST
    seen, own, depth = other.seen(points)
    alike = np.abs(np.einsum("pi,pi->p", view.normal[rows[seen]], other.normal[own])) > ALIKE
    on = np.flatnonzero(alike & (_off(points[seen], other, own) < tolerance * depth))
    seen, own = seen[on], own[on]
    covered[seen] = True
    least, best = view.quality[rows[seen]] * np.float32(may_be), other.quality[own]
    better[seen] = best >= least if also_equal else best > least
    return covered, better


def _off(points: Array, view: View, own: Array) -> Array:
    """How far (P, 3) points lie off the planes of a view's points ``own``; (P,)."""
    off: Array = np.abs(np.einsum("pi,pi->p", points - view.position[own], view.normal[own]))
    return off
