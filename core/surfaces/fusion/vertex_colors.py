"""What the frames show at a surface's vertices: colours from those that see them best, and whether they see them at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from scipy.spatial import cKDTree

from .depth_maps import Frame, turned
from .tsdf_volume import block_keys

SHARPNESS = 4  # power of a view's weight: the best views count, and none changes abruptly into another
CELL = 32.0  # voxels along the edge of the cells that vertices are looked for in
THROUGH = 3.0  # voxels, at least, that a frame sees farther than a vertex, to see through it
AGAINST = 1.0  # frames that see through a vertex, for each that sees it, beyond which it goes
# Neighbouring frames of a film show the same: every fourth is looked at in full, the others only for vertices that have
# not had so many views yet.
EVERY, ENOUGH = 4, 8
PART = 20_000  # vertices, at least, for a thread
MOST_THREADS = 8
NOWHERE = 128  # grey, of vertices that no frame shows


class Coloring:
    """Collects colours frame by frame.

    Parameters
    ----------
    vertices, normals : (V, 3)
    voxel : of the field that the surface is from, in scene units
    """

    def __init__(self, vertices: np.ndarray, normals: np.ndarray, voxel: float):
        # By one number of each: the rows of thin arrays take NumPy ten times as long to sort.
        cell = block_keys(np.floor(vertices / (CELL * voxel)))
        _, label = np.unique(cell, return_inverse=True)
        # In the order of cells, so that what a frame has in view is a few runs of vertices.
        self._order = np.argsort(label.reshape(-1), kind="stable")
        placed = vertices[self._order]
        self._vertices = placed.T.copy()  # (3, V)
        self._normals = normals[self._order].astype(np.float32).T.copy()
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(label.reshape(-1)))]).astype(int)
        filled = len(vertices) > 0
        low = np.minimum.reduceat(placed, self._starts[:-1]) if filled else np.zeros((0, 3))
        high = np.maximum.reduceat(placed, self._starts[:-1]) if filled else np.zeros((0, 3))
        self._centers, self._radii = (low + high) / 2, np.linalg.norm(high - low, axis=1) / 2
        self._total = np.zeros((len(vertices), 3), np.float32)
        self._weight = np.zeros(len(vertices), np.float32)
        self._seen = np.zeros(len(vertices), np.float32)
        self._through = np.zeros(len(vertices), np.float32)
        self._frames = 0
        self._voxel = voxel
        self._workers = max(1, min(MOST_THREADS, os.cpu_count() or 1))
        self._threads = ThreadPoolExecutor(self._workers, "coloring")

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown()

    def add(self, frame: Frame, depth: np.ndarray, tolerance: float) -> None:
        """Take the colours that a frame shows, and what it says for and against the surface.

        Parameters
        ----------
        depth : (H, W) of the frame, corrected, 0 where unknown
        tolerance : relative to the depth, how far a vertex may lie from it and still be what is seen there
        """
        rows = self._in_view(frame)
        if self._frames % EVERY:
            rows = rows[self._seen[rows] + self._through[rows] < ENOUGH]
        self._frames += 1
        # The nearest around: beside an outline a frame may see past what it does not see through.
        nearest = cv2.erode(depth, np.ones((3, 3), np.uint8))
        parts = np.array_split(rows, max(1, min(self._workers, len(rows) // PART)))
        for done in [self._threads.submit(self._add, part, frame, depth, nearest, tolerance) for part in parts]:
            done.result()

    def _add(self, rows: np.ndarray, frame: Frame, depth: np.ndarray, nearest: np.ndarray, tolerance: float) -> None:
        """``add`` for some vertices; ``nearest`` (H, W) depth of the pixels around each."""
        height, width = depth.shape
        center = frame.extrinsics[:, :3].T @ frame.extrinsics[:, 3]  # the negative of where the camera stands
        rotation = frame.extrinsics[:, :3].astype(np.float32)
        # Axis by axis: thin arrays take NumPy several times as long.
        point = [(self._vertices[a][rows] + center[a]).astype(np.float32) for a in range(3)]
        x, y, z = (point[0] * r[0] + point[1] * r[1] + point[2] * r[2] for r in rotation)
        k = frame.intrinsics.astype(np.float32)
        safe = np.maximum(z, np.float32(1e-9))
        u = x / safe * k[0, 0] + k[0, 2]
        v = y / safe * k[1, 1] + k[1, 2]
        inside = np.flatnonzero((z > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height))
        rows, u, v, z = rows[inside], u[inside], v[inside], z[inside]
        pixel = v.astype(np.int32) * width + u.astype(np.int32)
        reach = np.maximum(np.float32(2.0 * self._voxel), np.float32(tolerance) * z)
        behind = nearest.reshape(-1)[pixel] - z
        self._through[rows[behind > np.maximum(np.float32(THROUGH * self._voxel), np.float32(tolerance) * z)]] += 1.0
        there = depth.reshape(-1)[pixel]
        # Those that may be shown, however slanted: few, where much is hidden.
        near = np.flatnonzero((there > 0) & (np.abs(there - z) < reach * np.float32(5.0)))
        rows, u, v, z, reach, there = rows[near], u[near], v[near], z[near], reach[near], there[near]
        point = [p[inside[near]] for p in point]
        along = sum(p * self._normals[a][rows] for a, p in enumerate(point))
        facing = -along / np.sqrt(sum(p * p for p in point))
        shown = np.flatnonzero((np.abs(there - z) < reach / np.maximum(facing, np.float32(0.2))) & (facing > 0.05))
        if not len(shown):
            return
        rows, u, v, z, facing = rows[shown], u[shown], v[shown], z[shown], facing[shown]
        self._seen[rows] += 1.0
        # How large the vertex's surroundings are in the picture, to a power.
        weight = (facing * (np.float32(frame.intrinsics[0, 0] * self._voxel) / z) ** 2) ** (SHARPNESS // 2)
        picture = frame.image
        x, y = u * (picture.shape[1] / width) - 0.5, v * (picture.shape[0] / height) - 0.5
        colors = _sampled(picture, x, y)
        self._total[rows] += weight[:, None] * colors
        self._weight[rows] += weight

    def result(self) -> np.ndarray:
        """(V, 3) uint8; a vertex that no frame shows gets the nearest one's colour."""
        known = self._weight > 0
        colors = np.full(self._total.shape, NOWHERE, np.float32)
        colors[known] = self._total[known] / self._weight[known, None]
        if known.any() and not known.all():
            nearest = cKDTree(self._vertices.T[known]).query(self._vertices.T[~known])[1]
            colors[~known] = colors[known][nearest]
        out = np.empty(colors.shape, np.uint8)
        out[self._order] = np.rint(colors).clip(0, 255).astype(np.uint8)
        return out

    def contradicted(self) -> np.ndarray:
        """(V,) bool: vertices that more frames see through than see."""
        out = np.empty(len(self._order), bool)
        out[self._order] = self._through > AGAINST * self._seen
        return out

    def _in_view(self, frame: Frame) -> np.ndarray:
        """Rows of the vertices whose cells a frame has in view, or nearly."""
        if not len(self._centers):
            return np.zeros(0, int)
        camera = turned(self._centers, frame.extrinsics[:, :3]) + frame.extrinsics[:, 3]
        k = frame.intrinsics
        height, width = frame.depth.shape
        good = camera[:, 2] > -self._radii
        # Distance to each side plane of the view, positive inside.
        for axis, size in ((0, width), (1, height)):
            f, c = k[axis, axis], k[axis, 2]
            for sign, edge in ((1.0, c), (-1.0, size - c)):
                plane = (sign * f * camera[:, axis] + edge * camera[:, 2]) / np.hypot(f, edge)
                good &= plane > -self._radii
        runs = np.flatnonzero(good)
        if not len(runs):
            return np.zeros(0, int)
        return np.concatenate([np.arange(self._starts[r], self._starts[r + 1]) for r in runs])


def _sampled(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P, 3) float32 colours between pixels, (0, 0) being the middle of the first one."""
    wide = 16384  # cv2.remap takes no more than 32767 of either side
    pad = -len(x) % wide
    x, y = (np.pad(a.astype(np.float32), (0, pad)).reshape(-1, wide) for a in (x, y))
    found = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: found.size // 3 - pad].astype(np.float32)
