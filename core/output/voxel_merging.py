"""Merge Overlapping Points: one point per voxel, over all batches of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import BadInput
from .payload import FILLS_A_PIXEL, PointArrays

_BITS = 21  # of a voxel's number along each axis: three of them fit into 64
_HALF = 1 << (_BITS - 1)


class Merger:
    """Merges a run's clouds as they come: a voxel that an earlier cloud has filled takes no second point.

    Parameters
    ----------
    voxel_size : edge of a voxel in scene units; 0 takes the footprint that comes with the first cloud
    """

    def __init__(self, voxel_size: float = 0.0):
        self._voxel_size = voxel_size
        self._filled = np.zeros(0, np.int64)  # voxel numbers, sorted: 8 bytes for each point given out

    def add(self, cloud: PointArrays, footprint: float) -> PointArrays:
        """The cloud's merged points in voxels that are still empty; ``footprint``: its median footprint of a pixel."""
        self._voxel_size = self._voxel_size or footprint
        if len(cloud) == 0 or self._voxel_size == 0:
            return cloud
        voxels = _voxel_numbers(cloud.position, self._voxel_size)
        free = ~_contained(self._filled, voxels)
        merged = merge(cloud.select(free), self._voxel_size)
        self._filled = np.union1d(self._filled, voxels[free])
        return merged


def merge(cloud: PointArrays, voxel_size: float) -> PointArrays:
    """Points of one voxel become one.

    Position and colour are the means weighted by confidence; all else is that of the most confident point, whose dot is not
    smaller than its voxel.

    Parameters
    ----------
    voxel_size : edge of a voxel in scene units, > 0

    Raises
    ------
    BadInput
        The voxels are so small that they cannot be counted.
    """
    if len(cloud) == 0:
        return cloud
    voxels = _voxel_numbers(cloud.position, voxel_size)
    order = np.lexsort((-cloud.conf, voxels))  # in each voxel the most confident first
    voxels = voxels[order]
    starts = np.flatnonzero(np.concatenate([[True], voxels[1:] != voxels[:-1]]))
    weight = cloud.conf[order].astype(np.float64)
    total = np.add.reduceat(weight, starts)

    def mean(values: np.ndarray) -> np.ndarray:
        columns = [np.add.reduceat(values[order, c] * weight, starts) / total for c in range(values.shape[1])]
        return np.stack(columns, axis=-1).astype(np.float32)

    best = order[starts]
    merged = replace(cloud.select(best), position=mean(cloud.position), point_color=mean(cloud.point_color))
    if merged.radius is None:
        return merged
    return replace(merged, radius=np.maximum(merged.radius, np.float32(FILLS_A_PIXEL * voxel_size)))


def median_footprint(depth: np.ndarray, conf: np.ndarray, intrinsics: np.ndarray) -> float:
    """Median width of what a pixel sees, depth / fx, in scene units; 0 where there is no pixel with confidence.

    Parameters
    ----------
    depth, conf : (N, H, W)
    intrinsics : (N, 3, 3), pixels
    """
    widths = depth / intrinsics[:, 0, 0].astype(np.float32)[:, None, None]
    seen = widths[(depth > 0) & (conf > 0)]
    return float(np.median(seen)) if len(seen) else 0.0


def _voxel_numbers(position: np.ndarray, voxel_size: float) -> np.ndarray:
    """(P,) int64, equal for points of one voxel, in whatever cloud they are: the grid starts at the world's origin."""
    cells = np.floor(position.astype(np.float64) / voxel_size)
    if np.abs(cells).max() >= _HALF:
        raise BadInput(
            f"Voxel Size {voxel_size:g} is too small for a scene that reaches {np.abs(position).max():g} units far"
        )
    x, y, z = (cells.astype(np.int64) + _HALF).T
    return x | y << _BITS | z << 2 * _BITS


def _contained(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of ``wanted`` are among the sorted ``numbers``."""
    if len(numbers) == 0:
        return np.zeros(len(wanted), bool)
    at = np.searchsorted(numbers, wanted).clip(max=len(numbers) - 1)
    return numbers[at] == wanted
