"""What an input is made of, as far as names and the first image's header tell it. Standard library only: Blender asks, before any run."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .input_files import images_in, is_image, is_video, of_pattern
from .pixels import orientation
from .pixels.opening import open_file

HEAD = 1 << 18  # bytes of a file that are read: a JPEG's size stands behind its EXIF and preview
_NO_SIZE = frozenset({0xC4, 0xC8, 0xCC})  # markers among JPEG's frame headers that are none


@dataclass(frozen=True)
class Found:
    """``images``: how many, 0 for a video; ``size``: width and height (pixels) of the first, upright; None: not known.

    ``each``: of several inputs, how many images each has; ``where``: the one of them that has the problem.
    """

    images: int = 0
    size: tuple[int, int] | None = None
    is_video: bool = False
    problem: str = ""  # why nothing can be made of it; empty where something can
    each: tuple[int, ...] = ()
    where: str = ""


def look_at_all(paths: Sequence[Path]) -> Found:
    """Look at all inputs of a run; the size is that of the first's first image."""
    found = [look_at(path) for path in paths]
    if len(found) == 1:
        return found[0]
    for path, one in zip(paths, found, strict=True):
        if one.problem:
            return replace(one, where=path.name)
    if len({one.is_video for one in found}) > 1:
        return Found(problem="Several inputs must all be videos, or all be images")
    each = tuple(one.images for one in found)
    return replace(found[0], images=sum(each), each=each)


def look_at(path: Path) -> Found:
    """Look at a folder, an image or a video; what is wrong is told in ``problem``."""
    try:
        if sequence := of_pattern(path):
            return Found(len(sequence), size_of(sequence[0]))
        if not path.exists():
            return Found(problem="There is no such file or folder")
        if path.is_dir():
            images = images_in(path)
            return (
                Found(len(images), size_of(images[0]))
                if images
                else Found(problem="There are no images in this folder")
            )
        if is_video(path):
            return Found(is_video=True)
        if is_image(path):
            return Found(1, size_of(path))
    except (OSError, ValueError):  # ValueError: a text that can be no path
        return Found(problem="The input cannot be looked at")
    return Found(problem="This is no image or video that can be read")


def size_of(file: Path) -> tuple[int, int] | None:
    """Width and height (pixels) of a PNG or JPEG as it is seen upright; None of what is neither, or is broken."""
    try:
        with open_file(file) as handle:
            head = handle.read(HEAD)
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _png_size(handle)
        return _jpeg_size(head) if head.startswith(b"\xff\xd8") else None
    except (OSError, struct.error, IndexError):
        return None


def _png_size(file: BinaryIO) -> tuple[int, int]:
    """PNG, third edition, 5.3: chunks; the one with EXIF may come after the pixels."""
    file.seek(8)
    size, turned = (0, 0), orientation.UPRIGHT
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind == b"IHDR":
            size = struct.unpack(">II", file.read(8))
            length -= 8
        elif kind == b"eXIf":
            turned = orientation.of_exif(file.read(length))
            break
        file.seek(length + 4, 1)
    return orientation.turned_size(turned, *size)


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """ITU T.81, B.2: segments until a frame header."""
    place, is_sideways = 2, False
    while head[place] == 0xFF:
        marker, length = head[place + 1], struct.unpack(">H", head[place + 2 : place + 4])[0]
        if marker == 0xE1 and head[place + 4 : place + 10] == b"Exif\0\0":
            is_sideways = orientation.lies(orientation.of_exif(head[place + 10 : place + 2 + length]))
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return (height, width) if is_sideways else (width, height)
        place += 2 + length
    return None
