"""The plane of the ground: that on which many sure points lie, under all cameras, and below which next to none does.

That nothing is known below it is what tells it from any other plane: where a ray meets it, nothing can be seen behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

OF_EACH = 1500  # sure pixels of each view
LEVEL = 0.85  # cosine between the ground's normal and the cameras' mean upwards, at least
TRIES, JUDGED = 6000, 4000  # planes through three points, and how many points each is judged by
ROUNDS = 5  # of fits to the points on it
ON, BELOW = 0.004, 0.02  # of the distance: on the plane, and clearly below it
FEW_BELOW = 0.006  # share of the points that may be
SURE = 0.04  # share of the points that has to be on the plane
LEAST = 25  # points under the cameras
STANDS = 0.97  # times the depth of the ground: something on it
ITS_FOOT = np.ones((7, 7), np.uint8)  # pixels around that it may own
AT_ONCE = 500  # planes; so few fit into the processor's cache


@dataclass
class Points:
    """P known points of the scene, and their distance (z) from a camera that sees them."""

    at: np.ndarray  # (P, 3)
    distance: np.ndarray  # (P,)

    def over(self, normal: np.ndarray, offset: np.ndarray | float) -> np.ndarray:
        """(P,) height over a plane, relative to the distance; (P, Q) over several, (Q, 3) and (Q,)."""
        height = self.at @ normal.T + offset
        return height / (self.distance if normal.ndim == 1 else self.distance[:, None])


@dataclass(frozen=True)
class Plane:
    """Points X with ``normal @ X + offset`` = 0; cameras are on the side of the normal."""

    normal: np.ndarray  # (3,)
    offset: float

    def inverse_depth(self, intrinsics: np.ndarray, extrinsics: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """(H, W) float32 in a camera, 0 where its rays do not meet the plane."""
        centre = -extrinsics[:, :3].T @ extrinsics[:, 3]
        slope = -(self.normal @ extrinsics[:, :3].T @ np.linalg.inv(intrinsics)) / (self.normal @ centre + self.offset)
        u, v = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
        return np.maximum(slope[0] * u + slope[1] * v + slope[2], 0.0).astype(np.float32)


def clear_of_things(depth: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(H, W) bool: not beside something known (depth, 0 where nothing is) that stands before a plane (inverse depth)."""
    things = (depth > 0.0) & (depth * there < STANDS)
    return cv2.dilate(things.astype(np.uint8), ITS_FOOT) == 0


def sampled(depth: np.ndarray, sure: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray) -> Points:
    """Some sure pixels of each view, at random.

    Parameters
    ----------
    depth, sure : (N, H, W) float32 and bool
    intrinsics, extrinsics : (N, 3, 3) and (N, 3, 4)
    """
    random = np.random.default_rng(0)
    at, away = [], []
    for own, usable, k, e in zip(depth, sure, intrinsics, extrinsics, strict=True):
        flat = np.flatnonzero(usable)
        row, column = np.divmod(random.choice(flat, min(OF_EACH, len(flat)), replace=False), depth.shape[2])
        z = own[row, column]
        rays = np.linalg.inv(k) @ np.stack([column + 0.5, row + 0.5, np.ones(len(z))])
        at.append((rays * z - e[:, 3:]).T @ e[:, :3])
        away.append(z)
    return Points(np.concatenate(at), np.concatenate(away))


def find(points: Points, cameras: np.ndarray) -> Plane | None:
    """The ground's plane, if there is one (MSAC, then least squares).

    Parameters
    ----------
    points : of all views' confirmed pixels
    cameras : (N, 3, 4), world to camera; their pictures are upright on the whole
    """
    centres = -np.einsum("nji,nj->ni", cameras[:, :, :3], cameras[:, :, 3])
    up = -cameras[:, 1, :3].mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-9)
    random = np.random.default_rng(0)
    lower = np.flatnonzero((points.at - centres.mean(axis=0)) @ up < 0.0)
    if len(lower) < LEAST:
        return None
    three = points.at[random.choice(lower, (TRIES, 3))]
    normals = np.cross(three[:, 1] - three[:, 0], three[:, 2] - three[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= np.sign(normals @ up)[:, None]
    offsets = -(normals * three[:, 0]).sum(axis=1)
    usable = (normals @ up > LEVEL) & (centres @ normals.T + offsets > 0.0).all(axis=0)
    normals, offsets = normals[usable], offsets[usable]
    some = random.choice(lower, min(JUDGED, len(lower)), replace=False)
    judged = Points(points.at[some], points.distance[some])
    score = np.zeros(len(normals))
    for k in range(0, len(normals), AT_ONCE):
        height = judged.over(normals[k : k + AT_ONCE], offsets[k : k + AT_ONCE])
        few = (height < -BELOW).mean(axis=0) * len(lower) < FEW_BELOW * len(points.at)
        score[k : k + AT_ONCE] = np.maximum(1.0 - (height / ON) ** 2, 0.0).sum(axis=0) * few
    if not score.any():
        return None
    plane = _fitted(points, Plane(normals[score.argmax()], float(offsets[score.argmax()])))
    height = points.over(plane.normal, plane.offset)
    return plane if (np.abs(height) < ON).mean() >= SURE and (height < -BELOW).mean() < FEW_BELOW else None


def _fitted(points: Points, plane: Plane) -> Plane:
    """Least squares to the points on it, nearer ones counting more as they are known more exactly."""
    for _ in range(ROUNDS):
        on = np.abs(points.over(plane.normal, plane.offset)) < ON
        if on.sum() < 3:
            break
        weight, at = 1.0 / points.distance[on, None], points.at[on]
        mean = (at * weight**2).sum(axis=0) / (weight**2).sum()
        normal = np.linalg.svd((at - mean) * weight, full_matrices=False)[2][2]
        normal *= np.sign(normal @ plane.normal)
        plane = Plane(normal, -float(normal @ mean))
    return plane
