"""Merge Overlapping Points: one point per voxel."""

from __future__ import annotations

import numpy as np

from .errors import BadInput
from .payload import PointArrays


def merge(cloud: PointArrays, voxel_size: float) -> PointArrays:
    """Points of one voxel become one.

    Position and colour are the means weighted by confidence; confidence and frame are those of the most confident point.

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
    return PointArrays(mean(cloud.position), mean(cloud.point_color), cloud.conf[best], cloud.frame[best])


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
    """(P,) int64, equal for points of one voxel."""
    low = position.min(axis=0).astype(np.float64)
    counts = np.floor((position.max(axis=0) - low) / voxel_size) + 1.0
    if counts.prod() > 2.0**62:
        raise BadInput(
            f"Voxel Size {voxel_size:g} is too small for a scene of {np.ptp(position, axis=0).max():g} units"
        )
    cells = np.floor((position - low) / voxel_size).astype(np.int64)
    nx, ny = counts[:2].astype(np.int64)
    return cells[:, 0] + nx * (cells[:, 1] + ny * cells[:, 2])
