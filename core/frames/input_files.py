"""Which files an input is made of. Standard library only: Blender's side chooses, the worker reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from .pixels import kinds
from .pixels.kinds import Kind

#: What is read as an image whatever it turns out to be, so that it is named where it is broken.
IMAGE_SUFFIXES = kinds.RAW_SUFFIXES | frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .webp .bmp .tif .tiff .tga .targa .heic .heif .hif .avif .jxl .jp2 .j2k .jpx "
    ".exr .dpx .hdr".split()
)
VIDEO_SUFFIXES = frozenset(
    ".mp4 .mov .avi .mkv .webm .m4v .mts .m2ts .m2t .ts .mpg .mpeg .mxf .3gp .3g2 .wmv .flv .vob .ogv .qt .insv .mod .tod".split()
)
#: Files that programs leave in every folder, which nobody wants to hear of.
QUIET = frozenset("thumbs.db desktop.ini ehthumbs.db".split())
#: What lies beside photographs by the thousand and is none: not looked into.
OTHER_SUFFIXES = frozenset(
    ".txt .md .csv .json .xml .xmp .aae .thm .lrv .ini .log .db .bin .npy .npz .ply .obj .blend .blend1 .zip .pdf .html .py".split()
)
SEPARATOR = "|"  # between the paths of More Inputs: no name on Windows has it, and hardly one elsewhere
_PATTERN = re.compile(r"#+|%0?\d*d|\*")


@dataclass(frozen=True)
class Selection:
    """An input and which frames of it: ``start`` and ``end`` inclusive, -1 is the last; ``more``: inputs beside it."""

    path: Path
    start: int = 0
    end: int = -1
    stride: int = 1
    more: tuple[Path, ...] = ()


def inputs_of(first: str, more: str) -> list[str]:
    """All paths that images come from: the settings Input and More Inputs."""
    return [first, *(path for part in more.split(SEPARATOR) if (path := part.strip()))]


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sorts ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]


def is_image(file: Path) -> bool:
    """Whether a file is taken for an image: by its suffix, or where that says nothing, by how it begins."""
    suffix = file.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    return suffix not in VIDEO_SUFFIXES | OTHER_SUFFIXES and kinds.kind_of(file) in kinds.PICTURES


def is_video(file: Path) -> bool:
    """Whether a file is a video: by how it begins, or where that says nothing, by its suffix."""
    kind = kinds.kind_of(file)
    return kind is Kind.VIDEO or (kind is Kind.UNKNOWN and file.suffix.lower() in VIDEO_SUFFIXES)


def images_in(folder: Path) -> list[Path]:
    """The images of a folder in the order in which they are numbered."""
    files = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted((file for file in files if is_image(file)), key=natural_key)


def of_pattern(path: Path) -> list[Path] | None:
    """The images of a sequence that is named by a pattern: shot_####.exr, shot_%04d.png, shot_*.jpg.

    None where the name is no pattern, or a file has that very name.
    """
    if path.exists() or not _PATTERN.search(path.name) or not path.parent.is_dir():
        return None
    expression, last = "", 0
    for found in _PATTERN.finditer(path.name):
        expression += re.escape(path.name[last : found.start()])
        mark = found.group()
        digits = len(mark) if mark[0] == "#" else int(mark.strip("%d") or 1) if mark[0] == "%" else 0
        expression += ".*" if mark == "*" else rf"\d{{{digits},}}"
        last = found.end()
    fits = re.compile(expression + re.escape(path.name[last:])).fullmatch
    return [file for file in images_in(path.parent) if fits(file.name)]


def select(chosen: Sequence[Path]) -> Selection:
    """The input that is made of exactly the files a person has chosen or dropped together.

    One file or folder is taken as it is, several videos or folders one after another. Several images are their folder, from the first chosen one to the last, with
    the stride that keeps just these.

    Raises
    ------
    BadInput
        Nothing usable, or no choice of start, end and stride gives just these.
    """
    if len(chosen) == 1:
        return _only(chosen[0])
    if all(file.is_dir() for file in chosen) or all(file.is_file() and is_video(file) for file in chosen):
        first, *more = sorted(set(chosen), key=natural_key)
        return Selection(first, more=tuple(more))
    images = sorted({file for file in chosen if is_image(file)}, key=natural_key)
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
    if not path.is_dir() and not (is_image(path) or is_video(path)):
        raise BadInput(f"'{path.name}' is no image or video that can be read")
    return Selection(path)
