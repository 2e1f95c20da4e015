"""What happens to files that a program keeps: damage by chance and edits by hand, for tests and for ``tools/abuse``."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WRONG: list[Any] = [None, -1, "", "x", [], {}, [None], {"a": 1}, True, 1e300, [[]]]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values are in a JSON value; of a long list the first."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*at, 0))


def edits(manifest: Any) -> Iterator[bytes]:
    """The manifest with one value wrong or gone, each as bytes."""
    text = json.dumps(manifest).encode()
    for at in list(places(manifest)):
        made = (json.dumps(_changed(manifest, at, wrong)).encode() for wrong in WRONG)
        yield from (one for one in made if one != text)  # a value that is there already is not wrong
        if at and isinstance(at[-1], str):
            other = json.loads(json.dumps(manifest))
            del _inner(other, at)[at[-1]]
            yield json.dumps(other).encode()
    yield from (b"", b"\0" * 50, b"\xff\xfe", b"[" * 100_000, text[: len(text) // 2], text + b"}")


def _changed(manifest: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    other = json.loads(json.dumps(manifest))
    _inner(other, at)[at[-1]] = value
    return other


def _inner(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at[:-1]:
        value = value[key]
    return value


def damage(path: Path, dice: random.Random) -> str:
    """A bit flipped, cut short, made longer, of zeros, another file, or gone; says which."""
    data = bytearray(path.read_bytes())
    way = dice.choice(("a bit flipped", "cut short", "made longer", "of zeros", "another file", "gone"))
    if way == "a bit flipped" and data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif way == "cut short":
        data = data[: dice.randrange(max(1, len(data)))]
    elif way == "made longer":
        data += b"more"
    elif way == "of zeros":
        data = bytearray(len(data) + 1)
    elif way == "another file":
        data = bytearray(b"\xff\xd8 somebody's photograph")
    else:
        path.unlink()
        return way
    path.write_bytes(data)
    return way
