"""The private folder of one worker, in the system's temporary folder. Standard library only: both sides use it.

lock            held by its Blender as long as that lives; the system lets go of it however Blender ends
.da3-session    the marker of ``files.ownership``; without it nothing is ever removed
worker.log      what the worker and its libraries print
temp            the worker's own temporary folder, so that nothing it leaves behind is elsewhere
job<n>          arrays of a job
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from ...errors import DA3Error
from ...files import ownership
from ...files.file_lock import file_lock, is_held
from ...files.owned_folder import remove_if_empty

PREFIX = "da3_blender-"
KIND = "session"  # of folder, for ``ownership``
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
            ownership.adopt(self.path, KIND)  # last: one that others see without its marker is not locked yet
        except OSError as error:
            raise DA3Error(
                f"No private folder can be made in '{tempfile.gettempdir()}' ({error.strerror or error}): free some space "
                "there, or set TMPDIR to another folder"
            ) from error

    def close(self) -> None:
        """Remove it."""
        self._lock.close()  # first: Windows removes no file that is open
        remove(self.path)
        remove_if_empty(self.path)  # a worker that was killed as it deleted may have left it without its marker


def remove(folder: Path) -> None:
    """Delete a private folder, as far as that is possible; any other is left alone."""
    if is_private(folder):
        ownership.remove(folder, KIND)


def remove_job(folder: Path, job: int) -> None:
    """Delete a job's arrays."""
    ownership.remove_inside(folder, KIND, f"job{job}")


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
        return own and stat.S_ISDIR(about.st_mode) and ownership.find(folder, KIND) is not None
    except OSError:
        return False
