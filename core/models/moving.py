"""Moving models to another folder or disk, so that nothing is lost at any moment. Standard library only."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from ..errors import BadInput, Cancelled, DA3Error
from ..files import ownership
from . import catalogue as models
from . import folder as model_folder
from . import segmentation_catalogue
from .catalogue import ModelInfo
from .files import AnyModel, Busy, path_of, recognise, refuse_to_wait
from .folder import disk_problem, locked, moving_path, need_space, sync, sync_folder
from .segmentation_catalogue import SegModel

_BLOCK = 4 << 20  # bytes copied at a time


_SYNC = 16 << 20  # bytes between writes to the disk itself: one of the whole file would not hear that it should stop


class Outcome(enum.Enum):
    """What became of a model that was to be moved; the value is the end of a sentence that begins with its label."""

    MOVED = "was moved"
    WAS_THERE = "was there already; the copy in the old folder was removed"
    KEPT_OLD = "was moved; the old file could not be deleted"
    DIFFERENT = "is there already with other contents; both files were kept"
    NOT_WHOLE = "is not a whole file and was left where it is"
    NOT_KNOWN = (
        "was left where it is: no public source states the SHA-256 of that file. If you trust where it came from, move it with "
        "Unknown Networks Too"
    )
    BUSY = "is being downloaded at the moment and was left where it is"


@dataclass(frozen=True)
class Moved:
    """One line of what ``move_models`` did."""

    model: ModelInfo | SegModel
    outcome: Outcome

    def __str__(self) -> str:
        return f"{self.model.label} {self.outcome.value}"


def move_models(
    source: Path,
    target: Path,
    on_progress: Callable[[str, float], None] = lambda _stage, _fraction: None,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    unknown_networks: bool = False,
) -> list[Moved]:
    """Move all models from one folder into another, on the same disk or not.

    At every moment each model's whole file is under its name in at least one of the folders: a copy gets its name only
    after it was read back and found equal, and only then the old file goes. A file of the same name in the target is
    never replaced: if it is equal the old one goes, if not both stay. Other files are not touched.

    Parameters
    ----------
    on_progress : called with the model's label and the fraction of all bytes that is done, 0 to 1
    cancelled : asked after every few megabytes; what was moved stays moved
    unknown_networks : take segmentation networks too that no public source vouches for, and remember their SHA-256

    Raises
    ------
    Cancelled
    BadInput
        A folder cannot be used.
    DA3Error
        Not enough space, or the disk failed.
    """
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise BadInput(f"There is no folder {source} to move models from")
    if source.resolve() == target.resolve():
        raise BadInput(f"The models are in {target} already")
    found = recognise(source)
    everything: tuple[AnyModel, ...] = (*found.models, *found.networks)
    moving = _Moving(source, target, on_progress, cancelled, sum(size_of(source, model) for model in everything))
    broken = [model for model in models.MODELS if model.needs_file and models.path(model, source) in found.broken]
    results = [Moved(model, Outcome.NOT_WHOLE) for model in broken]
    for each in everything:
        try:
            results.append(Moved(each, moving.move(each, unknown_networks)))
        except Busy:
            results.append(Moved(each, Outcome.BUSY))
        except DA3Error as error:
            if isinstance(error, Cancelled):
                raise
            done = sum(result.outcome in (Outcome.MOVED, Outcome.WAS_THERE, Outcome.KEPT_OLD) for result in results)
            raise type(error)(
                f"{error}. {done} of {len(everything)} models were moved, the rest are where they were"
            ) from error
    return results


class _Moving:
    """One call of ``move_models``."""

    def __init__(
        self,
        source: Path,
        target: Path,
        on_progress: Callable[[str, float], None],
        cancelled: Callable[[], bool],
        total: int,
    ):
        self._source, self._target = source, target
        self._on_progress, self._cancelled = on_progress, cancelled
        self._total, self._done = max(total, 1), 0.0

    def move(self, model: AnyModel, unknown_networks: bool = False) -> Outcome:
        self._step(model, 0)
        if isinstance(model, SegModel):
            return self._move_network(model, unknown_networks)
        return self._move_locked(model)

    def _move_network(self, model: SegModel, takes_unknown: bool) -> Outcome:
        """One whose SHA-256 the table does not know goes only where the person takes it all the same; it is remembered then."""
        try:
            found = segmentation_catalogue.sha256_of(path_of(model, self._source), lambda: self._step(model, 0))
            if not takes_unknown and found not in segmentation_catalogue.known_digests(model, self._source):
                return Outcome.NOT_KNOWN
            outcome = self._move_locked(model)
            if found != model.sha256 and outcome is not Outcome.DIFFERENT:
                segmentation_catalogue.remember(model, self._target, found)
        except OSError as error:
            raise disk_problem(error, self._folder_of(error)) from error
        return outcome

    def _move_locked(self, model: AnyModel) -> Outcome:
        size, done = size_of(self._source, model), self._done
        try:
            with contextlib.ExitStack() as stack:
                for folder in sorted((self._source, self._target)):
                    stack.enter_context(locked(folder, model.name, refuse_to_wait))
                return self._move(model)
        except FileNotFoundError as error:
            raise DA3Error(f"{error.filename} went away while it was being moved") from error
        except OSError as error:
            raise disk_problem(error, self._folder_of(error)) from error
        finally:
            self._done = done + size

    def _folder_of(self, error: OSError) -> Path:
        named = Path(error.filename or self._target)
        return self._source if self._source in named.parents and self._target not in named.parents else self._target

    def _move(self, model: AnyModel) -> Outcome:
        old, new = path_of(model, self._source), path_of(model, self._target)
        is_only_a_link = new.is_symlink() and (not new.exists() or new.samefile(old))
        if os.path.lexists(new) and not is_only_a_link:
            if not new.is_file() or not self._equal(model, old, new):
                return Outcome.DIFFERENT
            return Outcome.WAS_THERE if _unlink(old) else Outcome.KEPT_OLD
        # A link is copied: the file it leads to may be somebody else's, and a relative one would lead nowhere.
        if not old.is_symlink() and _renamed(old, new):
            return Outcome.MOVED
        self._copy(model, old, new)
        return Outcome.MOVED if _unlink(old) else Outcome.KEPT_OLD

    def _copy(self, model: AnyModel, old: Path, new: Path) -> None:
        size = old.stat().st_size
        temporary = moving_path(self._target, model.name)
        model_folder.drop_unfinished(temporary)  # of a move that was killed
        need_space(self._target, size, model.label)
        try:
            with old.open("rb") as reading, temporary.open("wb", buffering=0) as writing:
                digest = self._pump(model, reading, writing, 0.5)
                sync(writing.fileno())
                _forget_cached(writing.fileno())
            shutil.copystat(old, temporary)
            with temporary.open("rb") as reading:
                copied = self._pump(model, reading, None, 0.5)
            if copied != digest or temporary.stat().st_size != size:
                raise DA3Error(
                    f"The copy of {model.label} on the disk of {self._target} differs from what was written: check that disk"
                )
            ownership.replace_chosen(temporary, new)
            sync_folder(new.parent)
        except BaseException:
            with contextlib.suppress(OSError):  # the error that is under way says more than this one
                model_folder.drop_unfinished(temporary)
            raise

    def _equal(self, model: AnyModel, old: Path, new: Path) -> bool:
        if old.stat().st_size != new.stat().st_size:
            return False
        with old.open("rb") as first, new.open("rb") as second:
            return self._pump(model, first, None, 0.5) == self._pump(model, second, None, 0.5)

    def _pump(self, model: AnyModel, reading: BinaryIO, writing: FileIO | None, share: float) -> bytes:
        """Read to the end, write it where asked to, and say its SHA-256; ``share`` of a file's progress is this pass."""
        digest = hashlib.sha256()
        unsynced = 0
        while block := reading.read(_BLOCK):
            digest.update(block)
            rest = memoryview(block)
            while writing is not None and rest:  # a disk that gets full takes a part first
                rest = rest[writing.write(rest) :]
            unsynced += len(block)
            if writing is not None and unsynced >= _SYNC:
                sync(writing.fileno())
                unsynced = 0
            self._step(model, len(block) * share)
        return digest.digest()

    def _step(self, model: AnyModel, done: float) -> None:
        if self._cancelled():
            raise Cancelled
        self._done += done
        self._on_progress(model.label, min(self._done / self._total, 1.0))


def _renamed(old: Path, new: Path) -> bool:
    try:
        ownership.move(old, new, over_link=True)
    except OSError:  # another disk, most likely; if it was something else, copying will tell
        return False
    sync_folder(new.parent)
    sync_folder(old.parent)
    return True


def _forget_cached(handle: int) -> None:
    """Let what is read next come from the disk and not from memory, where the system offers that (Linux)."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def size_of(folder: Path, model: AnyModel) -> int:
    return path_of(model, folder).stat().st_size


def _unlink(file: Path) -> bool:
    try:
        ownership.delete_chosen(file)
    except OSError:  # read-only, or open elsewhere on Windows: the caller says that it is still there
        return False
    return True
