"""A point cloud as a PLY file, written part by part, so that it may be larger than the memory."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ownership

#: One vertex of a point cloud, packed as binary little endian PLY has it.
VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 3), ("confidence", "<f4")])
# The same bytes, which take half the time to copy.
_WHOLE = np.dtype([("position", "V12"), ("color", "V3"), ("confidence", "<f4")])
HEADER_BYTES = 512
PROPERTIES = (
    "float x", "float y", "float z", "uchar red", "uchar green", "uchar blue", "float confidence",
)  # fmt: skip
BYTES = {"float": 4, "uchar": 1}


class PlyWriter:
    """Points, by default with colour and confidence. The file has its own name only once it is whole.

    Use it in a ``with`` block: left without ``finish``, it removes what it wrote.

    Parameters
    ----------
    path : of the file; where another's file has that name, ``finish`` takes one beside it
    comment : a line for who opens the file in an editor
    properties : of a vertex, each a type of PLY and a name

    Raises
    ------
    OSError
        as every call below: the disk is full, or the folder is gone.
    """

    def __init__(self, path: Path, comment: str, properties: Sequence[str] = PROPERTIES):
        self.path = path
        self.count = 0
        self._comment, self._properties = comment, tuple(properties)
        self._is_finished = False
        self._temporary = ownership.part_of(path)
        self._file = self._temporary.open("xb")
        self._file.write(self._header())

    def __enter__(self) -> PlyWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def add(self, position: NDArray[Any], color: NDArray[Any], confidence: NDArray[Any]) -> None:
        """Append points: (P, 3) float32, (P, 3) uint8 sRGB, (P,) float32."""
        vertices = np.empty(len(position), _WHOLE)
        vertices["position"] = np.ascontiguousarray(position, "<f4").view("V12")[:, 0]
        vertices["color"] = np.ascontiguousarray(color, np.uint8).view("V3")[:, 0]
        vertices["confidence"] = confidence
        self.add_vertices(vertices.view(VERTEX))

    def add_vertices(self, vertices: NDArray[Any]) -> None:
        """Append points as the file has them: (P,) of ``VERTEX``, or (P, properties) where all are of one type; contiguous."""
        self._file.write(vertices.data)
        self.count += len(vertices)

    def written(self) -> NDArray[Any]:
        """What was added so far, (count, properties) float32, to be changed in place; for properties that are all floats."""
        self._file.flush()
        shape = self.count, len(self._properties)
        if not self.count:
            return np.zeros(shape, np.float32)
        return np.memmap(self._temporary, np.dtype("<f4"), "r+", HEADER_BYTES, shape)

    def finish(self) -> Path:
        """Put the count into the header and the file in its place; a file of that name goes only if it is of this kind."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()
        self.path = ownership.put(self._temporary, self.path, functools.partial(_is_ours, properties=self._properties))
        self._is_finished = True
        return self.path

    def close(self) -> None:
        """Remove what is not finished."""
        if self._is_finished:
            return
        with contextlib.suppress(OSError):  # what a full disk still refuses is thrown away anyway
            self._file.close()
        with contextlib.suppress(OSError):  # it went with its folder
            ownership.drop_part(self._temporary)

    def _header(self) -> bytes:
        return _header(self._comment, self.count, self._properties)


def _header(comment: str, count: int, properties: Sequence[str]) -> bytes:
    """Always of the same length, since the count is known last: a comment takes up the rest."""
    lines = [
        "ply", "format binary_little_endian 1.0", f"comment {comment}", f"element vertex {count}",
        *(f"property {one}" for one in properties),
    ]  # fmt: skip
    text = "\n".join(lines) + "\ncomment "
    end = "\nend_header\n"
    return (text + "." * (HEADER_BYTES - len(text) - len(end)) + end).encode("ascii")


def _is_ours(path: Path, *, properties: Sequence[str]) -> bool:
    """Whether a file is one that ``PlyWriter`` wrote, byte for byte in its header and of the length that it says."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        lines = head.decode("ascii").split("\n")
        comment, count = lines[2].removeprefix("comment "), int(lines[3].removeprefix("element vertex "))
        size = path.stat().st_size
    except (OSError, ValueError, IndexError):
        return False
    vertex = sum(BYTES[one.split()[0]] for one in properties)
    return head == _header(comment, count, properties) and size == HEADER_BYTES + count * vertex
