"""Parts of a reconstruction that hang together by one image or less, and show little of what they should see of each other.

A thing that is there twice, a poster or a chair, joins two places that are not one. Of a true neighbour's points that lie in an image's
frame, seen from about there, some are found everywhere in it; of a false one's only those of that thing (Zach, Irschara and
Bischof, What can missing correspondences tell us about 3D structure and motion?, CVPR 2008).
"""

from __future__ import annotations

import numpy as np

from ....geometry.projection import invert_rigid

MOST, MOST_SPLITS = 300, 20  # images that are asked about, and ways to part them
SHARED = 12  # points that two images have in common, to count as connected
PART = 2  # images on each side, at least, beside one between them
BESIDE, FARTHER = (
    20.0,
    1.5,
)  # degrees between two looks at a point, and ratio of their distances, at most: else it looks otherwise
CELLS, FULL = 8, 5  # parts of the long side, and points that should be seen in such a square to count it
ENOUGH = 8  # squares, to judge
FOUND = 0.6  # of the squares; true neighbours 0.8 to 1, two places with a patch in common 0.4


def doubtful(
    extrinsics: np.ndarray, intrinsics: np.ndarray, sizes: np.ndarray, points: np.ndarray, observations: np.ndarray
) -> list[int] | None:
    """Images that at most one other connects with the rest, and probably falsely; None where there are none.

    Parameters
    ----------
    extrinsics, intrinsics : (N, 3, 4) and (N, 3, 3)
    sizes : (N, 2) width and height
    points : (P, 3)
    observations : (M, 2), (image, point)
    """
    count = len(extrinsics)
    if count > MOST:
        return None
    sees = np.zeros((count, len(points)), np.float32)
    sees[observations[:, 0], observations[:, 1]] = 1.0
    shared = sees @ sees.T
    centres = invert_rigid(extrinsics)[:, :, 3]
    splits: dict[tuple[int, ...], None] = {}
    for image in range(count):
        parts = [part for part in _parts(shared >= SHARED, image) if len(part) >= PART]
        for part in sorted(parts, key=len)[:-1]:
            splits[tuple(part)] = splits[tuple(sorted([*part, image]))] = None
    worst, told = 0.0, None
    for split in list(splits)[:MOST_SPLITS]:
        part, rest, should, does = list(split), [i for i in range(count) if i not in split], 0, 0
        for image in range(count):
            other = rest if image in split else part
            at = _projected(points, extrinsics[image], intrinsics[image])
            inside = (at >= 0.0).all(axis=1) & (at < sizes[image]).all(axis=1) & (sees[other].sum(axis=0) >= PART)
            there = np.flatnonzero(inside & _alike(points, centres, sees, image, other))
            square = np.floor(at[there] / (sizes[image].max() / CELLS)).astype(np.int64) @ [1, CELLS]
            full, found = (np.bincount(square, w, CELLS**2) for w in (None, sees[image, there]))
            should, does = should + int((full >= FULL).sum()), does + int((found[full >= FULL] > 0).sum())
        if should >= ENOUGH and FOUND * should - does > worst:
            worst, told = FOUND * should - does, part
    return told


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


def _projected(points: np.ndarray, extrinsics: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(P, 2) pixels; -1 behind the camera."""
    there = points @ extrinsics[:, :3].T + extrinsics[:, 3]
    ahead = there[:, 2:] > 1e-9
    return np.where(ahead, (there @ intrinsics.T)[:, :2] / np.where(ahead, there[:, 2:], 1.0), -1.0)


def _alike(points: np.ndarray, centres: np.ndarray, sees: np.ndarray, image: int, part: list[int]) -> np.ndarray:
    """(P,) bool, the points that one of the part sees from nearly the same side and distance as the image does."""
    own = centres[image] - points
    distance = np.linalg.norm(own, axis=1)
    alike = np.zeros(len(points), bool)
    for other in part:
        look = centres[other] - points
        away = np.linalg.norm(look, axis=1)
        beside = (own * look).sum(axis=1) > np.cos(np.radians(BESIDE)) * distance * away
        alike |= (sees[other] > 0) & beside & (distance < FARTHER * away) & (away < FARTHER * distance)
    return alike
