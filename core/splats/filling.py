"""What a photograph shows where no depth is known: the nearest plane is continued into it, so that splats leave no black holes.

A pixel goes on from the known one that is nearest to it, counted over steps that are long where the colour changes, on the plane
that fits the inverse depth around that one. What another frame sees through, or as sky, is given up, and so is what would hide
another frame's guess, or comes nearer without a frame that says the same. It is a guess: the points have the lowest confidence
there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from ..geometry.projection import invert_rigid, project, unproject
from ..monitor import Monitor
from ..prediction import filters
from ..prediction.batch import Batch
from ..prediction.prediction import Prediction

Array = NDArray[Any]

GUESSED = 1.0  # confidence of what is filled in
FARTHEST = 0.2  # of an image's longer side: so far from what is known a plane may go on
BY_COLOR = 0.15  # a step's length for each level of its change in colour, all channels; 1 without any
REACH = 7  # pixels to each side that a plane is fitted to
OFF_PLANE = (0.02, 0.01)  # of the inverse depth: those that lie farther off the plane take no part in the next fit
STEEPEST = 0.02  # of the inverse depth for each pixel: what lies farther off is another surface
FLAT = 0.3  # pixels squared, that a plane is held back by where few pixels tell it
NEAREST, DEEPEST = 3.0, 0.4  # of the inverse depth that a plane starts with: so far it may lead
BEHIND = 0.97  # of another frame's depth: what is nearer than that would hide what the frame sees
BEFORE = 0.8  # of another frame's guess: what is nearer than that would hide it
AMONG, DISTANT = (
    0.6,
    1.3,
)  # of a camera's median depth: no guess comes so near to it, if its own frame has it as far away as that
APPROACH, SAME = (
    1.05,
    0.1,
)  # of what is gone on from: a guess so much nearer needs another frame that knows or guesses the same
RIM = 5  # pixels, twice as far from the sky, and one more: what lies there is mixed with it, or sky that was not found
SMOOTHED, ALIKE = 5, 0.05  # pixels, and share of the inverse depth, of neighbours that are averaged


def fill(batches: Sequence[Batch], monitor: Monitor) -> int:
    """Fill in place what the batches' frames, which share one world, do not know; how many pixels that are.

    Pixels that a filter of the settings has dropped stay away, and so do the sky, what moves and black rims. A network's own
    Gaussians are not added to.
    """
    known = [_known(batch) for batch in batches]
    skies = [filters.sky_of(b.prediction) if b.prediction.sky is None else b.prediction.sky for b in batches]
    found: list[_Guess] = []
    for batch, sure, sky in zip(batches, known, skies, strict=True):
        p = batch.prediction
        if p.gaussians is not None or p.extrinsics is None or p.intrinsics is None:
            continue
        for k in range(len(p.depth)):
            monitor.check()
            rim = cv2.dilate(sky[k].astype(np.uint8), np.ones((RIM, RIM), np.uint8)) > 0
            wanted = _wanted(batch, k) & ~rim
            guess = _Guess(p, k, np.zeros_like(wanted), np.zeros_like(p.depth[k]), np.zeros_like(wanted))
            found.append(guess)
            if not wanted.any() or not sure[k].any():
                continue
            inverse, guess.reached, nearer = continued(p.depth[k], sure[k], ~sky[k], wanted, p.images[k])
            guess.depth[guess.reached], guess.nearer = 1.0 / inverse[guess.reached], nearer > APPROACH
            for other, other_sure, other_sky in zip(batches, known, skies, strict=True):
                stands = ~_refuted(guess.points(), other.prediction, other_sure, other_sky)
                guess.keep(stands)
    stand = [_stands(guess, [other for other in found if other is not guess]) for guess in found]
    for guess, stands in zip(found, stand, strict=True):  # at the end: each is held against all that the others guess
        guess.keep(stands)
        guess.frames.depth[guess.k][guess.reached] = guess.depth[guess.reached]
        guess.frames.conf[guess.k][guess.reached] = GUESSED
    return sum(int(guess.reached.sum()) for guess in found)


@dataclass
class _Guess:
    """What is guessed of one frame, number ``k`` of ``frames``."""

    frames: Prediction
    k: int
    reached: Array  # (H, W) bool
    depth: Array  # (H, W), 0 where nothing is guessed
    nearer: Array  # (H, W) bool, than what it goes on from

    def points(self) -> Array:
        """(M, 3) of what is reached."""
        p, one = self.frames, slice(self.k, self.k + 1)
        assert p.extrinsics is not None and p.intrinsics is not None
        points: Array = unproject(self.depth[None], p.intrinsics[one], p.extrinsics[one])[0][self.reached]
        return points

    def usual(self) -> float:
        """The median of the depths that the frame knows."""
        known = self.frames.depth[self.k][self.frames.conf[self.k] > 0]
        return float(np.median(known)) if len(known) else 0.0

    def centre(self) -> Array:
        """(3,) of the camera."""
        assert self.frames.extrinsics is not None
        return invert_rigid(self.frames.extrinsics[self.k : self.k + 1])[0, :, 3]

    def keep(self, stands: Array) -> None:
        """Give up the others of what is reached; ``stands``: (M,) bool."""
        self.reached[self.reached] = stands
        self.depth[~self.reached] = 0.0


def _stands(guess: _Guess, others: Sequence[_Guess]) -> Array:
    """(M,) bool, which points of a guess no other frame's guess lies behind, and some frame confirms if they come nearer.

    Nor do they hang among the cameras, as what is behind a table does for those on its other side.
    """
    points = guess.points()
    distant = guess.depth[guess.reached] > DISTANT * guess.usual()
    among = np.zeros(len(points), bool)
    hides, confirmed = np.zeros((2, len(points)), bool)
    for other in others:
        rows, x, y, away = _shown(points, other.frames, other.k)
        guessed = other.depth[y, x]
        hides[rows] |= away < BEFORE * guessed
        there = np.maximum(
            guessed, np.where(other.frames.conf[other.k, y, x] > 0, other.frames.depth[other.k, y, x], 0)
        )
        confirmed[rows] |= np.abs(away - there) < SAME * there
        among |= np.linalg.norm(points - other.centre(), axis=1) < AMONG * other.usual()
    stands: Array = ~hides & ~(among & distant) & (confirmed | ~guess.nearer[guess.reached])
    return stands


def _known(batch: Batch) -> Array:
    """(N, H, W) bool, which pixels have a point that stands still."""
    known: Array = (batch.prediction.depth > 0) & (batch.prediction.conf > 0)
    return known if batch.moving is None else known & ~batch.moving


def _wanted(batch: Batch, k: int) -> Array:
    """(H, W) bool, the pixels of a frame that show something and never had a depth."""
    p = batch.prediction
    empty: Array = (p.conf[k] if p.unfiltered is None else p.unfiltered[k]) <= 0
    black = (p.images[k] == 0).all(axis=-1).astype(np.uint8)
    empty &= cv2.dilate(black, np.ones((3, 3), np.uint8)) == 0
    return empty if batch.moving is None else empty & ~batch.moving[k]


def continued(depth: Array, known: Array, passable: Array, wanted: Array, image: Array) -> tuple[Array, Array, Array]:
    """Inverse depth of one frame, its planes continued into what is wanted.

    Parameters
    ----------
    depth : (H, W) float32, z-depth
    known, passable, wanted : (H, W) bool; ways lead over what is passable only
    image : (H, W, 3) uint8

    Returns
    -------
    inverse : (H, W) float32
    reached : (H, W) bool, where it is new
    nearer : (H, W) float32, there: how many times nearer than the known pixel that it goes on from; else 0
    """
    inverse = np.zeros(depth.shape, np.float32)
    np.divide(1.0, depth, out=inverse, where=known)
    source = _sources(known, passable, image)
    far = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5) > FARTHEST * max(depth.shape)
    reached = wanted & ~known & (source >= 0) & ~far
    rows, own = np.unique(source[reached], return_inverse=True)
    nearer = np.zeros_like(inverse)
    if not len(rows):
        return inverse, reached, nearer
    starts, by_u, by_v = _planes(inverse, known, rows)
    v, u = np.nonzero(reached)
    from_v, from_u = np.divmod(rows[own], depth.shape[1])
    led = starts[own] + by_u[own] * (u - from_u) + by_v[own] * (v - from_v)
    first = inverse.ravel()[rows[own]]
    inverse[reached] = np.clip(led, DEEPEST * first, NEAREST * first)
    there = (known | reached).astype(np.float32)
    for _ in range(3):
        shares = np.maximum(cv2.blur(there, (SMOOTHED, SMOOTHED)), 1e-6)
        mean = cv2.blur(inverse * there, (SMOOTHED, SMOOTHED)) / shares
        alike = reached & (np.abs(mean - inverse) < ALIKE * inverse)
        inverse[alike] = mean[alike]
    nearer[reached] = inverse[reached] / first
    return inverse, reached, nearer


def _sources(known: Array, passable: Array, image: Array) -> Array:
    """(H, W) int64, the known pixel that is nearest to each one that is not, by the way's length; -1: none."""
    height, width = known.shape
    numbers = np.arange(height * width).reshape(height, width)
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
    open_ = known | passable
    starts, ends, lengths = [], [], []
    for here, there in (np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]):
        way = open_[here] & open_[there] & ~(known[here] & known[there])
        starts.append(numbers[here][way])
        ends.append(numbers[there][way])
        lengths.append(1.0 + BY_COLOR * np.abs(smooth[here][way] - smooth[there][way]).sum(axis=-1))
    start, end, length = map(np.concatenate, (starts, ends, lengths))
    out = np.full(height * width, -1, np.int64)
    nodes, place = np.unique(np.concatenate([start, end]), return_inverse=True)
    rim = np.flatnonzero(known.ravel()[nodes])
    if len(rim):
        a, b = np.split(place, 2)
        graph = coo_matrix((length, (a, b)), shape=(len(nodes), len(nodes))).tocsr()
        _, _, nearest = dijkstra(graph, directed=False, indices=rim, min_only=True, return_predecessors=True)
        some = nearest >= 0
        out[nodes[some]] = nodes[nearest[some]]
    return out.reshape(height, width)


def _planes(inverse: Array, known: Array, rows: Array) -> tuple[Array, Array, Array]:
    """The plane around each of the known pixels ``rows``: its inverse depth there, and by u and v; (P,) each."""
    v, u = np.divmod(rows, known.shape[1])
    reach = np.arange(-REACH, REACH + 1)
    dv, du = (one.ravel() for one in np.meshgrid(reach, reach, indexing="ij"))
    at = (v[:, None] + REACH + dv, u[:, None] + REACH + du)
    own, there = inverse.ravel()[rows][:, None], np.pad(known, REACH)[at]
    values = np.pad(inverse, REACH)[at]
    used = there & (np.abs(values - own) < STEEPEST * np.maximum(2.0, np.hypot(du, dv)) * own)
    for tolerance in (*OFF_PLANE, None):
        weight = used.astype(np.float32)
        count = np.maximum(weight.sum(axis=1), 1.0)
        mean_u, mean_v, mean = weight @ du / count, weight @ dv / count, (weight * values).sum(axis=1) / count
        uu = weight @ (du * du) / count - mean_u**2 + FLAT
        vv = weight @ (dv * dv) / count - mean_v**2 + FLAT
        uv = weight @ (du * dv) / count - mean_u * mean_v
        uq = (weight * values) @ du / count - mean_u * mean
        vq = (weight * values) @ dv / count - mean_v * mean
        divisor = uu * vv - uv * uv
        by_u, by_v = (vv * uq - uv * vq) / divisor, (uu * vq - uv * uq) / divisor
        start = mean - by_u * mean_u - by_v * mean_v
        if tolerance is not None:
            led = start[:, None] + by_u[:, None] * du + by_v[:, None] * dv
            used = there & (np.abs(values - led) < tolerance * own)
    return start, by_u, by_v


def _refuted(points: Array, p: Prediction, known: Array, sky: Array) -> Array:
    """(M,) bool, which of (M, 3) points some frame sees through: what it knows lies behind them, or the sky does."""
    out = np.zeros(len(points), bool)
    for k in range(len(p.depth)):
        rows, x, y, away = _shown(points, p, k)
        out[rows] |= (known[k, y, x] & (away < BEHIND * p.depth[k, y, x])) | sky[k, y, x]
    return out


def _shown(points: Array, p: Prediction, k: int) -> tuple[Array, Array, Array, Array]:
    """Which of (M, 3) points are in a frame's picture: their rows, pixels x and y, and z-depths."""
    assert p.extrinsics is not None and p.intrinsics is not None
    height, width = p.depth.shape[1:]
    pixels, depth = project(points, p.intrinsics[k], p.extrinsics[k])
    u, v = (np.nan_to_num(pixels[:, axis], nan=-1.0, posinf=-1.0, neginf=-1.0) for axis in (0, 1))
    rows = np.flatnonzero((depth > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height))
    return rows, u[rows].astype(int), v[rows].astype(int), depth[rows]
