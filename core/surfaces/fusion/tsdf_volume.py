"""A truncated signed distance field in sparse blocks of voxels: memory follows the surface, not the box around it.

Curless and Levoy 1996, A Volumetric Method for Building Complex Models from Range Images: each voxel near a surface holds
the weighted mean of its signed distances to the surfaces that the frames see, positive in front of them.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import DA3Error
from . import field_kernels
from .depth_maps import turned

SIDE = 8  # voxels along a block's edge
VOXELS = SIDE**3
WHOLE = (slice(None),) * 3  # of a block
PAGE = 2048  # blocks that memory is taken for at once
CHUNK = 512  # blocks that a thread of the processor works on at once
SPACING = 0.3  # of a block's edge, at most, between the points that say which blocks a surface passes
MOST_THREADS = 8
BEHIND = 0.75  # of the band: so far behind a surface its view says nothing any more
_BITS = 21  # of a block's number along each axis: three of them fit into 64
_HALF = 1 << (_BITS - 1)


class VolumeFull(DA3Error):
    """The surface needs more blocks than the budget has."""


@dataclass(frozen=True)
class View:
    """One frame, ready to be fused.

    Attributes
    ----------
    depth : (H, W) float32, z-depth, 0 where nothing is to be taken
    weight : (H, W) float32, how much the pixel counts, > 0 where there is depth
    facing : (H, W) float32, by what a difference along z is multiplied to become the distance to the surface: the surface's
        unit normal times the pixel's ray (of z = 1), positive
    band : relative to the depth, how far from the surface the field is noted at least
    intrinsics, extrinsics : (3, 3) and (3, 4) float64
    """

    depth: np.ndarray
    weight: np.ndarray
    facing: np.ndarray
    band: float
    intrinsics: np.ndarray
    extrinsics: np.ndarray


class Volume:
    """The field.

    Parameters
    ----------
    voxel : edge of a voxel, in scene units
    origin : (3,) float64, where the voxel with number (0, 0, 0) lies, in the world
    band : the truncation at least, in scene units
    most_blocks : the budget; ``VolumeFull`` beyond it
    device : torch's, where the voxels are
    """

    def __init__(self, voxel: float, origin: np.ndarray, band: float, most_blocks: int, device: str = "cpu"):
        self.voxel, self.origin, self.band, self.most_blocks = float(voxel), origin, float(band), most_blocks
        self.device = torch.device(device)
        self.numbers = np.zeros((0, 3), np.int32)  # (B, 3) of each block, in the order in which they were made
        self._keys = np.zeros(0, np.int64)  # sorted
        self._slots = np.zeros(0, np.int64)  # of the keys
        self._distance: list[torch.Tensor] = []  # pages of (PAGE, VOXELS), in scene units
        self._weight: list[torch.Tensor] = []
        count = max(1, min(MOST_THREADS, os.cpu_count() or 1)) if self.device.type == "cpu" else 1
        # Every operation is short: torch's own threads would wait for each other longer than they work.
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)
        self._threads = ThreadPoolExecutor(count, "fusion", initializer=torch.set_num_threads, initargs=(1,))
        self._running: list[Future[None]] = []  # of the last frame
        cells = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        self._cells = cells * self.voxel  # (VOXELS, 3), from a block's first voxel; z runs fastest

    def __len__(self) -> int:
        return len(self.numbers)

    def close(self) -> None:
        """Let the threads go; torch has its own back."""
        self._threads.shutdown()
        torch.set_num_threads(self._before)

    def integrate(self, view: View) -> None:
        """Add what a frame sees; threads may still be at it afterwards, while the next frame is made ready.

        Raises
        ------
        VolumeFull
        RuntimeError
            Torch's, of this frame or of the one before.
        """
        slots = self._touched(view)
        if not len(slots):
            return
        pixels = field_kernels.view_pixels(view.depth, view.facing, view.weight, view.band, self.band)
        rotation = view.intrinsics @ view.extrinsics[:, :3]
        corners = self.origin + self.numbers[slots] * (SIDE * self.voxel)
        # Homogeneous pixels (u z, v z, z) of each block's first voxel, in float64, and of the others relative to it.
        first = turned(corners, rotation) + view.intrinsics @ view.extrinsics[:, 3]
        cells = turned(self._cells, rotation).T
        here, (height, width) = self.device.type == "cpu", view.depth.shape
        base, cells, pixels = (
            torch.from_numpy(np.ascontiguousarray(part, np.float32)).to(self.device) for part in (first, cells, pixels)
        )

        def add_part(rows: slice) -> None:
            page = int(slots[rows.start]) // PAGE
            at = torch.from_numpy(slots[rows] - page * PAGE).to(self.device)
            add = _add_here if here else _add
            blocks = self._distance[page], self._weight[page], at
            add(*blocks, base[rows], cells, pixels, height=height, width=width)

        self.finish()  # two frames at once would lose what one of them says
        self._running = [self._threads.submit(add_part, rows) for rows in self._pieces(slots)]

    def finish(self) -> None:
        """Wait until all frames are in the field: before anything is taken from it.

        Raises
        ------
        RuntimeError
            Torch's.
        """
        running, self._running = self._running, []
        for done in running:
            done.result()

    def take(self, slots: np.ndarray, part: tuple[slice, ...] = WHOLE) -> tuple[np.ndarray, np.ndarray]:
        """Distances, in scene units, and weights of blocks or of a part of each, (B, 8, 8, 8) float32 each or less."""
        shape = (len(slots), *np.empty((SIDE,) * 3, bool)[part].shape)
        found = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for page in np.unique(slots // PAGE):
            rows = np.flatnonzero(slots // PAGE == page)
            at = slots[rows] - page * PAGE
            for values, pages in zip(found, (self._distance, self._weight), strict=True):
                grid = pages[page].reshape(PAGE, SIDE, SIDE, SIDE)
                if self.device.type == "cpu":  # NumPy sees the same memory, and has no threads that wait for each other
                    values[rows] = grid.numpy()[(at, *part)]
                else:
                    values[rows] = grid[(torch.from_numpy(at).to(self.device), *part)].cpu().numpy()
        return found

    def find(self, numbers: np.ndarray) -> np.ndarray:
        """(B,) int64 slots of blocks by their numbers (B, 3); -1 where there is none."""
        keys = block_keys(numbers)
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        at = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._slots[at], -1)

    def _touched(self, view: View) -> np.ndarray:
        """Slots, sorted, of the blocks that the frame's surfaces pass; new ones are made."""
        keys = surface_blocks(view, self.origin, self.voxel, self.band)
        if not len(keys):
            return keys
        at = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), bool)
        if len(self._keys):
            known = self._keys[at.clip(max=len(self._keys) - 1)] == keys
        fresh = keys[~known]
        slots = np.empty(len(keys), np.int64)
        slots[known] = self._slots[at[known]]
        if len(fresh):
            begin, end = len(self.numbers), len(self.numbers) + len(fresh)
            if end > self.most_blocks:
                raise VolumeFull(f"The surface needs more than {self.most_blocks} blocks of voxels")
            slots[~known] = np.arange(begin, end)
            self.numbers = np.concatenate([self.numbers, block_numbers(fresh)])
            self._keys = np.insert(self._keys, at[~known], fresh)
            self._slots = np.insert(self._slots, at[~known], slots[~known])
            while len(self._distance) * PAGE < end:
                for pages in (self._distance, self._weight):
                    pages.append(torch.zeros((PAGE, VOXELS), dtype=torch.float32, device=self.device))
        return np.sort(slots)

    def _pieces(self, slots: np.ndarray) -> list[slice]:
        """Rows of ``slots`` (sorted), a chunk of one page at a time."""
        bounds = np.searchsorted(slots, np.arange(0, len(self._distance) + 1) * PAGE)
        chunk = CHUNK if self.device.type == "cpu" else PAGE
        return [
            slice(start, min(start + chunk, end))
            for begin, end in zip(bounds[:-1], bounds[1:], strict=True)
            for start in range(begin, end, chunk)
        ]


def _add_here(*parts: torch.Tensor, height: int, width: int) -> None:
    """``field_kernels.add_to_blocks``, of tensors."""
    distance, total, at, first, cells, pixels = (part.numpy() for part in parts)
    field_kernels.add_to_blocks(distance, total, at, first, cells, pixels, height, width, BEHIND)


def _add(
    distance: torch.Tensor,
    total: torch.Tensor,
    at: torch.Tensor,
    first: torch.Tensor,
    cells: torch.Tensor,
    pixels: torch.Tensor,
    height: int,
    width: int,
) -> None:
    """``field_kernels.add_to_blocks`` on a graphics card."""
    z = first[:, 2, None] + cells[2]
    inverse = z.clamp(min=1e-9).reciprocal_()  # what is behind the camera falls outside of the picture
    u = (first[:, 0, None] + cells[0]).mul_(inverse).clamp_(-1.0, width).add_(1.0)
    v = (first[:, 1, None] + cells[1]).mul_(inverse).clamp_(-1.0, height).add_(1.0)
    pixel = v.to(torch.int32).mul_(width + 2).add_(u.to(torch.int32)).reshape(-1)
    found, slope, weight, reach = pixels.index_select(0, pixel).T.reshape(4, *z.shape)
    found.addcmul_(z, slope, value=-1.0)
    # Behind the surface the view says less the farther it is: there may be another surface.
    weight.mul_(found.mul(1.0 / BEHIND).add_(1.0).clamp_(0.0, 1.0))
    old, weights = (page.index_select(0, at) for page in (distance, total))
    weights.add_(weight)
    change = found.clamp_(-1.0, 1.0).mul_(reach).sub_(old)
    old.addcdiv_(change.mul_(weight), weights.clamp(min=1e-12))
    distance.index_copy_(0, at, old)
    total.index_copy_(0, at, weights)


def surface_blocks(view: View, origin: np.ndarray, voxel: float, band: float) -> np.ndarray:
    """(K,) int64, sorted: keys of the blocks within the band of a frame's surfaces."""
    edge = SIDE * voxel
    known = view.depth > 0
    if not known.any():
        return np.zeros(0, np.int64)
    footprint = float(np.median(view.depth[known][::7])) / view.intrinsics[0, 0]
    stride = int(np.clip(SPACING * edge / footprint, 1, 8))
    depth = view.depth[stride // 2 :: stride, stride // 2 :: stride]
    row, column = np.nonzero(depth)
    if not len(row):
        return np.zeros(0, np.int64)  # what is known lies between the pixels looked at
    z = depth[row, column].astype(np.float64)
    to_world = view.extrinsics[:, :3].T @ np.linalg.inv(view.intrinsics) / edge
    center = -view.extrinsics[:, :3].T @ view.extrinsics[:, 3]
    u, v = (n * float(stride) + (stride // 2 + 0.5) for n in (column, row))
    rays = [u * a + v * b + c for a, b, c in to_world]  # axis by axis: thin arrays take NumPy several times as long
    reach = np.maximum(band, view.band * z)
    # Along the ray a band is longer than across the surface.
    facing = view.facing[stride // 2 :: stride, stride // 2 :: stride][row, column]
    reach = reach / np.maximum(facing, 0.5)
    steps = max(2, int(np.ceil(2.0 * float(np.quantile(reach, 0.9)) / (0.6 * edge))) + 1)
    return np.unique(
        field_kernels.passed_blocks(
            np.stack(rays), (center - origin) / edge, z, reach.astype(np.float64), steps, _HALF, _BITS
        )
    )


def block_keys(numbers: np.ndarray) -> np.ndarray:
    """(K,) int64, one for each block number (K, 3)."""
    x, y, z = (axis.astype(np.int64) + _HALF for axis in np.asarray(numbers).T)
    return (x << 2 * _BITS) | (y << _BITS) | z


def block_numbers(keys: np.ndarray) -> np.ndarray:
    """The inverse of ``block_keys``, (K, 3) int32."""
    mask = (1 << _BITS) - 1
    columns = [(keys >> 2 * _BITS) & mask, (keys >> _BITS) & mask, keys & mask]
    return (np.stack(columns, axis=-1) - _HALF).astype(np.int32)
