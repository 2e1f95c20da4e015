"""What is known of the pictures: ``docs/images/made.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import making
import paths

FOLDER = paths.ROOT / "docs" / "images"
MADE = FOLDER / "made.json"


def outdated() -> list[str]:
    """The pictures that are not there, not as they were made, or made from something else than is there now."""
    known = read()
    return [name for name in making.PICTURES if known.get(name) != about(name)]


def note(name: str) -> None:
    """Write down a picture as it is now."""
    known = {**read(), name: about(name)}
    order = [known_name for known_name in making.PICTURES if known_name in known]
    MADE.write_text(json.dumps({name: known[name] for name in order}, indent=2) + "\n", "utf-8")


def read() -> dict[str, dict[str, int | str]]:
    return json.loads(MADE.read_text("utf-8")) if MADE.exists() else {}


def about(name: str) -> dict[str, int | str]:
    """A picture's bytes and digest, and the digest of what it is made from."""
    data = (FOLDER / name).read_bytes() if (FOLDER / name).exists() else b""
    return {
        "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "made_from": digest(making.PICTURES[name].shows)
    }  # fmt: skip


def digest(patterns: Iterable[str]) -> str:
    """SHA-256 over names and contents of the files that the patterns name in the checkout; each must name some."""
    whole = hashlib.sha256()
    for pattern in patterns:
        files = sorted(path for path in paths.ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts)
        if not files:
            raise ValueError(f"'{pattern}' names no file")
        for file in files:
            whole.update(f"{file.relative_to(paths.ROOT).as_posix()}\0".encode())
            whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
