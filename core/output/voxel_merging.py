"""Merge Overlapping Points: one point per voxel, over all batches of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from ..errors import BadInput
from .payload import FILLS_A_PIXEL, PointArrays
from .splats.discs import ALONE, FLATNESS

_BITS = 21  # of a voxel's number along each axis: three of them fit into 64
_HALF = 1 << (_BITS - 1)


class VoxelMerger:
    """Merges a run's clouds as they come: a voxel that an earlier cloud has filled takes no second point.

    Parameters
    ----------
    voxel_size : edge of a voxel in scene units; 0 takes the footprint that comes with the first cloud
    """

    def __init__(self, voxel_size: float = 0.0):
        self._voxel_size = voxel_size
        self._filled: list[np.ndarray] = []  # voxel numbers, each sorted and more than twice as long as the next

    def add(self, cloud: PointArrays, footprint: float) -> PointArrays:
        """The cloud's merged points in voxels that are still empty; ``footprint``: its median footprint of a pixel."""
        self._voxel_size = self._voxel_size or footprint
        if len(cloud) == 0 or self._voxel_size == 0:
            return cloud
        voxels = _Voxels.of(cloud.position, self._voxel_size)
        free = np.ones(len(voxels.numbers), bool)
        for filled in self._filled:
            at = np.searchsorted(filled, voxels.numbers).clip(max=len(filled) - 1)
            free &= filled[at] != voxels.numbers
        voxels = voxels.select(free)
        self._fill(voxels.numbers)
        return _merged(cloud, voxels, self._voxel_size)

    def _fill(self, numbers: np.ndarray) -> None:
        """Note them. Each number is moved only as often as the whole has doubled, however many clouds come."""
        if len(numbers):
            self._filled.append(numbers)
        while len(self._filled) > 1 and len(self._filled[-2]) <= 2 * len(self._filled[-1]):
            both = np.concatenate([self._filled.pop(), self._filled.pop()])
            both.sort(kind="stable")  # which sees that it is two sorted parts
            self._filled.append(both)


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
    return _merged(cloud, _Voxels.of(cloud.position, voxel_size), voxel_size)


@dataclass(frozen=True)
class _Voxels:
    """Which points lie in which voxel: V voxels in the order of their ``numbers`` (V,) int64, the points of each by their rows,
    ``order`` (P,), of which it has ``counts`` (V,). The grid starts at the world's origin, whatever the cloud."""

    numbers: np.ndarray
    order: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, position: np.ndarray, voxel_size: float) -> _Voxels:
        """Raises BadInput where the voxels are too small to be counted."""
        cells, least, bits = [], [], []
        for axis in range(3):
            cell = np.divide(position[:, axis], voxel_size, dtype=np.float64)
            np.floor(cell, out=cell)
            low, high = float(cell.min()), float(cell.max())
            if max(-low, high) >= _HALF:
                raise BadInput(
                    f"Voxel Size {voxel_size:g} is too small for a scene that reaches {np.abs(position).max():g} units far"
                )
            cell -= low
            cells.append(cell.astype(np.int64))
            least.append(int(low))
            bits.append(int(high - low).bit_length())
        # Cell and row in one number: numbers are sorted several times faster than rows by their numbers.
        own = (len(position) - 1).bit_length()
        if sum(bits) + own < 64:
            key = ((cells[2] << bits[1] | cells[1]) << bits[0] | cells[0]) << own
            key |= np.arange(len(key))
            key.sort()
            order = key & ((1 << own) - 1)
            key >>= own
        else:
            key = (cells[2] << _BITS | cells[1]) << _BITS | cells[0]
            order = np.argsort(key, kind="stable")
            key, bits = key[order], [_BITS] * 3
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        key, numbers = key[starts], np.zeros(len(starts), np.int64)
        for axis in range(3):
            cell = (key >> sum(bits[:axis])) & ((1 << bits[axis]) - 1)
            numbers |= (cell + (least[axis] + _HALF)) << (axis * _BITS)
        return cls(numbers, order, np.diff(starts, append=len(order)))

    def select(self, kept: np.ndarray) -> _Voxels:
        """Those of a mask (V,)."""
        if kept.all():
            return self
        return _Voxels(self.numbers[kept], self.order[np.repeat(kept, self.counts)], self.counts[kept])


def _merged(cloud: PointArrays, voxels: _Voxels, voxel_size: float) -> PointArrays:
    """One point for each voxel."""
    conf = cloud.conf[voxels.order]
    ends = np.cumsum(voxels.counts)
    if not len(ends):
        return cloud.select(np.zeros(0, np.int64))
    # The first of the most confident points of each voxel.
    top = np.flatnonzero(conf == np.repeat(np.maximum.reduceat(conf, ends - voxels.counts), voxels.counts))
    best = voxels.order[top[np.searchsorted(top, ends - voxels.counts)]]
    # Weighted sums as a product with a matrix that has the weights of a voxel's points in its row.
    weights = csr_array((conf.astype(np.float64), voxels.order, np.concatenate([[0], ends])), (len(ends), len(cloud)))
    total = weights @ np.ones(len(cloud))

    def mean(values: np.ndarray) -> np.ndarray:
        return (weights @ values / total[:, None]).astype(np.float32)

    merged = replace(cloud.select(best), position=mean(cloud.position), point_color=mean(cloud.point_color))
    if merged.radius is not None:
        merged = replace(merged, radius=np.maximum(merged.radius, np.float32(FILLS_A_PIXEL * voxel_size)))
    if cloud.scale is not None and merged.scale is not None and cloud.radiance is not None:
        least = voxel_size * np.array([ALONE, ALONE, ALONE * FLATNESS], np.float32)
        merged = replace(merged, scale=np.maximum(merged.scale, least), radiance=mean(cloud.radiance))
    return merged


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
