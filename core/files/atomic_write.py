"""Small files that are there whole or not at all, and folders that are their owner's alone."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, content: bytes) -> Path:
    """Write a file under a temporary name, then give it its own; raises OSError, and then the old file is as it was."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return path


def make_private(folder: Path) -> Path:
    """Make a folder that only its owner can read, where photographs are kept; those above it that are missing, too.

    One that is there stays as the person has it; raises OSError.
    """
    for missing in reversed([folder, *folder.parents]):
        missing.mkdir(mode=0o700, exist_ok=True)
    return folder
