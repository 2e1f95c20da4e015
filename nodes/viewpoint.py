"""A viewpoint that none of the cameras had, and from which a cloud is worth looking at. Arithmetic only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = np.radians(55.0)  # of the picture's width
# Points and cells that judge a candidate: enough to tell, and 200 candidates a second.
JUDGES = 30_000
CELLS = (64, 36)
YAWS = np.radians([-45.0, -32.0, -20.0, 0.0, 20.0, 32.0, 45.0])
ROUND = np.radians(np.arange(0.0, 360.0, 30.0))
ELEVATIONS = np.radians([18.0, 25.0, 34.0])
DISTANCES = (0.9, 1.1, 1.3, 1.6, 2.0)
# A surface is shown well from where its own camera stood, and up to this far round it.
COS_WELL_SEEN = np.cos(np.radians(65.0))
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
    up = upward(seen.cameras)
    return max(_candidates(part, up), key=lambda candidate: _score(part, *candidate))[0]


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


def _candidates(seen: Seen, up: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Cameras, and how far to the side of the cloud's own cameras they stand, 0 to 1."""
    middle = np.median(seen.points, axis=0)
    centre = np.median(seen.cameras[:, :3, 3], axis=0)
    backward = seen.cameras[:, :3, 2].mean(axis=0)
    one_way = np.linalg.norm(backward) > 0.4  # else they look all around, or at something from all sides
    backward -= (backward @ up) * up
    if np.linalg.norm(backward) < 1e-3:
        backward = np.cross(up, [1.0, 0.0, 0.0] if abs(up[0]) < 0.9 else [0.0, 1.0, 0.0])
    backward /= np.linalg.norm(backward)
    aside = np.cross(up, backward)
    away = np.linalg.norm(seen.points - middle, axis=1)
    reach = max(np.linalg.norm(centre - middle), np.percentile(away, 70)) if one_way else np.percentile(away, 80)
    for elevation in ELEVATIONS:
        for yaw in YAWS if one_way else ROUND:
            level = np.cos(yaw) * backward + np.sin(yaw) * aside
            direction = np.cos(elevation) * level + np.sin(elevation) * up
            for distance in DISTANCES:
                yield _aimed(seen, middle + distance * reach * direction, middle, up), abs(np.sin(yaw)) * one_way


def _aimed(seen: Seen, position: np.ndarray, middle: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Looking from ``position``, with as much of the cloud to the left as to the right, above as below."""
    camera = look_at(position, middle, up)
    local = (seen.points[::10] - position) @ camera[:3, :3]
    local = local[local[:, 2] < 0]
    if len(local) == 0:
        return camera
    low, high = np.percentile(local[:, :2] / -local[:, 2:], (3.0, 97.0), axis=0)
    aim = np.append(np.clip((low + high) / 2.0, -0.3, 0.3), -1.0)
    return look_at(position, position + camera[:3, :3] @ aim, up)


def _score(seen: Seen, camera: np.ndarray, aside: float) -> float:
    """Share of the picture that shows surfaces from the right side, less what it shows from behind or too near.

    Added to that: the share of the cloud, and of its cameras, inside the picture; and a little for a view from the
    side, which shows depth.
    """
    local = (seen.points - camera[:3, 3]) @ camera[:3, :3]
    depth = -local[:, 2]
    half = np.tan(FIELD_OF_VIEW / 2.0)
    width, height = CELLS
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.floor((local[:, 0] / depth / half + 1.0) * width / 2.0)
        v = np.floor((local[:, 1] / depth / half * width / height + 1.0) * height / 2.0)
    inside = (depth > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    if not inside.any():
        return -np.inf
    cell = (v[inside] * width + u[inside]).astype(np.int64)
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
    return well + 1.4 * inside.mean() + 0.4 * cameras_inside + 0.25 * aside - 1.5 * badly - max(0.0, 0.15 - apart)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)
