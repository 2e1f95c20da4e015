"""One process at a time. Standard library only, Python 3.9 and later: the tools' first step uses it too."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextlib.contextmanager
def file_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of that file; the system lets go of it even when the process is killed.

    Parameters
    ----------
    path : made if missing; stays behind, empty
    on_wait : called about ten times a second while another process holds the lock; may raise to give up

    Raises
    ------
    OSError
        The file cannot be written, or its file system knows no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not _take(handle):
            on_wait()
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)  # lets go of the lock


class _Held(Exception):
    """Somebody holds a lock."""


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of that file at this moment; raises OSError as ``file_lock`` does."""

    def give_up() -> None:
        raise _Held

    try:
        with file_lock(path, give_up):
            return False
    except _Held:
        return True


def _take(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if sys.platform != "win32" and not isinstance(error, BlockingIOError):
            raise  # a file system without locks: waiting would never end
        return False  # held by another
    return True
