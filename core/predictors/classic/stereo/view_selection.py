"""Which views to compare with which, and where their surfaces can be: what the sparse points know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..sfm.reconstruction import SfmResult, camera_centres

BEST_ANGLE = 8.0  # degrees between two rays to a point: small ones say little of depth, large ones look different
BELOW, ABOVE = 4.0, 10.0  # degrees, how fast a neighbour is worth less on either side
LEAST_SHARED = 8  # points
ONE_PLACE = 0.05  # degrees: views from one centre, as those into a panorama, see the same whatever the depth
MATCHED = 5  # neighbours that a view is swept over
CHECKED = 10  # views that its depth is compared with
NEARER, FARTHER = 0.7, 1.4  # how far beyond the sparse points surfaces are looked for
BEYOND = 3.0  # times the farthest of these, as far as what two others see there, too, is kept
QUANTILES = (0.005, 0.995)  # of the sparse depths; the rest may be wrong matches
PIXELS_PER_PLANE = 1.0  # how far a pixel moves in the neighbour where it moves most
PLANES = (48, 192)  # least and most


@dataclass
class View:
    """What the sweep over one view needs to know."""

    index: int
    neighbours: list[int]  # best first
    nearest: float  # z-depth
    farthest: float


def plan(sfm: SfmResult) -> list[View]:
    """Neighbours and depth range of every registered view that shares points with another."""
    centres = camera_centres(sfm.extrinsics)
    seen, tracks = _both_ways(sfm)
    views = []
    for index in np.flatnonzero(sfm.registered).tolist():
        own, ranked = seen[index], []
        for other, shared in _shared(own, tracks):
            if other == index or len(shared) < LEAST_SHARED:
                continue
            angle = _angles(sfm.points[shared], centres[index], centres[other])
            width = np.where(angle < BEST_ANGLE, BELOW, ABOVE)
            if np.median(angle) < ONE_PLACE:
                continue
            ranked.append((float(np.exp(-(((angle - BEST_ANGLE) / width) ** 2)).sum()), other))
        if ranked:
            ranked.sort(key=lambda pair: (-pair[0], pair[1]))
            near, far = _depth_range(sfm, index, own)
            views.append(View(index, [other for _, other in ranked[:CHECKED]], near, far))
    return views


def neighbour_angles(sfm: SfmResult) -> np.ndarray:
    """(M,) degrees, of each registered view that shares points with another: between the two, seen from the median one of their points.

    Of several others the one that is nearest in angle counts, unless it is at the same place.
    """
    centres = camera_centres(sfm.extrinsics)
    seen, tracks = _both_ways(sfm)
    nearest: dict[int, float] = {}
    for one, own in enumerate(seen):
        for other, shared in _shared(own, tracks):
            if other <= one or len(shared) < LEAST_SHARED:
                continue
            angle = float(np.median(_angles(sfm.points[shared], centres[one], centres[other])))
            if angle >= ONE_PLACE:
                for view in (one, other):
                    nearest[view] = min(angle, nearest.get(view, angle))
    return np.array(list(nearest.values()))


def _both_ways(sfm: SfmResult) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The points that each image sees, and the registered images that see each point; all ascending."""
    images, points = np.unique(sfm.observations[sfm.registered[sfm.observations[:, 0]]], axis=0).T
    seen = np.split(points, np.searchsorted(images, np.arange(1, len(sfm.registered))))
    order = np.argsort(points, kind="stable")
    return seen, np.split(images[order], np.searchsorted(points[order], np.arange(1, len(sfm.points))))


def _shared(own: np.ndarray, tracks: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """The images that see some of these points, and which: only those, so that many views take no longer each."""
    if not len(own):
        return
    seeing = [tracks[point] for point in own.tolist()]
    images, points = np.concatenate(seeing), np.repeat(own, [len(track) for track in seeing])
    order = np.argsort(images, kind="stable")
    others, starts = np.unique(images[order], return_index=True)
    yield from zip(others.tolist(), np.split(points[order], starts[1:]), strict=True)


def _angles(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between the rays from two centres to each point."""
    to_a, to_b = a - points, b - points
    cosine = np.einsum("pi,pi->p", to_a, to_b) / (np.linalg.norm(to_a, axis=1) * np.linalg.norm(to_b, axis=1))
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _depth_range(sfm: SfmResult, index: int, own: np.ndarray) -> tuple[float, float]:
    depth = sfm.points[own] @ sfm.extrinsics[index, 2, :3] + sfm.extrinsics[index, 2, 3]
    low, high = np.quantile(depth[depth > 0.0], QUANTILES)
    return float(NEARER * low), float(FARTHER * high)


def inverse_depths(view: View, intrinsics: np.ndarray, extrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Planes of a view, evenly spaced in inverse depth from infinity on, near enough to each other that no match falls between.

    Parameters
    ----------
    intrinsics : (N, 3, 3), pixels of the images that are swept; extrinsics : (N, 3, 4)
    size : (height, width)

    Returns
    -------
    (D,) float64, from 0 to that of the nearest plane
    """
    height, width = size
    corners = np.array([[u, v, 1.0] for u in (0.0, width / 2.0, width) for v in (0.0, height / 2.0, height)])
    rays = corners @ np.linalg.inv(intrinsics[view.index]).T
    low, high = 0.0, 1.0 / view.nearest  # from infinity, so that the sky has its own plane and takes no other
    motion = 0.0
    for other in view.neighbours[:MATCHED]:
        rotation = extrinsics[other, :, :3] @ extrinsics[view.index, :, :3].T
        shift = extrinsics[other, :, 3] - rotation @ extrinsics[view.index, :, 3]
        ends = []
        for w in (low, high):
            seen = (rays @ rotation.T + w * shift) @ intrinsics[other].T
            ends.append(seen[:, :2] / np.maximum(seen[:, 2:], 0.1))
        motion = max(motion, float(np.median(np.linalg.norm(ends[1] - ends[0], axis=1))))
    count = int(np.clip(np.ceil(motion / PIXELS_PER_PLANE), *PLANES))
    return np.linspace(low, high, count)
