"""A point cloud as a PLY file, written part by part, so that it may be larger than the memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

#: One vertex, packed as binary little endian PLY has it.
VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 3), ("confidence", "<f4")])
# The same bytes, which take half the time to copy.
_WHOLE = np.dtype([("position", "V12"), ("color", "V3"), ("confidence", "<f4")])
HEADER_BYTES = 512


class PlyWriter:
    """Points with colour and confidence. The file has its own name only once it is whole; until then ``.part`` is added.

    Use it in a ``with`` block: left without ``finish``, it removes what it wrote.

    Parameters
    ----------
    path : of the file
    comment : a line for who opens the file in an editor

    Raises
    ------
    OSError
        as every call below: the disk is full, or the folder is gone.
    """

    def __init__(self, path: Path, comment: str):
        self.path = path
        self.count = 0
        self._comment = comment
        self._is_finished = False
        self._temporary = path.with_name(path.name + ".part")
        self._file = self._temporary.open("wb")
        self._file.write(self._header())

    def __enter__(self) -> PlyWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def add(self, position: np.ndarray, color: np.ndarray, confidence: np.ndarray) -> None:
        """Append points: (P, 3) float32, (P, 3) uint8 sRGB, (P,) float32."""
        vertices = np.empty(len(position), _WHOLE)
        vertices["position"] = np.ascontiguousarray(position, "<f4").view("V12")[:, 0]
        vertices["color"] = np.ascontiguousarray(color, np.uint8).view("V3")[:, 0]
        vertices["confidence"] = confidence
        self.add_vertices(vertices.view(VERTEX))

    def add_vertices(self, vertices: np.ndarray) -> None:
        """Append points as the file has them: (P,) of ``VERTEX``, contiguous."""
        self._file.write(vertices.data)
        self.count += len(vertices)

    def finish(self) -> Path:
        """Put the count into the header and the file in its place."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()
        self._temporary.replace(self.path)
        self._is_finished = True
        return self.path

    def close(self) -> None:
        """Remove what is not finished."""
        if self._is_finished:
            return
        with contextlib.suppress(OSError):  # what a full disk still refuses is thrown away anyway
            self._file.close()
        with contextlib.suppress(OSError):  # it went with its folder
            self._temporary.unlink(missing_ok=True)

    def _header(self) -> bytes:
        """Always of the same length, since the count is known last: a comment takes up the rest."""
        lines = [
            "ply", "format binary_little_endian 1.0", f"comment {self._comment}", f"element vertex {self.count}",
            "property float x", "property float y", "property float z",
            "property uchar red", "property uchar green", "property uchar blue", "property float confidence",
        ]  # fmt: skip
        text = "\n".join(lines) + "\ncomment "
        end = "\nend_header\n"
        return (text + "." * (HEADER_BYTES - len(text) - len(end)) + end).encode("ascii")
