"""Which files an input is made of, by their names. Standard library only: Blender's side chooses, the worker reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
