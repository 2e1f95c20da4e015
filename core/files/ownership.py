"""Whose a file is. The only code that deletes or replaces files and folders, and it does so to what we wrote only.

A folder of ours has a marker, ``.da3-<kind>``: lines of JSON, the first with our format's name, its version and the kind of
folder, each other one a file that was written there, by its name, size, time and SHA-256. A file is ours as long as it is as
that line says. All else in the folder is the person's, also where it has the name of a file of ours. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from .owned_folder import (
    MOST_BESIDE,
    PART,
    Folder,
    NotOurs,
    beside,
    marker_of,
    part_of,
    remove_if_empty,
)
from .windows import long_path

FORMAT, VERSION = "da3-blender-folder", 1


# ----------------------------------------------------------------------------------------------------- folders


def find(path: Path, kind: str) -> Folder | None:
    """A folder that was claimed or shared; None where it has no marker of that kind."""
    marker = marker_of(path, kind)
    try:
        if not stat.S_ISREG(marker.lstat().st_mode):
            return None
        with marker.open("r", encoding="utf-8", errors="surrogateescape") as file:
            about = json.loads(file.readline(1000))
        if about["format"] == FORMAT and about["version"] == VERSION and about["kind"] == kind:
            return Folder(path, kind)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass  # no marker of ours: what lies there is not ours either
    return None


def claim(path: Path, kind: str, inner: Iterable[str] = (), *, private: bool = False) -> Folder:
    """Make a folder ours, or take one that is; one that a person filled is never claimed.

    Parameters
    ----------
    inner : folders in it, made too; they may be no links
    private : what is made can be read by its owner only, as photographs are; what is there stays as the person has it

    Raises
    ------
    NotOurs
        Something else lies there.
    OSError
    """
    found = find(path, kind)
    if found is None:
        if os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
            raise NotOurs(f"'{path}' holds files that DA3 for Blender did not write: choose another folder")
        for missing in reversed([path, *path.parents]):
            missing.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
        found = _mark(path, kind)
    for name in inner:
        if (path / name).is_symlink() or (os.path.lexists(path / name) and not (path / name).is_dir()):
            raise NotOurs(f"'{path / name}' is not a folder that DA3 for Blender made: choose another folder")
        (path / name).mkdir(mode=0o700 if private else 0o777, exist_ok=True)
    return found


def claim_beside(path: Path, kind: str, inner: Iterable[str] = (), *, private: bool = False) -> Folder:
    """``claim``, or where others have the name a folder beside it: ``<name>-2``, ``<name>-3`` and so on."""
    for number in range(1, MOST_BESIDE):
        with contextlib.suppress(NotOurs):
            return claim(path if number == 1 else path.with_name(f"{path.name}-{number}"), kind, inner, private=private)
    raise NotOurs(f"'{path}' and the folders beside it are in use: choose another folder")


def share(path: Path, kind: str) -> Folder:
    """Keep a record of what we write into a person's folder, which stays theirs; raises OSError."""
    return find(path, kind) or _mark(path, kind)


def adopt(path: Path, kind: str) -> None:
    """Mark a folder that is known for ours by other signs, since a version before this one made it."""
    if find(path, kind) is None:
        _mark(path, kind)


def remove(path: Path, kind: str) -> bool:
    """Delete a folder in which all is ours, such as an environment; False where it is not marked so. Follows no link."""
    if path.is_symlink() or find(path, kind) is None:
        return False
    marker = marker_of(path, kind)
    for inner in path.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(long_path(inner), ignore_errors=True)
        elif inner != marker:
            with contextlib.suppress(OSError):  # open elsewhere on Windows
                inner.unlink()
    if not any(inner != marker for inner in path.iterdir()):  # else the marker stays: the next one goes on here
        marker.unlink()
        remove_if_empty(path)
    return True


def remove_inside(path: Path, kind: str, name: str) -> bool:
    """Delete one folder in a folder in which all is ours; False where that one is not marked so. Follows no link."""
    if path.is_symlink() or (path / name).is_symlink() or Path(name).name != name or find(path, kind) is None:
        return False
    shutil.rmtree(long_path(path / name), ignore_errors=True)
    return True


# ------------------------------------------------------------------------------------------------- single files


def drop_part(part: Path) -> None:
    """Delete what has a name that ``part_of`` gave."""
    assert part.name.endswith(PART), part
    part.unlink(missing_ok=True)


def put(part: Path, path: Path, is_ours: Callable[[Path], bool]) -> Path:
    """Give a whole file its name, or, where another's has that one, a name beside it; which one. Raises OSError.

    Parameters
    ----------
    is_ours : whether what lies there may go, since we wrote it
    """
    free = path.parent / beside(path.name, lambda name: _may_go(path.parent / name, is_ours))
    part.replace(free)
    return free


def move(old: Path, new: Path, *, over_link: bool = False) -> None:
    """Rename a file or folder of ours to a name that nobody has, or, with ``over_link``, only a link.

    Raises
    ------
    FileExistsError
    OSError
    """
    if os.path.lexists(new) and not (over_link and new.is_symlink()):
        raise FileExistsError(f"'{new}' is there already")
    old.rename(new)


def set_aside(file: Path, ending: str) -> Path:
    """Rename a file that the person pointed at: ``ending`` behind its name, a number too where that is taken; its new name.

    Raises
    ------
    OSError
    """
    name = beside(file.name + ending, lambda free: not os.path.lexists(file.parent / free))
    move(file, file.parent / name)
    return file.parent / name


def delete_chosen(file: Path) -> None:
    """Delete one file that is ours by its place and name, as a model that the person asked to remove; raises OSError."""
    if not (file.is_symlink() or stat.S_ISREG(file.lstat().st_mode)):
        raise NotOurs(f"'{file}' is not a file that DA3 for Blender wrote")
    file.unlink()


def replace_chosen(part: Path, file: Path) -> None:
    """Give a whole file the name of one that is ours by its place and name, as a model in its folder; raises OSError."""
    if os.path.lexists(file) and not (file.is_symlink() or stat.S_ISREG(file.lstat().st_mode)):
        raise NotOurs(f"'{file}' is not a file that DA3 for Blender wrote")
    part.replace(file)


def write_chosen(file: Path, content: bytes) -> None:
    """Write a file that the person named, whole; raises OSError, and then the old one is as it was."""
    part = part_of(file)
    try:
        part.write_bytes(content)
        replace_chosen(part, file)
    except BaseException:
        with contextlib.suppress(OSError):  # it went with its folder
            drop_part(part)
        raise


def delete_empty(file: Path) -> None:
    """Delete an empty file, as one that only served as a lock; one with content stays. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        about = file.lstat()
        if stat.S_ISREG(about.st_mode) and about.st_size == 0:
            file.unlink()


def _may_go(path: Path, is_ours: Callable[[Path], bool]) -> bool:
    return not os.path.lexists(path) or (not path.is_symlink() and path.is_file() and is_ours(path))


def _mark(path: Path, kind: str) -> Folder:
    line = json.dumps({"format": FORMAT, "version": VERSION, "kind": kind})
    # Where it is there, another process was quicker, or it is a person's: then it cannot be read.
    with contextlib.suppress(FileExistsError), marker_of(path, kind).open("x", encoding="utf-8", newline="\n") as file:
        file.write(line + "\n")
    found = find(path, kind)
    if found is None:
        raise NotOurs(f"'{marker_of(path, kind)}' is not a file that DA3 for Blender wrote: choose another folder")
    return found
