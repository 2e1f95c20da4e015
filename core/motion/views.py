"""Frames as the search for motion sees them: reduced, without lone wrong pixels; and which of them to ask about which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.projection import invert_rigid

LONGEST = 336  # pixels; a frame is reduced by a whole step until no side is longer
VIEWS = 8  # that are asked about a frame
KEPT = 48  # frames of earlier batches that can still be asked
COMMON = 0.5  # of a frame's places that another frame must have in its picture to be asked
UNSURE = 0.25  # of a frame's median confidence: a pixel below says nothing about other frames
NEAR = 0.05  # of a frame's median depth: what is nearer to its camera is not in its picture
GUARD = 5  # pixels across, in which the nearest depth counts: cameras are off by about a pixel, and edges are smeared
SAMPLES = 8  # places along each side of a frame, by which common fields of view are measured
_FAR = 1e6  # median depths; how far one sees in the sky


@dataclass(frozen=True)
class View:
    """A frame, reduced.

    Attributes
    ----------
    index : of the frame in the input, its time
    depth : (h, w) float32, z-depth, 3x3 median; 0 where nothing is known
    guard : (h, w) float32, the nearest depth around; 0 where the frame is not sure of what it sees
    intrinsics : (3, 3) float64, pixels of the view
    extrinsics : (3, 4) float64, world to camera
    near : z-depth of the near plane
    step : how many pixels of the frame one pixel of the view stands for, along each side
    """

    index: int
    depth: np.ndarray
    guard: np.ndarray
    intrinsics: np.ndarray
    extrinsics: np.ndarray
    near: float
    step: int


def reduced(
    index: int,
    depth: np.ndarray,
    conf: np.ndarray,
    intrinsics: np.ndarray,
    extrinsics: np.ndarray,
    sky: np.ndarray | None = None,
) -> View:
    """The view of a frame.

    Parameters
    ----------
    depth, conf : (H, W) float32; 0 where nothing is known, and where a filter removed the pixel
    intrinsics : (3, 3), pixels of the frame
    extrinsics : (3, 4), world to camera
    sky : (H, W) bool; there nothing is in the way, however far one looks
    """
    step = -(-max(depth.shape) // LONGEST)
    first = step // 2  # the pixel that stands for a block
    chosen = (slice(first, None, step), slice(first, None, step))
    known = depth > 0 if sky is None else (depth > 0) & ~sky
    middle, sure = 1.0, known
    if known.any():
        middle, usual = (_median(values, known) for values in (depth, conf))
        sure = known & (conf > 0) & (conf >= UNSURE * usual)
    # Without the median a lone wrong pixel would be the nearest of all around it, and hide what they see.
    smooth = np.ascontiguousarray(cv2.medianBlur(np.where(known, depth, 0).astype(np.float32), 3)[chosen])
    sure = cv2.medianBlur(sure.astype(np.uint8), 3)[chosen] > 0
    guard = cv2.erode(np.where(smooth > 0, smooth, np.float32(np.inf)), np.ones((GUARD, GUARD), np.uint8))
    guard[~sure | (smooth <= 0)] = 0.0
    if sky is not None:
        guard[cv2.erode(sky.astype(np.uint8), np.ones((3, 3), np.uint8))[chosen] > 0] = _FAR * middle
    own = intrinsics.astype(np.float64)
    own[:2] /= step
    own[:2, 2] += 0.5 - (first + 0.5) / step  # an even block's pixel is not at its centre
    return View(index, smooth, guard, own, extrinsics.astype(np.float64), NEAR * middle, step)


def common(view: View, others: Sequence[View]) -> np.ndarray:
    """(len(others),) float64, the share of some places of a view that are in each other's picture."""
    places = _places(view)
    if len(places) == 0 or len(others) == 0:
        return np.zeros(len(others))
    intrinsics = np.stack([other.intrinsics for other in others])
    to_image = intrinsics @ np.stack([other.extrinsics for other in others])
    x, y, z = (to_image[:, :, :3] @ places.T + to_image[:, :, 3:]).swapaxes(0, 1)  # (len(others), P) each
    width, height = np.array([other.depth.shape[::-1] for other in others], float).T[:, :, None]
    near = np.array([other.near for other in others])[:, None]
    return ((z > near) & (x >= 0) & (x <= width * z) & (y >= 0) & (y <= height * z)).mean(axis=1)


def chosen(view: View, others: Sequence[View]) -> list[View]:
    """At most ``VIEWS`` to ask about a view: spread in time, and of each stretch of time the one that shares most with it.

    Parameters
    ----------
    others : in the order of time; ``view`` itself may be among them
    """
    others = [other for other in others if other.index != view.index]
    shares = common(view, others)
    able = np.flatnonzero(shares >= COMMON)
    stretches = np.array_split(able, min(VIEWS, max(1, len(able))))
    return [others[stretch[int(np.argmax(shares[stretch]))]] for stretch in stretches if len(stretch)]


class Kept:
    """Views of earlier batches, at most ``count``: all of the latest, and the fewer the longer ago."""

    def __init__(self, count: int = KEPT):
        self._count = count
        self.views: list[View] = []  # in the order of time

    def add(self, views: Sequence[View]) -> None:
        """More of them; those that can best be spared go."""
        self.views = in_time([*self.views, *views])
        while len(self.views) > self._count:
            times = np.array([view.index for view in self.views], float)
            gaps = times[2:] - times[:-2]  # that would be left
            ages = times[-1] - times[1:-1]
            del self.views[1 + int(np.argmin(gaps / ages))]


def in_time(views: Sequence[View]) -> list[View]:
    """Sorted by their frames' index."""
    return sorted(views, key=lambda view: view.index)


def _median(values: np.ndarray, where: np.ndarray) -> float:
    """Of the chosen values; of every 16th pixel where those are enough."""
    few = values[::4, ::4][where[::4, ::4]]
    return float(np.median(few if len(few) else values[where]))


def _places(view: View) -> np.ndarray:
    """(P, 3) world points of a coarse grid of the view's pixels."""
    rows, columns = (((np.arange(SAMPLES) + 0.5) * size / SAMPLES).astype(int) for size in view.depth.shape)
    v, u = np.meshgrid(rows, columns, indexing="ij")
    depth = view.depth[v, u]
    v, u, depth = v[depth > 0], u[depth > 0], depth[depth > 0]
    rays = np.stack([u + 0.5, v + 0.5, np.ones(len(u))], axis=1) @ np.linalg.inv(view.intrinsics).T
    to_world = invert_rigid(view.extrinsics)
    return rays * depth[:, None] @ to_world[:, :3].T + to_world[:, 3]
