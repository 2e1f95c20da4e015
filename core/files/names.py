"""Names from the file system as a person, Blender and a file of UTF-8 can have them. Standard library only."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST_FILE_NAME = 255  # bytes, on every common file system; some have less
MOST_NAMES = 5  # in one sentence
NUMBERED = re.compile(r"(.*?)(\d{1,7})")
ROOM_FOR_TEMPORARY = 40  # bytes that a temporary name adds to a file's own


def readable(text: str) -> str:
    """The text in Unicode proper: a name that is not UTF-8 is taken for Latin-1, as old cameras and archives write it.

    Python keeps such bytes as lone surrogates, which neither Blender's texts nor a file of UTF-8 can hold.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(_character(c) for c in text)
    return text


def readable_values(value: Any) -> Any:
    """Plain values (dicts, lists, texts, numbers) with every text in them ``readable``."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable_values(key): readable_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [readable_values(one) for one in value]
    return value


def cut(text: str, room: int) -> str:
    """The beginning of a text that takes at most ``room`` bytes, cut between two characters."""
    text = text[: max(0, room)]
    while len(os.fsencode(text)) > room:
        text = text[:-1]
    return text


def file_name(before: str, stem: str, after: str, folder: Path | None = None) -> str:
    """``before + stem + after`` as a name that ``folder`` can hold, also under a temporary one; ``stem`` gives way."""
    longest = LONGEST_FILE_NAME
    if folder is not None and hasattr(os, "pathconf"):
        try:
            longest = min(longest, os.pathconf(folder, "PC_NAME_MAX"))
        except (OSError, ValueError):
            longest = LONGEST_FILE_NAME  # it does not say
    room = longest - ROOM_FOR_TEMPORARY - len(os.fsencode(before + after))
    return before + cut(stem, room) + after


def _character(c: str) -> str:
    if not 0xD800 <= ord(c) <= 0xDFFF:
        return c
    return chr(ord(c) - 0xDC00) if 0xDC80 <= ord(c) <= 0xDCFF else "\N{REPLACEMENT CHARACTER}"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def sequence_numbers(stems: Sequence[str]) -> list[int] | None:
    """The number at the end of each name, where all have one behind the same beginning and it grows from name to name."""
    matches = [NUMBERED.fullmatch(stem) for stem in stems]
    found = [match for match in matches if match]
    if len(found) < 2 or len(found) < len(stems) or len({match.group(1) for match in found}) > 1:
        return None
    numbers = [int(match.group(2)) for match in found]
    rising = all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
    return numbers if rising else None
