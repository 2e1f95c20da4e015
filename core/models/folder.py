"""The ground rules of a model folder: its hidden sub-folder, its locks, what a whole file is, what a full disk means.

Standard library only: Blender's Python moves and removes models, the worker's downloads them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import BadInput, DA3Error
from ..files import ownership
from ..files.file_lock import file_lock

#: Unfinished files and locks live in here, under names that no model has; gone when it is empty.
HIDDEN = ".downloads"

_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
_HALF = re.compile(r"\.[0-9A-Za-z_-]+\.part")  # what ``partial_path`` adds to a model's name
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def partial_path(folder: Path, name: str, sha256: str) -> Path:
    """Where the part of a model that has arrived is kept; each revision has a file of its own."""
    return Path(folder) / HIDDEN / f"{name}.{sha256}.part"


def moving_path(folder: Path, name: str) -> Path:
    """Where a model is copied to before it gets its name."""
    return Path(folder) / HIDDEN / f"{name}.moving"


def unfinished(folder: Path, name: str) -> list[Path]:
    """The files that an interrupted download or move of a model has left."""
    hidden = Path(folder) / HIDDEN
    halves = (file for file in hidden.glob(f"{name}.*.part") if _HALF.fullmatch(file.name.removeprefix(name)))
    return [file for file in (*halves, hidden / f"{name}.moving") if file.is_file() and not file.is_symlink()]


def drop_unfinished(file: Path) -> None:
    """Delete what an interrupted download or move has left, if it is there; raises OSError."""
    assert file.parent.name == HIDDEN, file
    with contextlib.suppress(FileNotFoundError):
        ownership.delete_chosen(file)


def partial_bytes(folder: Path, name: str) -> int:
    """How much of an interrupted download of a model is there to go on from."""
    return max((file.stat().st_size for file in unfinished(folder, name) if file.suffix == ".part"), default=0)


def is_whole(file: Path) -> bool:
    """Whether this is a safetensors file with all of its bytes. Reads its header only.

    The format (github.com/huggingface/safetensors): eight bytes with the header's length, little-endian, the header as
    JSON with each tensor's ``data_offsets`` behind it, and as many bytes as the largest of these says.
    """
    try:
        with Path(file).open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            size = os.fstat(stream.fileno()).st_size
            if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
                return False
            header = json.loads(stream.read(length))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        return bool(ends) and size == 8 + length + max(ends)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False  # unreadable, or not in the format


@contextlib.contextmanager
def locked(folder: Path, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Be the only process that changes a model's files in a folder.

    Parameters
    ----------
    folder : made if missing
    on_wait : called about ten times a second while another process has the lock; may raise to give up

    Raises
    ------
    OSError
        The folder cannot be made or written to.
    """
    path = Path(folder) / HIDDEN / f"{name}.lock"
    try:
        with contextlib.ExitStack() as held:
            _lock(held, path, on_wait)
            try:
                yield
            finally:
                if sys.platform != "win32":
                    ownership.delete_empty(path)  # while it is held: whoever waits for it sees that and makes a new one
    finally:
        if sys.platform == "win32":
            with contextlib.suppress(OSError):  # refused while another process waits for it; that one removes it
                ownership.delete_empty(path)
        ownership.remove_if_empty(path.parent)  # else something unfinished is in there


def _lock(held: contextlib.ExitStack, path: Path, on_wait: Callable[[], None]) -> None:
    """Enter the lock of the file that has that name, not of one that was removed while waiting for it."""
    for attempt in range(100):
        with contextlib.ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # As long as this handle is open no other file can get the same number.
                mark = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                stack.callback(os.close, mark)
                stack.enter_context(file_lock(path, on_wait))
                if sys.platform == "win32" or os.path.samestat(os.fstat(mark), path.stat()):
                    held.enter_context(stack.pop_all())
                    return
            except FileNotFoundError:  # the one before has just cleaned up
                if attempt == 99:
                    raise


def need_space(folder: Path, needed: int, what: str) -> None:
    """Look whether there is room before a long write.

    Raises
    ------
    DA3Error
        With the bytes needed and free in the sentence.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DA3Error(
            f"Not enough space for {what}: {size_text(needed)} needed, {size_text(free)} free on the disk of {folder}. "
            "Free some space or choose another model folder in the preferences"
        )


def disk_problem(error: OSError, folder: Path) -> DA3Error:
    """What the system said about a file in the folder, for a person."""
    if error.errno in _FULL:
        return DA3Error(f"The disk of {folder} is full: free some space and start again; what was done so far is kept")
    reason = error.strerror or str(error)
    if error.errno in _FORBIDDEN:
        return BadInput(f"The model folder {folder} cannot be used ({reason}): choose another in the preferences")
    return DA3Error(f"The model folder {folder} has a problem ({reason}): check its disk")


def sync(handle: int) -> None:
    """Have what was written to an open file on the disk itself."""
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk itself, where the system knows that (not Windows)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot
            os.fsync(handle)
    finally:
        os.close(handle)


def size_text(size: float) -> str:
    """Bytes as the hub's own pages write them (1 GB = 10^9)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:.{1 if unit == 'GB' else 0}f} {unit}"
    return f"{size:.0f} bytes"
