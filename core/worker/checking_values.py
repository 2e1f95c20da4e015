"""Single values that a worker says: whether they are what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from . import protocol

LONGEST_TEXT = 4096  # characters of a sentence that is shown; a sentence may name a path


MOST = (1 << 31) - 1  # Blender counts in int32


MOST_BYTES = 1 << 60


LONGEST = 1e8  # seconds, three years: nothing takes longer


def plain(text: str) -> str:
    """One line that can be shown: no control characters, no half of a pair of UTF-16, not endless."""
    text = " ".join(text.split()) if len(text) <= LONGEST_TEXT else " ".join(text[:LONGEST_TEXT].split()) + " ..."
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def whole(value: Any, low: int, high: int, what: str) -> int:
    """The value, where it is an integer between the two; else raises ProtocolError."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        wrong(what, value)
    return value


def number(value: Any, low: float, high: float, what: str) -> float:
    """The value, where it is a number between the two; else raises ProtocolError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        wrong(what, value)
    return value


def text(value: Any, what: str) -> str:
    """The value, where it is a text that the system takes as a name; else raises ProtocolError."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        wrong(what, value)
    return value


def wrong(what: str, value: Any) -> NoReturn:
    raise protocol.ProtocolError(f"{what} is {plain(repr(value)[:60])}")


def check_matrix(values: Sequence[Any], what: str) -> None:
    """16 numbers row by row: a similarity, or a camera's pose; raises ProtocolError."""
    if not isinstance(values, list | tuple) or len(values) != 16:
        wrong(what, values)
    m = [number(value, -1e15, 1e15, what) for value in values]
    volume = (
        m[0] * (m[5] * m[10] - m[6] * m[9]) - m[1] * (m[4] * m[10] - m[6] * m[8]) + m[2] * (m[4] * m[9] - m[5] * m[8])
    )
    if m[12:] != [0, 0, 0, 1] or not volume > 1e-30:  # flat, mirrored or projective: no place for a thing
        wrong(what, values)


def _rows(move: Any) -> list[list[Any]]:
    if not isinstance(move, list) or len(move) != 4 or not all(isinstance(row, list) and len(row) == 4 for row in move):
        wrong("a move", move)
    return move
