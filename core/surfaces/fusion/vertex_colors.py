"""What the frames show at a surface's vertices: colours from those that see them best, and whether they see them at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from scipy.spatial import cKDTree

from . import frame_kernels
from .depth_maps import Frame, turned
from .tsdf_volume import block_keys

SHARPNESS = 4  # power of a view's weight: the best views count, and none changes abruptly into another
CELL = 32.0  # voxels along the edge of the cells that vertices are looked for in
OFF = 2.0  # voxels, at least, that a vertex may lie from what a frame sees there
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
        runs = self._in_view(frame)
        enough = ENOUGH if self._frames % EVERY else np.iinfo(np.int32).max
        self._frames += 1
        # The nearest around: beside an outline a frame may see past what it does not see through.
        nearest = cv2.erode(depth, np.ones((3, 3), np.uint8))
        # Runs of about as many vertices for each thread.
        before = np.cumsum(runs[:, 1] - runs[:, 0])
        count = max(1, min(self._workers, int(before[-1]) // PART if len(runs) else 1))
        parts = np.split(runs, np.searchsorted(before, before[-1:] * np.arange(1, count) / count))
        camera = -frame.extrinsics[:, :3].T @ frame.extrinsics[:, 3]
        views = frame.extrinsics[:, :3].astype(np.float32), frame.intrinsics.astype(np.float32)
        limits = np.array([self._voxel, OFF, tolerance, THROUGH], np.float32)
        found = self._seen, self._through, self._total, self._weight

        def paint(part: np.ndarray) -> None:
            frame_kernels.paint(
                part,
                enough,
                self._vertices,
                self._normals,
                camera,
                *views,
                depth,
                nearest,
                frame.image,
                limits,
                SHARPNESS // 2,
                *found,
            )

        list(self._threads.map(paint, parts))

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
        """(R, 2) int64: first vertex, and first after it, of the cells that a frame has in view, or nearly."""
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
        return np.stack([self._starts[:-1][good], self._starts[1:][good]], axis=-1)
