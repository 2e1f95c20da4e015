"""A run's splats as a file: the PLY of 3D Gaussian Splatting, or SPZ; positions in Blender's axes, as in the scene.

PLY: Kerbl et al., 3D Gaussian Splatting, 2023, as their code writes it, with the constant spherical harmonic only and without
normals. SPZ: Niantic's format, version 3, in its own axes (x right, y up, z back), into which Blender's importer turns back.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.ownership import Folder
from ...files.ply import PlyWriter
from .discs import quaternions, rotated

Array = NDArray[Any]

COLUMNS = (
    "x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip
SPLAT_BYTES = 4 * len(COLUMNS)  # on the disk while a file is written, of SPZ too
LEAST_OPACITY = 1e-4  # and as far from 1: the sigmoid reaches neither end
PIECE = 1 << 18  # splats in memory at a time
FRACTION_BITS = 12  # of an SPZ position: steps of 1 / 4096, up to 2048 from the origin
_SPZ_HEADER = struct.Struct("<4sIIBBBB")
_SPZ_COLOR = 0.15  # a step of the constant harmonic, relative to 8 bits


class SplatWriter:
    """The splats of a run, written as they come; use it in a ``with`` block: left without ``finish``, nothing stays.

    Parameters
    ----------
    path : of the PLY file
    comment : a line for who opens it in an editor
    """

    def __init__(self, path: Path, comment: str):
        self._ply = PlyWriter(path, comment, [f"float {name}" for name in COLUMNS])
        self._ends: list[int] = []  # of the batches so far, in splats

    @property
    def path(self) -> Path:
        """Where the file is to be, or is."""
        return self._ply.path

    def add(self, batch: int, arrays: Mapping[str, Array]) -> None:
        """Append those of P splats that are drawn; ``arrays``: of a ``PointArrays``, by their names."""
        drawn = arrays["scale"][:, 0] > 0
        self._ply.add_vertices(rows(*(arrays[name][drawn] for name in ("position", "scale", "rotation", "radiance"))))
        self._ends += [self._ends[-1] if self._ends else 0] * (batch + 1 - len(self._ends))
        self._ends[batch] = self._ply.count

    def finish(self, moves: Sequence[Array] = ()) -> Path:
        """Put the file into its place; ``moves``: (4, 4) similarities, Blender's axes, one for each batch."""
        self._move(moves)
        return self._ply.finish()

    def compressed(self, moves: Sequence[Array] = ()) -> bytes:
        """The same as an SPZ file's bytes; no PLY file is left."""
        self._move(moves)
        packed = spz(self._ply.written())
        self.close()
        return packed

    def put(self, own: Folder, spz_name: str, moves: Sequence[Array] = ()) -> tuple[Path, Path]:
        """``finish``, or with a name ``compressed`` into a folder of ours; the path that was wanted, and that which is."""
        if not spz_name:
            return self.path, self.finish(moves)
        return own.path / spz_name, own.path / own.write(spz_name, self.compressed(moves))

    def close(self) -> None:
        """Remove what is not finished."""
        self._ply.close()

    def _move(self, moves: Sequence[Array]) -> None:
        written = self._ply.written()
        for move, low, high in zip(moves, [0, *self._ends], self._ends, strict=False):
            for start in range(low, high, PIECE):
                moved(written[start : min(start + PIECE, high)], move)


def rows(position: Array, scale: Array, rotation: Array, base: Array) -> Array:
    """(P, 14) float32, ``COLUMNS``: colours as harmonics, opacity before the sigmoid, scales as logarithms."""
    opacity = np.clip(base[:, 3:], LEAST_OPACITY, 1.0 - LEAST_OPACITY)
    columns = (position, base[:, :3], np.log(opacity / (1.0 - opacity)), np.log(np.maximum(scale, 1e-30)), rotation)
    return np.ascontiguousarray(np.concatenate(columns, axis=1), "<f4")


def moved(some: Array, move: Array) -> None:
    """Move rows of ``COLUMNS`` in place by a (4, 4) similarity."""
    factor = np.cbrt(np.linalg.det(move[:3, :3]))
    some[:, :3] = some[:, :3] @ move[:3, :3].T + move[:3, 3]
    some[:, 7:10] += np.float32(np.log(factor))
    some[:, 10:] = rotated(quaternions((move[:3, :3] / factor)[None])[0], some[:, 10:])


def spz(written: Array) -> bytes:
    """Rows of ``COLUMNS`` as an SPZ file, version 3: a header, and columns of 3 bytes for a coordinate, 4 for a rotation and one
    for each other number."""
    position, harmonics, opacity, scale, rotation = np.split(written, (3, 6, 7, 10), axis=1)
    turned = np.stack([position[:, 0], position[:, 2], -position[:, 1]], axis=-1)
    fixed = np.round(turned * float(1 << FRACTION_BITS)).astype("<i4").view(np.uint8).reshape(-1, 3, 4)[:, :, :3]
    half = np.float32(np.sqrt(0.5))
    w, x, y, z = half * rotation.T  # a quarter turn about x, (half, -half, 0, 0), times the splat's own
    columns = (
        fixed,
        _byte(255.0 / (1.0 + np.exp(-opacity))),
        _byte((harmonics * _SPZ_COLOR + 0.5) * 255.0),
        _byte((scale + 10.0) * 16.0),
        _smallest_three(np.stack([x - w, y + z, z - y, w + x], axis=-1)),
    )
    header = _SPZ_HEADER.pack(b"NGSP", 3, len(written), 0, FRACTION_BITS, 0, 0)
    return gzip.compress(header + b"".join(np.ascontiguousarray(column).tobytes() for column in columns), 6, mtime=0)


def _smallest_three(q: Array) -> Array:
    """(P,) uint32 of (P, 4) quaternions (x, y, z, w): the place of the largest number in 2 bits, then of each other one, in
    their order, its sign against the largest and its size in 9 bits, 1 / sqrt(2) at most."""
    q = q / np.linalg.norm(q, axis=1, keepdims=True)
    largest = np.argmax(np.abs(q), axis=1)
    flips = np.take_along_axis(q, largest[:, None], axis=1)[:, 0] < 0
    packed = largest.astype(np.uint32)
    for k in range(4):
        size = np.round(np.abs(q[:, k]) * np.sqrt(2.0) * 511.0).astype(np.uint32)
        sign = ((q[:, k] < 0) ^ flips).astype(np.uint32)
        packed = np.where(largest == k, packed, packed << np.uint32(10) | sign << np.uint32(9) | size)
    little: Array = packed.astype("<u4")
    return little


def _byte(values: Array) -> Array:
    return np.asarray(np.clip(np.round(values), 0, 255), np.uint8)
