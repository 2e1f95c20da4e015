"""The surface where the signed distance is zero, as triangles with shared vertices."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...monitor import Monitor
from . import field_kernels, marching_cubes_table
from .tsdf_volume import MOST_THREADS, SIDE, VOXELS, Volume

CHUNK = 512  # blocks at once
LEAST = 0.02  # of a voxel's edge, between a vertex and the voxels: no triangle gets a side of no length
_AROUND = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def extract(volume: Volume, least_weight: float, monitor: Monitor) -> tuple[np.ndarray, np.ndarray]:
    """Marching cubes over the blocks, a chunk at a time.

    A cube takes part where all its corners have been seen. Vertices are welded by the voxels' edges that they lie on, not by
    their places.

    Parameters
    ----------
    least_weight : a voxel with less counts as not seen

    Returns
    -------
    vertices (V, 3) float64, world; faces (F, 3) int32, anticlockwise seen from the positive side
    """
    count, table = marching_cubes_table.triangles()

    def of_chunk(begin: int) -> tuple[np.ndarray, np.ndarray]:
        monitor.check()
        return _chunk(volume, np.arange(begin, min(begin + CHUNK, len(volume))), least_weight, count, table)

    volume.finish()
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "triangles") as threads:
        found = list(threads.map(of_chunk, range(0, len(volume), CHUNK)))
    ids, shares = [part[0] for part in found], [part[1] for part in found]
    del found
    if not sum(map(len, ids)):
        return np.zeros((0, 3)), np.zeros((0, 3), np.int32)
    corners = np.concatenate(ids)
    del ids
    # Numbers of the vertices by the ids of their edges: a table, as sorting takes several times as long.
    number = np.zeros(3 * VOXELS * len(volume), np.int32)
    number[corners] = 1
    edges = np.flatnonzero(number)
    number[edges] = np.arange(len(edges), dtype=np.int32)
    faces = number[corners]
    along = np.empty(len(edges), np.float32)
    along[faces] = np.concatenate(shares)  # the same from all faces around, as it comes from the same two voxels
    return _places(volume, edges, along), faces.reshape(-1, 3)


def _places(volume: Volume, edges: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(V, 3) float64, world: ``shares`` (V,) along the voxels' edges with the ids ``edges`` (V,)."""
    voxel, axis = np.divmod(edges, 3)
    slot, inner = np.divmod(voxel, VOXELS)
    places = volume.numbers[slot].astype(np.float64) * SIDE
    places += np.stack(np.unravel_index(inner, (SIDE, SIDE, SIDE)), axis=-1)
    places[np.arange(len(places)), axis] += shares
    return places * volume.voxel + volume.origin


def _chunk(
    volume: Volume, slots: np.ndarray, least_weight: float, count: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each corner of each triangle, three in a row: the id of the voxel edge that it lies on, (3T,) int64, and how far along
    that it lies, (3T,) float32."""
    distance, seen, owners = _with_neighbours(volume, slots, least_weight)
    edges = marching_cubes_table.EDGE_START, marching_cubes_table.EDGE_AXIS
    return field_kernels.triangles(distance, seen, owners, count, table, *edges, LEAST)


def _with_neighbours(
    volume: Volume, slots: np.ndarray, least_weight: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances and whether they are known, (B, 9, 9, 9), the blocks' own and the first layers of the next ones; and the
    slots (B, 8) of the block and of those next to it, in the order of ``_AROUND``, -1 where there is none."""
    count = len(slots)
    distance = np.zeros((count, SIDE + 1, SIDE + 1, SIDE + 1), np.float32)
    seen = np.zeros(distance.shape, bool)
    owners = np.empty((count, 8), np.int64)
    for n, step in enumerate(_AROUND):
        near = volume.find(volume.numbers[slots] + np.array(step))
        owners[:, n] = near
        rows = np.flatnonzero(near >= 0)
        target = tuple(slice(SIDE, SIDE + 1) if s else slice(0, SIDE) for s in step)
        values, weights = volume.take(near[rows], tuple(slice(0, 1) if s else slice(0, SIDE) for s in step))
        distance[(rows, *target)] = values
        seen[(rows, *target)] = weights > least_weight
    return distance, seen, owners
