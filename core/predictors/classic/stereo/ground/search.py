"""The ground's plane from the pictures alone: searched from everywhere, taken only where no other is nearly as good."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .pictures import COARSE, FINE, MIDDLE, PIXELS, Pictures
from .plane import BELOW, FEW_BELOW, LEVEL, Plane, Points

HEIGHTS = np.geomspace(0.012, 0.5, 12)  # of the cameras, in farthest points
TILTS = np.tan(np.radians(np.arange(-20, 21, 5))), np.tan(np.radians((-4, 0, 4)))  # forward and sideward
LOOK = 800  # pixels of each view that the first look around takes
STEPS = {COARSE: (2.0, 8), MIDDLE: (1.0, 10), FINE: (0.4, 12)}  # pixels by which the slopes are measured, and rounds
SHARES, FARTHEST = (1.0, 0.4), 5.0  # of a move, that are tried, and how far one may go, in those steps
LITTLE = 2e-4  # of the correlation; less is no gain
STARTS, ELSEWHERE = 4, 0.25  # planes that are moved to their best places; relative, how far they are from each other
ANOTHER = 0.03  # relative; planes that far apart are two
ENOUGH = 0.5  # of the pixels that most planes compare
ALIKE = 0.3  # correlation of the finest details on the ground,
RIVAL = 0.85  # times it is what another plane may have
FIRM = 0.01  # relative; how far the ground may move if every second pair of views is asked


@dataclass(frozen=True)
class Found:
    """A plane, and how well it is known."""

    m: np.ndarray  # (3,), see ``Pictures``
    like: float  # correlation of the finest details on it,
    rival: float  # on the best other plane
    moved: float  # relative, how far it moves if every second pair of views is asked


def agreed(pictures: Pictures, points: Points, check: Callable[[], None]) -> Plane | None:
    """The plane on which the pictures agree, if they agree on one only, and next to nothing is below it.

    Parameters
    ----------
    points : sure ones
    check : called now and then; may raise
    """
    if not pictures.pairs:
        return None
    found = best(pictures, check)
    if found.like < ALIKE or found.rival > RIVAL * found.like or found.moved > FIRM:
        return None
    length = float(np.linalg.norm(found.m))
    plane = Plane(found.m / length, float(1.0 - found.m @ pictures.middle) / length)
    level = plane.normal @ _axes(pictures)[0] > LEVEL
    return plane if level and (points.over(plane.normal, plane.offset) < -BELOW).mean() < FEW_BELOW else None


def best(pictures: Pictures, check: Callable[[], None]) -> Found:
    """The plane on which the pictures agree best."""
    planes, scores, full = _looked_around(pictures, check)
    starts: list[np.ndarray] = []
    for k in np.argsort(-scores):
        if len(starts) < STARTS and all(pictures.apart(m, planes[k]) > ELSEWHERE for m in starts):
            starts.append(planes[k])
    move = _Mover(pictures, full, check)
    moved = [move(move(m, COARSE)[0], MIDDLE)[0] for m in starts]
    moved.sort(key=lambda m: -pictures.likeness(m)[0][[FINE, MIDDLE]].sum())
    m, like = move(move(moved[0], FINE)[0], FINE)
    others = [move(other, FINE) for other in [other for other in moved[1:] if pictures.apart(m, other) > ANOTHER][:1]]
    rival = max([score for other, score in others if pictures.apart(m, other) > ANOTHER], default=0.0)
    halves = [move(m, FINE, slice(k, None, 2))[0] for k in (0, 1)]
    return Found(m, like, rival, max(pictures.apart(m, half) for half in halves))


def _axes(pictures: Pictures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upwards, forward and to the right, as the cameras are held on the whole."""
    cameras = pictures.extrinsics[list(pictures.views)]
    up = -cameras[:, 1, :3].mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-9)
    right = cameras[:, 0, :3].mean(axis=0)
    right -= up * (right @ up)
    right /= max(float(np.linalg.norm(right)), 1e-9)
    return up, np.cross(up, right), right


def _looked_around(pictures: Pictures, check: Callable[[], None]) -> tuple[np.ndarray, np.ndarray, float]:
    """Planes (Q, 3), how well the larger details agree on each, and how many pixels most of them compare."""
    up, forward, right = _axes(pictures)
    forward = forward * np.sign(forward @ pictures.extrinsics[list(pictures.views), 2, :3].mean(axis=0))
    far = float(np.median([view.farthest for view in pictures.views.values()]))
    planes, scores, counts = [], [], []
    for height, ahead, aside in itertools.product(HEIGHTS * far, *TILTS):
        m = (up + ahead * forward + aside * right) / height
        like, count = pictures.likeness(m, most=LOOK)
        planes.append(m)
        scores.append(like[MIDDLE] + like[COARSE])
        counts.append(count)
        check()
    full = max(float(np.quantile(counts, 0.9)), 1.0)
    return np.array(planes), np.array(scores) * np.minimum(np.array(counts) / (ENOUGH * full), 1.0), full / LOOK


class _Mover:
    """Moves a plane to where the pictures agree best (Gauss and Newton; the brightness of one may be a multiple of the other's)."""

    def __init__(self, pictures: Pictures, full: float, check: Callable[[], None]):
        self.pictures, self.full, self.check = pictures, full, check

    def __call__(self, m: np.ndarray, details: int, pairs: slice = slice(None)) -> tuple[np.ndarray, float]:
        most, (step, rounds) = PIXELS, STEPS[details]
        enough = ENOUGH * self.full * most * len(self.pictures.pairs[pairs]) / len(self.pictures.pairs)

        def alike(plane: np.ndarray) -> float:
            self.check()
            like, count = self.pictures.likeness(plane, pairs)
            return float(like[details]) * min(1.0, count / enough)

        score = alike(m)
        for _ in range(rounds):
            change = step * self.pictures.by_a_pixel(m).T
            product = self.pictures.products([m, *(m + change)], pairs)[0][details]
            # Of the others' pictures as they are, and how they change: what explains the view itself.
            to_change = np.eye(5)[1:]
            to_change[1:, 1] = -1.0
            known = to_change @ product @ to_change.T
            gain, *moves = np.linalg.lstsq(known, to_change @ product[:, 0], rcond=1e-9)[0]
            if gain <= 0.0:
                break
            moved = np.array(moves) / gain
            moved *= min(1.0, FARTHEST / max(float(np.linalg.norm(moved)), 1e-9))
            tried = [(alike(m + share * moved @ change), share) for share in SHARES]
            better, share = max(tried)
            if better <= score:
                break
            ended, score, m = better - score < LITTLE, better, m + share * moved @ change
            if ended:
                break
        return m, score
