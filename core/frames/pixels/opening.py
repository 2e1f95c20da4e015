"""Opening a file that somebody else may have put something else in the place of. Standard library only: Blender's side asks too."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


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
