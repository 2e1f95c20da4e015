"""The private folder of one worker, in the system's temporary folder. Standard library only: both sides use it.

lock            held by its Blender as long as that lives; the system lets go of it however Blender ends
MARKER          says that the folder is one of these; without it nothing is ever removed
worker.log      what the worker and its libraries print
temp            the worker's own temporary folder, so that nothing it leaves behind is elsewhere
job<n>          arrays of a job
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from ..errors import DA3Error
from ..files.file_lock import file_lock, is_held

PREFIX = "da3_blender-"
MARKER = "da3_blender.private"
CONTENT = "private folder of a DA3 worker, version 1\n"
LOCK = "lock"
TEMP = "temp"


class PrivateFolder:
    """A new one (0700), locked.

    Raises
    ------
    DA3Error
        The temporary folder cannot be written to.
    """

    def __init__(self) -> None:
        self._lock = contextlib.ExitStack()
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            with contextlib.suppress(OSError):  # a file system without locks: nobody else removes it then
                self._lock.enter_context(file_lock(self.path / LOCK))
            (self.path / TEMP).mkdir(mode=0o700)
            (self.path / MARKER).write_text(CONTENT, "ascii")  # last: one that others see without it is not locked yet
        except OSError as error:
            raise DA3Error(
                f"No private folder can be made in '{tempfile.gettempdir()}' ({error.strerror or error}): free some space "
                "there, or set TMPDIR to another folder"
            ) from error

    def close(self) -> None:
        """Remove it."""
        self._lock.close()  # first: Windows removes no file that is open
        remove(self.path)


def remove(folder: Path) -> None:
    """Delete a private folder, as far as that is possible; any other is left alone."""
    if not is_private(folder):
        return
    for child in folder.iterdir():  # the marker at last: what is broken off half-way is still known as ours
        if child.name in (MARKER, LOCK):
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # in use on Windows; the next Blender tries again
                child.unlink()
    if {child.name for child in folder.iterdir()} <= {MARKER, LOCK}:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove those of Blenders that were killed before they could: this user's, marked as ours, and locked by nobody.

    A process number would say nothing: in a container with a temporary folder of its host's, every Blender may be 7.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else was quicker, or its file system knows no locks
            if is_private(folder) and not is_held(folder / LOCK):
                remove(folder)


def is_private(folder: Path) -> bool:
    """Whether it is a real folder of this user's that carries our marker."""
    try:
        about = folder.lstat()
        own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        marker = folder / MARKER
        return own and stat.S_ISDIR(about.st_mode) and stat.S_ISREG(marker.lstat().st_mode) and _says(marker)
    except OSError:
        return False


def _says(marker: Path) -> bool:
    return marker.read_bytes()[: len(CONTENT)] == CONTENT.encode("ascii")
