"""A folder of ours and the record of what we wrote there; ``ownership`` says which folders are. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput

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

    def read(self, name: str, *, quick: bool = False) -> bytes | None:
        """A file's content, where every byte of it is as we wrote it; None where it is not, or not there.

        ``quick``: one whose size and time are those that were noted is believed, as is right for what this process wrote or has
        read before.
        """
        records = self._records.get(name, ())
        if not records or not is_plain(self.path, name):
            return None
        try:
            with (self.path / name).open("rb") as file:
                about, data = os.fstat(file.fileno()), file.read()
        except OSError:
            return None
        if quick and any((one.size, one.time) == (len(data), about.st_mtime_ns) for one in records):
            return data
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
        name = beside(name, lambda one: not os.path.lexists(self.path / one) or self.owns(one))
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
            marker_of(self.path, self.kind).unlink(missing_ok=True)
            remove_if_empty(self.path)

    def _find(self, name: str, *, quick: bool) -> _Record | None:
        """The record that a file is by."""
        records = self._records.get(name, ())
        if not records or not is_plain(self.path, name):
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
        handle = os.open(marker_of(self.path, self.kind), os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape"))
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        self._torn = False

    def _load(self) -> None:
        text = marker_of(self.path, self.kind).read_text("utf-8", "surrogateescape")
        self._torn = not text.endswith("\n")
        for line in text.splitlines()[1:]:
            with contextlib.suppress(
                ValueError, TypeError, KeyError, RecursionError
            ):  # a line without its end, of a writer killed
                about = json.loads(line)
                name, record = about["name"], _Record(about["size"], about["time"], about["sha256"])
                if isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts:
                    self._records.setdefault(name, []).append(record)


def part_of(path: Path) -> Path:
    """A name beside a file for what becomes that file: nobody else's, not even another run's."""
    return path.with_name(f".{secrets.token_hex(8)}{PART}")


def beside(name: str, is_free: Callable[[str], bool]) -> str:
    path = Path(name)
    for number in range(1, MOST_BESIDE):
        one = name if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        if is_free(one):
            return one
    raise FileExistsError(f"'{name}' and the names beside it are taken")


def marker_of(path: Path, kind: str) -> Path:
    return path / f".da3-{kind}"


def is_plain(folder: Path, name: str) -> bool:
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
