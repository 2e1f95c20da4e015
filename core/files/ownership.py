"""Whose a file is. The only code that deletes or replaces files and folders, and it does so to what we wrote only.

A folder of ours has a marker, ``.da3-<kind>``: lines of JSON, the first with our format's name, its version and the kind of
folder, each other one a file that was written there, by its name, size, time and SHA-256. A file is ours as long as it is as
that line says. All else in the folder is the person's, also where it has the name of a file of ours. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput

FORMAT, VERSION = "da3-blender-folder", 1
PART = ".da3-part"  # ends the name of what is not whole yet; the rest of it is random, so that no two runs share one
MOST_BESIDE = 1000  # names that are tried where others have the first


class NotOurs(BadInput):
    """A folder or file is a person's: nothing was done to it."""


@dataclass(frozen=True)
class _Record:
    """A file as it was written."""

    size: int
    time: int  # ns
    sha256: str


class Folder:
    """A folder that we write into, and the record of what we wrote there; made by ``claim``, ``share`` or ``find``."""

    def __init__(self, path: Path, kind: str):
        self.path, self.kind = path, kind
        self._records: dict[str, list[_Record]] = {}
        self._torn = False  # the marker's last line has no end: its writer was killed
        self._load()

    @property
    def names(self) -> list[str]:
        """Of all files that were ever written here, relative to the folder."""
        return list(self._records)

    def owns(self, name: str) -> bool:
        """Whether the file of that name is as we wrote it once."""
        return self._find(name, quick=True) is not None

    def read(self, name: str) -> bytes | None:
        """A file's content, where every byte of it is as we wrote it; None where it is not, or not there."""
        records = self._records.get(name, ())
        if not records or not _is_plain(self.path, name):
            return None
        try:
            data = (self.path / name).read_bytes()
        except OSError:
            return None
        sha256 = hashlib.sha256(data).hexdigest()
        return data if any(record.sha256 == sha256 for record in records) else None

    def write(self, name: str, data: bytes, *, sync: bool = False) -> str:
        """Write a file whole; the old one is as it was should that fail.

        Parameters
        ----------
        name : relative to the folder, with ``/``
        sync : have it on the disk itself

        Returns
        -------
        its name: another one beside it where a file of that name is not ours

        Raises
        ------
        OSError
        """
        name = _beside(name, lambda one: not os.path.lexists(self.path / one) or self.owns(one))
        path = self.path / name
        temporary = part_of(path)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            about = temporary.stat()
            record = _Record(about.st_size, about.st_mtime_ns, hashlib.sha256(data).hexdigest())
            self._append({"name": name, "size": record.size, "time": record.time, "sha256": record.sha256}, sync)
            self._records.setdefault(name, []).append(record)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # what is under way says more than this
                temporary.unlink(missing_ok=True)
            raise
        return name

    def remove(self, names: Iterable[str]) -> list[str]:
        """Delete the files of these names that are ours; the names of those that were left, since they are not."""
        left = []
        for name in names:
            if not os.path.lexists(self.path / name):
                continue
            if self.owns(name):
                (self.path / name).unlink(missing_ok=True)
            else:
                left.append(name)
        return left

    def clear(self) -> None:
        """Delete all that we wrote here, then the folders that are empty by it. What a person put there stays."""
        with contextlib.suppress(OSError):  # read-only, or gone already
            self.remove(self.names)
            inner = {parent for name in self.names for parent in Path(name).parents if parent.name}
            for parent in sorted(inner, key=lambda one: len(one.parts), reverse=True):
                remove_if_empty(self.path / parent)
            for half in self.path.rglob(f".*{PART}"):  # of a writer that was killed: the name is one that only we give
                half.unlink()
            _marker(self.path, self.kind).unlink(missing_ok=True)
            remove_if_empty(self.path)

    def _find(self, name: str, *, quick: bool) -> _Record | None:
        """The record that a file is by."""
        records = self._records.get(name, ())
        if not records or not _is_plain(self.path, name):
            return None
        about = (self.path / name).stat()
        alike = [record for record in records if record.size == about.st_size]
        same = next((record for record in alike if quick and record.time == about.st_mtime_ns), None)
        if same is not None or not alike:
            return same
        with (self.path / name).open("rb") as file:  # copied, or touched
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        return next((record for record in alike if record.sha256 == digest.hexdigest()), None)

    def _append(self, line: dict[str, object], sync: bool) -> None:
        """One write, at the end: two processes may share a folder."""
        text = ("\n" if self._torn else "") + json.dumps(line) + "\n"
        handle = os.open(_marker(self.path, self.kind), os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape"))
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        self._torn = False

    def _load(self) -> None:
        text = _marker(self.path, self.kind).read_text("utf-8", "surrogateescape")
        self._torn = not text.endswith("\n")
        for line in text.splitlines()[1:]:
            with contextlib.suppress(
                ValueError, TypeError, KeyError, RecursionError
            ):  # a line without its end, of a writer killed
                about = json.loads(line)
                name, record = about["name"], _Record(about["size"], about["time"], about["sha256"])
                if isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts:
                    self._records.setdefault(name, []).append(record)


# ----------------------------------------------------------------------------------------------------- folders


def find(path: Path, kind: str) -> Folder | None:
    """A folder that was claimed or shared; None where it has no marker of that kind."""
    marker = _marker(path, kind)
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
    marker = _marker(path, kind)
    for inner in path.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner, ignore_errors=True)
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
    shutil.rmtree(path / name, ignore_errors=True)
    return True


# ------------------------------------------------------------------------------------------------- single files


def part_of(path: Path) -> Path:
    """A name beside a file for what becomes that file: nobody else's, not even another run's."""
    return path.with_name(f".{secrets.token_hex(8)}{PART}")


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
    free = path.parent / _beside(path.name, lambda name: _may_go(path.parent / name, is_ours))
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


def _beside(name: str, is_free: Callable[[str], bool]) -> str:
    path = Path(name)
    for number in range(1, MOST_BESIDE):
        one = name if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        if is_free(one):
            return one
    raise FileExistsError(f"'{name}' and the names beside it are taken")


def _marker(path: Path, kind: str) -> Path:
    return path / f".da3-{kind}"


def _mark(path: Path, kind: str) -> Folder:
    line = json.dumps({"format": FORMAT, "version": VERSION, "kind": kind})
    # Where it is there, another process was quicker, or it is a person's: then it cannot be read.
    with contextlib.suppress(FileExistsError), _marker(path, kind).open("x", encoding="utf-8", newline="\n") as file:
        file.write(line + "\n")
    found = find(path, kind)
    if found is None:
        raise NotOurs(f"'{_marker(path, kind)}' is not a file that DA3 for Blender wrote: choose another folder")
    return found


def _is_plain(folder: Path, name: str) -> bool:
    """Whether it is a file, and no link leads to it from below the folder."""
    path = folder
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink():
            return False
    return path.is_file()


def remove_if_empty(path: Path) -> None:
    """Delete a folder with nothing in it, if the system lets us; a link stays."""
    with contextlib.suppress(OSError):  # not empty: not only ours
        if not path.is_symlink():
            path.rmdir()
