"""Which images there are at a path, and what is passed over there, counted and named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import BadInput
from .input_files import (
    IMAGE_SUFFIXES,
    QUIET,
    VIDEO_SUFFIXES,
    images_in,
    is_image,
    natural_key,
    of_pattern,
)  # fmt: skip
from .pixels import kinds
from .pixels.kinds import Kind
from .pixels.opening import special_file

NAMED = 3  # things of a sort that a sentence names; the others it counts
LOOKED_AT = 200  # entries of a sub-folder, to say whether it has images
_UNREAD_PICTURES = frozenset(".gif .psd .svg .ico .xcf .kra .pdf .eps .x3f".split())
_UNFINISHED = frozenset(".part .crdownload .tmp .download".split())


def find(path: Path) -> tuple[list[Path], list[str]]:
    """Images at ``path``, in natural order, and a warning about what looks like one or holds some but is not read.

    Raises
    ------
    BadInput
        Nothing there, or no image in it.
    """
    sequence = of_pattern(path)
    if sequence:
        return sequence, []
    if sequence is not None:
        raise BadInput(f"No image in '{path.parent}' fits the pattern '{path.name}'")
    if path.is_file():
        if not is_image(path):
            kind = kinds.kind_of(path)
            what = "" if kind is Kind.UNKNOWN else f": it is a {kind.value}"
            raise BadInput(f"'{path.name}' is not an image or a video this add-on reads{what} ({_suffixes()})")
        return [path], []
    if not path.is_dir():
        raise BadInput(f"'{path}' is not a folder, image or video: it is {special_file(path)}")
    try:
        paths = images_in(path)
        others = [p for p in path.iterdir() if not p.name.startswith(".") and p.name.lower() not in QUIET]
    except PermissionError:
        raise BadInput(f"'{path}' may not be read: check the folder's permissions") from None
    taken = set(paths)
    warnings = passed_over(sorted((p for p in others if p not in taken), key=natural_key))
    if not paths:
        videos = [p.name for p in others if p.suffix.lower() in VIDEO_SUFFIXES]
        hint = f"; for a video choose the file itself ({videos[0]})" if videos else "".join(f". {w}" for w in warnings)
        raise BadInput(f"No images in '{path}'{hint or f' ({_suffixes()})'}")
    return paths, warnings


def numbers(path: Path, count: int, things: str, start: int, end: int, stride: int) -> range:
    """Of ``count`` things at a path those from start to end, inclusive, by stride; raises BadInput where that is none."""
    last = count - 1 if end < 0 else min(end, count - 1)
    wanted = range(start, last + 1, stride)
    if not wanted:
        raise BadInput(f"No frame from {start} to {end}: '{path}' has {count} {things}, counted from 0")
    return wanted


def passed_over(others: Sequence[Path]) -> list[str]:
    """Sentences about those of a folder's other things that a person may have meant to be read."""
    sorts: dict[str, list[str]] = {}
    lost: list[str] = []
    for other in others:
        if not (other.is_file() or other.is_dir()):
            lost.append(f"{other.name} was left out: it is {special_file(other)}")
            continue
        sort, name = _sort(other)
        if sort:
            sorts.setdefault(sort, []).append(name)
    parts = []
    for sort, names in sorts.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        parts.append(f"{len(names)} {sort} ({', '.join(names[:NAMED])}{more})")
    return ([f"Passed over: {'; '.join(parts)}"] if parts else []) + lost


def _sort(thing: Path) -> tuple[str, str]:
    """What to count a thing as, and its name; empty where nobody takes it for an image."""
    suffix = thing.suffix.lower()
    if thing.is_dir():
        count = _images_inside(thing)
        return ("folder with images, to be chosen by itself", f"{thing.name}: {count}") if count else ("", "")
    if suffix in VIDEO_SUFFIXES:
        return "video, to be chosen by itself", thing.name
    if suffix in _UNFINISHED:
        return "unfinished download", thing.name
    kind = kinds.kind_of(thing)
    if kind in (Kind.VIDEO, Kind.GIF) or suffix in _UNREAD_PICTURES:
        return f"{kind.value if kind is not Kind.UNKNOWN else suffix[1:].upper()}, which is not read", thing.name
    return "", ""


def _images_inside(folder: Path) -> int:
    """How many of a folder's first entries are images by their suffix."""
    try:
        entries = [entry for entry, _ in zip(folder.iterdir(), range(LOOKED_AT), strict=False)]
    except OSError:
        return 0
    return sum(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries)


def _suffixes() -> str:
    images, videos = (", ".join(sorted(s[1:] for s in group)) for group in (IMAGE_SUFFIXES, VIDEO_SUFFIXES))
    return f"images: {images}; videos: {videos}"
