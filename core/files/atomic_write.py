"""Small files that are there whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path


def write(path: Path, content: bytes) -> Path:
    """Write a file under a temporary name, then give it its own; raises OSError, and then the old file is as it was."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # it went with its folder
            temporary.unlink()
        raise
    return path
