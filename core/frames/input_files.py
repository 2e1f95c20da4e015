"""Which files an input is made of, by their names. Standard library only: Blender's side chooses, the worker reads."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import BadInput

IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .tif .tiff".split())
VIDEO_SUFFIXES = frozenset(".mp4 .mov .avi .mkv .webm .m4v .mts .mpg .mpeg".split())


@dataclass(frozen=True)
class Selection:
    """An input and which frames of it: ``start`` and ``end`` inclusive, -1 is the last."""

    path: Path
    start: int = 0
    end: int = -1
    stride: int = 1


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sorts ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]


def special_file(path: Path) -> str:
    """What a thing on disk is that is neither file nor folder, for the end of a sentence."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a link that leads nowhere" if path.is_symlink() else "gone or may not be looked at"
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "no file")


def open_file(path: Path) -> BinaryIO:
    """Open a file to read; what has become a pipe or a device since it was looked at does not make anybody wait.

    Raises
    ------
    OSError
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"it is {special_file(path)}")
    return os.fdopen(handle, "rb")


def images_in(folder: Path) -> list[Path]:
    """The images of a folder in the order in which they are numbered."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((file for file in files if file.is_file() and not file.name.startswith(".")), key=natural_key)


def select(chosen: Sequence[Path]) -> Selection:
    """The input that is made of exactly the files a person has chosen or dropped together.

    One file or folder is taken as it is. Several images are their folder, from the first chosen one to the last, with
    the stride that keeps just these.

    Raises
    ------
    BadInput
        Nothing usable, or no choice of start, end and stride gives just these.
    """
    if len(chosen) == 1:
        return _only(chosen[0])
    images = sorted({file for file in chosen if file.suffix.lower() in IMAGE_SUFFIXES}, key=natural_key)
    folders = {file.parent for file in images}
    if not images:
        raise BadInput("Choose a folder of images, images of one folder, or one video")
    if len(folders) > 1:
        raise BadInput("The images are from several folders: put them into one")
    if len(images) == 1:
        return _only(images[0])
    (folder,) = folders
    everything = images_in(folder)
    numbers = [everything.index(file) for file in images if file in everything]
    if len(numbers) != len(images):
        raise BadInput(f"Some of the images are not in '{folder}' any more")
    strides = {b - a for a, b in zip(numbers, numbers[1:])}  # noqa: B905  # the second is one shorter
    if len(strides) > 1:
        raise BadInput(
            "The images do not follow one another at equal distances in their folder: put them into a folder of their own"
        )
    end = -1 if numbers[-1] == len(everything) - 1 else numbers[-1]
    return Selection(folder, numbers[0], end, strides.pop())


def _only(path: Path) -> Selection:
    if not path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        raise BadInput(f"'{path.name}' is no image or video that can be read")
    return Selection(path)
