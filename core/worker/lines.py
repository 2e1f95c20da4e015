"""Lines from a pipe that are never longer than they may be. Standard library only: both sides use it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from . import protocol

BLOCK = 1 << 16  # bytes, as much as a pipe holds on Linux


def read_lines(descriptor: int, most: int = protocol.MAX_LINE) -> Iterator[bytes]:
    """Whole lines, without their ends, until the other side closes the pipe; what has no end by then is nobody's.

    Raises
    ------
    ProtocolError
        A line is longer than ``most`` bytes; the rest of it is not waited for.
    """
    parts: list[bytes] = []
    size = 0
    while block := os.read(descriptor, BLOCK):
        *ends, tail = block.split(b"\n")
        for end in ends:
            _require(size + len(end), most)
            yield b"".join((*parts, end))
            parts, size = [], 0
        if tail:
            parts.append(tail)
            size += len(tail)
            _require(size, most)


def _require(size: int, most: int) -> None:
    if size > most:
        raise protocol.ProtocolError(f"A line is longer than {most >> 20} MB")
