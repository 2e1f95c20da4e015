"""Parts of a reconstruction that hang together by one image or less, and show little of what they should see of each other.

A thing that is there twice, a poster or a chair, joins two places that are not one. Of a true neighbour's points that lie in an image's
frame, seen from about there, some are found everywhere in it; of a false one's only those of that thing (Zach, Irschara and
Bischof, What can missing correspondences tell us about 3D structure and motion?, CVPR 2008).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....geometry.projection import invert_rigid, project

MOST, ASKED = 300, 2000  # images that are asked about, and times that one is asked what it sees of another part
SHARED = 12  # points that two images have in common, to count as connected
PART = 2  # images on each side, at least, beside one between them
# Degrees between two looks at a point, and ratio of their distances, at most: else it looks otherwise.
BESIDE, FARTHER = 20.0, 1.5
CELLS, FULL = 8, 5  # parts of the long side, and points that should be seen in such a square to count it
COMPARED = 40  # images of each side, the nearest to the other
ENOUGH = 8  # squares, to judge
FOUND = 0.6  # of the squares; true neighbours 0.8 to 1, two places with a patch in common 0.4


def doubtful(
    extrinsics: np.ndarray,
    intrinsics: np.ndarray,
    sizes: np.ndarray,
    points: np.ndarray,
    observations: np.ndarray,
    check: Callable[[], None] = lambda: None,
) -> list[int] | None:
    """Images that at most one other connects with the rest, and probably falsely; None where there are none.

    Parameters
    ----------
    extrinsics, intrinsics : (N, 3, 4) and (N, 3, 3)
    sizes : (N, 2) width and height
    points : (P, 3)
    observations : (M, 2), (image, point)
    check : raises what ends it
    """
    count = len(extrinsics)
    if count > MOST:
        return None
    sees = np.zeros((count, len(points)), bool)
    sees[observations[:, 0], observations[:, 1]] = True
    centres = invert_rigid(extrinsics)[:, :, 3]
    worst, told = 0.0, None
    for split in _splits(sees)[: ASKED // count]:
        part, rest, should, does = list(split), [i for i in range(count) if i not in split], 0, 0
        known, beyond = (np.flatnonzero(sees[own].sum(axis=0, dtype=np.int32) >= PART) for own in (part, rest))
        between = np.linalg.norm(centres[part][:, None] - centres[rest], axis=-1)
        nearest = np.zeros(count)
        nearest[part], nearest[rest] = between.min(axis=1), between.min(axis=0)
        for image in np.argsort(nearest, kind="stable")[:COMPARED].tolist():
            check()
            if image in split:
                other, seen, away = rest, beyond, between[part.index(image)]
            else:
                other, seen, away = part, known, between[:, rest.index(image)]
            other = [other[i] for i in np.argsort(away, kind="stable")[:COMPARED]]
            at, depth = project(points[seen], intrinsics[image], extrinsics[image])
            inside = (depth > 0.0) & (at >= 0.0).all(axis=1) & (at < sizes[image]).all(axis=1)
            seen, at = seen[inside], at[inside]
            alike = _alike(points[seen], centres, sees[:, seen], image, other)
            square = np.floor(at[alike] / (sizes[image].max() / CELLS)).astype(np.int64) @ [1, CELLS]
            full, found = (np.bincount(square, w, CELLS**2) for w in (None, sees[image, seen[alike]]))
            should, does = should + int((full >= FULL).sum()), does + int((found[full >= FULL] > 0).sum())
        if should >= ENOUGH and FOUND * should - does > worst:
            worst, told = FOUND * should - does, part
    return told


def _splits(sees: np.ndarray) -> list[tuple[int, ...]]:
    """Ways to part images, so that one of them at most connects the two; ``sees``: (N, P) bool."""
    shared = sees.astype(np.float32) @ sees.T.astype(np.float32)
    splits: dict[tuple[int, ...], None] = {}
    for image in range(len(sees)):
        parts = [part for part in _parts(shared >= SHARED, image) if len(part) >= PART]
        for part in sorted(parts, key=len)[:-1]:
            splits[tuple(part)] = splits[tuple(sorted([*part, image]))] = None
    return list(splits)


def _parts(connected: np.ndarray, without: int) -> list[list[int]]:
    """The connected parts of a graph, (N, N) bool, without one of its nodes."""
    left, parts = set(range(len(connected))) - {without}, []
    while left:
        part: set[int] = set()
        ends = {min(left)}
        while ends:
            part |= ends
            left -= ends
            ends = {j for i in ends for j in np.flatnonzero(connected[i]).tolist()} & left
        parts.append(sorted(part))
    return parts


def _alike(points: np.ndarray, centres: np.ndarray, sees: np.ndarray, image: int, part: list[int]) -> np.ndarray:
    """(P,) bool, the points that one of the part sees from nearly the same side and distance as the image does."""
    own = centres[image] - points
    distance = np.linalg.norm(own, axis=1)
    alike = np.zeros(len(points), bool)
    for other in part:
        seen = np.flatnonzero(sees[other] & ~alike)
        look = centres[other] - points[seen]
        away, near = np.linalg.norm(look, axis=1), distance[seen]
        beside = (own[seen] * look).sum(axis=1) > np.cos(np.radians(BESIDE)) * near * away
        alike[seen] = beside & (near < FARTHER * away) & (away < FARTHER * near)
    return alike
