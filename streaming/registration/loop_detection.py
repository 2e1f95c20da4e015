"""Places that the path comes back to: found by descriptors and by nearness, believed when both sides fit in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.geometry.projection import invert_rigid, project
from ...core.prediction.prediction import Prediction
from . import sim3
from .overlap import Fit
from .pose_graph import Edge

ALIKE = 0.6  # similarity of descriptors below which a pair is not looked at
FACING = np.cos(np.radians(60.0))  # views along more different directions see too little in common
NEAR = 1.0  # distance of two cameras in median depths up to which they may see the same
POOR_SIDE = 0.1  # a side of the joint pass that fits its chunk worse says nothing
AGREE = 0.1  # relative difference of two depths that are of one surface
AGREEING = 0.4  # share of what both sides should see that they must agree upon
IN_VIEW = 0.1  # share of one side's pixels that must fall into the other side's view
SAMPLES = 400  # pixels of a frame that are looked at


@dataclass(frozen=True)
class Candidate:
    """Two frames, by their place in the path, that may show the same."""

    first: int
    second: int
    score: float


def by_descriptors(descriptors: np.ndarray, apart: int, most: int) -> list[Candidate]:
    """The best pairs of frames that are alike and ``apart`` or more frames from each other, without close neighbours.

    Parameters
    ----------
    descriptors : (N, D), of length 1, in the order of the path
    """
    found = []
    for first in range(len(descriptors) - apart):
        alike = descriptors[first + apart :] @ descriptors[first]
        best = int(np.argmax(alike))
        if alike[best] > ALIKE:
            found.append(Candidate(first, first + apart + best, float(alike[best])))
    return suppress(found, apart // 4, most)


def by_nearness(cameras: np.ndarray, depths: np.ndarray, apart: int, most: int) -> list[Candidate]:
    """Pairs whose cameras stand near each other in the estimated path and look the same way.

    Parameters
    ----------
    cameras : (N, 3, 4), camera to world
    depths : (N,), median depth of each frame in the same world
    """
    centres, views = cameras[:, :, 3], cameras[:, :, 2]
    found = []
    for first in range(len(cameras) - apart):
        distance = np.linalg.norm(centres[first + apart :] - centres[first], axis=1) / depths[first]
        facing = views[first + apart :] @ views[first]
        score = np.where((distance < NEAR) & (facing > FACING), facing - distance, -np.inf)
        best = int(np.argmax(score))
        if np.isfinite(score[best]):
            found.append(Candidate(first, first + apart + best, float(score[best])))
    return suppress(found, apart // 4, most)


def suppress(
    candidates: Sequence[Candidate], radius: int, most: int, taken: Sequence[Candidate] = ()
) -> list[Candidate]:
    """The best ones, none within ``radius`` frames of a better one, or of one taken before, at both of its ends."""
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: -c.score):
        near = any(
            abs(one.first - other.first) < radius and abs(one.second - other.second) < radius
            for other in [*kept, *taken]
        )
        if not near and len(kept) < most:
            kept.append(one)
    return kept


def window(chunk: Sequence[int], frame: int, count: int) -> list[int]:
    """``count`` consecutive frames of a chunk around one of them."""
    start = min(max(0, chunk.index(frame) - count // 2), max(0, len(chunk) - count))
    return list(chunk[start : start + count])


def sides_agree(joint: Prediction, first: int) -> bool:
    """Whether what the first ``first`` frames of a joint pass show lies where the others see it.

    A model that is given two places puts them somewhere, and each side is fine by itself; only the other side's depths
    tell whether the places are one.
    """
    a, b = range(first), range(first, len(joint))
    return _agreement(joint, a, b) and _agreement(joint, b, a)


def _agreement(joint: Prediction, seen: range, seeing: range) -> bool:
    assert joint.extrinsics is not None and joint.intrinsics is not None
    height, width = joint.depth.shape[1:]
    step = max(1, round((height * width / SAMPLES) ** 0.5))
    inside = agreeing = total = 0
    for i in seen:
        rows, columns = np.nonzero(joint.conf[i, ::step, ::step] > 0)
        rows, columns = rows * step, columns * step
        world = _points(joint, i, rows, columns)
        best = np.full(len(world), np.inf)
        visible = np.zeros(len(world), bool)
        for j in seeing:
            pixels, depth = project(world, joint.intrinsics[j], joint.extrinsics[j])
            with np.errstate(invalid="ignore"):
                ok = (depth > 0) & (pixels >= 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
            x, y = pixels[ok].astype(int).T
            there = joint.depth[j, y, x]
            known = there > 0
            at = np.flatnonzero(ok)[known]
            visible[at] = True
            best[at] = np.minimum(best[at], np.abs(np.log(depth[at] / there[known])))
        total += len(world)
        inside += int(visible.sum())
        agreeing += int((best < AGREE).sum())
    return total > 0 and inside >= IN_VIEW * total and agreeing >= AGREEING * inside


def _points(joint: Prediction, i: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    assert joint.extrinsics is not None and joint.intrinsics is not None
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    rays = (np.linalg.inv(joint.intrinsics[i]) @ pixels).T
    camera = invert_rigid(joint.extrinsics[i])
    return (rays * joint.depth[i, rows, columns][:, None]) @ camera[:, :3].T + camera[:, 3]


def edge(first: int, second: int, to_first: Fit, to_second: Fit) -> Edge:
    """What a joint pass, fitted to both chunks, says of how they lie to each other.

    first's world <- joint -> second's: Z = A B^-1, and errors a and b of both add up to Ad_B (a - b) in Z's own.
    """
    back = sim3.inverse(to_second.matrix)
    carry = sim3.adjoint(to_second.matrix[None])[0]
    covariance = np.linalg.inv(to_first.information) + np.linalg.inv(to_second.information)
    covariance = carry @ covariance @ carry.T
    return Edge(first, second, to_first.matrix @ back, np.linalg.inv((covariance + covariance.T) / 2))
