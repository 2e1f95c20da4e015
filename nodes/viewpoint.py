"""A viewpoint that none of the cameras had, and from which a cloud is worth looking at. Arithmetic only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = np.radians(55.0)  # of the picture's width
# Points and cells that judge a candidate: enough to tell, and 200 candidates a second.
JUDGES = 30_000
CELLS = (64, 36)
YAWS = np.radians([-45.0, -32.0, -20.0, 0.0, 20.0, 32.0, 45.0])
ROUND = np.radians(np.arange(0.0, 360.0, 30.0))
ELEVATIONS = np.radians([18.0, 25.0, 34.0])
DISTANCES = (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0)
# A surface is shown well from where its own camera stood, and up to this far round it.
COS_WELL_SEEN = np.cos(np.radians(65.0))
CENTRAL, RIM = 0.5, 0.95  # of a picture's points are its middle, and inside of its rim
REACH = 1.4  # times the depth of a picture's middle, and the inverse: as far as its subject goes
MOST_CAMERAS = 200  # that are asked where each point lies in their pictures
RARE = 0.01  # of what was looked at may lie outside, when the picture is aimed
FRAME = 2  # cells at the picture's edge that are kept free of it
SHOWN = 16.0  # what all of it inside the picture counts, where a picture full of surfaces counts ``FULL``
FULL = 1.5
AROUND = 1  # cells around one that shows the cloud belong to what there is to see
COS_BEHIND = np.cos(np.radians(85.0))


@dataclass(frozen=True)
class Seen:
    """A cloud and the cameras it was seen from."""

    points: np.ndarray  # (P, 3)
    source: np.ndarray  # (P,) int, the camera of each point
    cameras: np.ndarray  # (C, 4, 4), camera to world, Blender's axes


def choose(seen: Seen) -> np.ndarray:
    """(4, 4) camera to world of the candidate that shows most of the cloud, from its right side.

    Candidates stand around the cloud's middle, on the side the cameras were on, raised a little and pulled back by
    various amounts; each is judged by what a coarse z-buffer of a part of the points shows.
    """
    chosen = np.random.default_rng(0).permutation(len(seen.points))[:JUDGES]
    part = Seen(seen.points[chosen].astype(np.float64), seen.source[chosen], seen.cameras)
    weight = attention(part)
    up = upward(seen.cameras)
    return max(_candidates(part, weight, up), key=lambda candidate: _score(part, weight, *candidate))[0]


def attention(seen: Seen) -> np.ndarray:
    """(P,) how much the points were looked at, 1 in all: near the middle of many pictures, and not far before or behind it.

    A subject is in the middle of all pictures, and what is around it only of some. Where a picture ends is told by its own
    points. What lies far behind its subject is part of the cloud and no reason to step back.
    """
    local = np.einsum("pj,pjk->pk", seen.points - seen.cameras[seen.source, :3, 3], seen.cameras[seen.source, :3, :3])
    aside, ahead = _aside(local), local[:, 2] < 0.0
    near, rims = np.zeros(len(local), bool), {}
    for k in range(len(seen.cameras)):
        own = np.flatnonzero((seen.source == k) & ahead)
        if len(own):
            middle, rims[k] = np.quantile(aside[own], (CENTRAL, RIM))
            typical = np.median(-local[own[aside[own] <= middle], 2])
            near[own] = np.abs(np.log(-local[own, 2] / typical)) <= np.log(REACH)
    total = np.zeros(len(local))
    for k in list(rims)[:: 1 + len(rims) // MOST_CAMERAS]:
        rays = (seen.points - seen.cameras[k, :3, 3]) @ seen.cameras[k, :3, :3]
        total += np.exp(-((_aside(rays) / (rims[k] + 1e-12)) ** 2))
    total *= near
    return total / total.sum() if total.any() else np.full(len(total), 1.0 / len(total))


def _aside(local: np.ndarray) -> np.ndarray:
    """(P,) how far points, in a camera's own axes, are from the middle of its picture: the tangent; infinite behind it."""
    ahead = local[:, 2] < 0.0
    return np.where(ahead, np.hypot(local[:, 0], local[:, 1]) / np.where(ahead, -local[:, 2], 1.0), np.inf)


def upward(cameras: np.ndarray) -> np.ndarray:
    """(3,) the direction that was up when (C, 4, 4) cameras took their pictures.

    People hold a camera level far more often than they point it straight ahead: what is at right angles to all the
    cameras' x axes is up, however they are tilted. Where those axes are all alike, the mean y axis decides.
    """
    side, mean = cameras[:, :3, 0], cameras[:, :3, 1].mean(axis=0)
    mean /= np.linalg.norm(mean) + 1e-12
    spread = side.T @ side / len(side) + 0.02 * (np.eye(3) - np.outer(mean, mean))
    up = np.linalg.eigh(spread)[1][:, 0]
    return up if up @ mean >= 0 else -up


def look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(4, 4) camera to world of a Blender camera (it looks along its -z)."""
    backward = position - target
    backward /= np.linalg.norm(backward)
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, :4] = np.stack([right, np.cross(backward, right), backward, position], axis=1)
    return out


def _candidates(seen: Seen, weight: np.ndarray, up: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Cameras, and how far to the side of the cloud's own cameras they stand, 0 to 1."""
    points, weight = seen.points[weight > 0.0], weight[weight > 0.0]
    middle = np.array([_quantiles(points[:, axis], weight, [0.5])[0] for axis in range(3)])
    centre = np.median(seen.cameras[:, :3, 3], axis=0)
    backward = seen.cameras[:, :3, 2].mean(axis=0)
    one_way = np.linalg.norm(backward) > 0.4  # else they look all around, or at something from all sides
    backward -= (backward @ up) * up
    if np.linalg.norm(backward) < 1e-3:
        backward = np.cross(up, [1.0, 0.0, 0.0] if abs(up[0]) < 0.9 else [0.0, 1.0, 0.0])
    backward /= np.linalg.norm(backward)
    aside = np.cross(up, backward)
    away = np.linalg.norm(points - middle, axis=1)
    reach = max(np.linalg.norm(centre - middle), np.percentile(away, 70)) if one_way else np.percentile(away, 80)
    for elevation in ELEVATIONS:
        for yaw in YAWS if one_way else ROUND:
            level = np.cos(yaw) * backward + np.sin(yaw) * aside
            direction = np.cos(elevation) * level + np.sin(elevation) * up
            for distance in DISTANCES:
                position = middle + distance * reach * direction
                yield _aimed(points, weight, position, middle, up), abs(np.sin(yaw)) * one_way


def _aimed(
    points: np.ndarray, weight: np.ndarray, position: np.ndarray, middle: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Looking from ``position``, with as much of the points' extent to the left as to the right, above as below."""
    camera = look_at(position, middle, up)
    for _ in range(2):  # turned, it sees other points
        local = (points[::10] - position) @ camera[:3, :3]
        ahead = local[:, 2] < 0
        if not ahead.any():
            break
        at, own = local[ahead, :2] / -local[ahead, 2:], weight[::10][ahead]
        middles = [_quantiles(at[:, axis], own, [RARE, 1.0 - RARE]).mean() for axis in range(2)]
        aim = np.append(np.clip(middles, -0.5, 0.5), -1.0)
        camera = look_at(position, position + camera[:3, :3] @ aim, up)
    return camera


def _quantiles(values: np.ndarray, weight: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The values up to which those shares of the weight reach."""
    order = np.argsort(values)
    sums = np.cumsum(weight[order])
    return values[order[np.searchsorted(sums, np.multiply(shares, sums[-1])).clip(0, len(order) - 1)]]


def _score(seen: Seen, weight: np.ndarray, camera: np.ndarray, aside: float) -> float:
    """Share of the picture that shows surfaces from the right side, less what it shows from behind or too near.

    Added to that, and counted most: how much of what the cameras looked at is inside the picture, off its edge; then the shares
    of the cloud, and of its cameras; and a little for a view from the side, which shows depth.
    """
    cells, depth = _cells(seen.points, camera)
    inside = cells >= 0
    if not inside.any():
        return -np.inf
    half, (width, height) = np.tan(FIELD_OF_VIEW / 2.0), CELLS
    row, column = np.divmod(cells, width)
    framed = inside & (column >= FRAME) & (column < width - FRAME) & (row >= FRAME) & (row < height - FRAME)
    cell = cells[inside]
    order = np.lexsort((depth[inside], cell))
    nearest = np.flatnonzero(inside)[order[np.unique(cell[order], return_index=True)[1]]]

    to_source = _unit(seen.cameras[seen.source[nearest], :3, 3] - seen.points[nearest])
    cosine = np.einsum("ij,ij->i", to_source, _unit(camera[:3, 3] - seen.points[nearest]))
    too_near = depth[nearest] < 0.35 * np.median(depth[inside])
    well = ((cosine > COS_WELL_SEEN) & ~too_near).sum() / (width * height)
    badly = ((cosine < COS_BEHIND) | too_near).sum() / (width * height)
    centres = (seen.cameras[:, :3, 3] - camera[:3, 3]) @ camera[:3, :3]
    apart = np.linalg.norm(centres, axis=1).min() / np.median(depth[inside])
    at = centres[:, :2] / np.maximum(-centres[:, 2:], 1e-9) / half * (1.0, width / height)
    cameras_inside = ((centres[:, 2] < 0) & (np.abs(at) < 0.95).all(axis=1)).mean()
    return (
        FULL * well
        + SHOWN * weight[framed].sum()
        + 0.2 * inside.mean()
        + 0.1 * cameras_inside
        + 0.25 * aside
        - 1.5 * badly
        - max(0.0, 0.15 - apart)
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


def span(points: np.ndarray, camera: np.ndarray) -> float:
    """How far (P, 3) points lie apart in a picture, of its width; infinite where one lies behind it or outside."""
    local = (points - camera[:3, 3]) @ camera[:3, :3]
    if (local[:, 2] >= 0.0).any():
        return np.inf
    places = local[:, :2] / -local[:, 2:] / (2.0 * np.tan(FIELD_OF_VIEW / 2.0))
    outside = (np.abs(places) > (0.5, 0.5 * CELLS[1] / CELLS[0])).any()
    return np.inf if outside else float(np.ptp(places, axis=0).max())


class Cover:
    """Which cells of a picture show a cloud, or are next to one that does, and at what depth."""

    def __init__(self, points: np.ndarray, camera: np.ndarray):
        self._camera = camera
        chosen = np.random.default_rng(0).permutation(len(points))[: 4 * JUDGES]
        cell, depth = _cells(points[chosen], camera)
        self._farthest = np.zeros(CELLS[0] * CELLS[1])
        np.maximum.at(self._farthest, cell[cell >= 0], depth[cell >= 0])
        around = np.pad(self._farthest.reshape(CELLS[::-1]), AROUND)
        windows = np.lib.stride_tricks.sliding_window_view(around, (2 * AROUND + 1,) * 2)
        self._farthest = windows.max(axis=(2, 3)).ravel()

    def share(self, lines: np.ndarray) -> float:
        """Of straight lines, (L, 2, 3) in the world, the part that lies before the cloud."""
        steps = np.linspace(0.0, 1.0, 12)[None, :, None]
        cell, depth = _cells((lines[:, :1] * (1.0 - steps) + lines[:, 1:] * steps).reshape(-1, 3), self._camera)
        return float(((cell >= 0) & (depth < self._farthest[cell])).mean())


def _cells(points: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) number of the picture's cell that each point falls into, -1 outside the picture, and its depth."""
    local = (points - camera[:3, 3]) @ camera[:3, :3]
    depth = -local[:, 2]
    width, height = CELLS
    half = np.tan(FIELD_OF_VIEW / 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.floor((local[:, 0] / depth / half + 1.0) * width / 2.0)
        v = np.floor((local[:, 1] / depth / half * width / height + 1.0) * height / 2.0)
    inside = (depth > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    return np.where(inside, np.where(inside, v, 0) * width + np.where(inside, u, 0), -1).astype(np.int64), depth
