"""Keeps a run while it goes on, and makes room for it: the oldest runs go."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import ownership
from ..files.file_lock import file_lock
from ..prediction.batch import Batch
from ..settings import Settings
from .kept_runs import KIND, LOCK, VERSION, KeptRun, read_manifest
from .payload import CameraRecord


class KeptWriter:
    """Keeps a run while it goes on. What goes wrong ends the keeping, not the run: ``failures`` say so, and ``warnings``
    where it is only a limit that was set.

    Parameters
    ----------
    root : folder of all kept runs; None keeps nothing
    limit : bytes that all of them may take
    name, frame_rate : of the input
    settings : of the run
    """

    def __init__(self, root: Path | None, limit: int, name: str, frame_rate: float | None, settings: Settings):
        self.warnings: list[str] = []
        self.failures: list[str] = []
        self.run: KeptRun | None = None
        self._limit, self._used = limit, 0
        self._lock = contextlib.ExitStack()
        if root is None:
            return
        manifest = {
            "version": VERSION, "name": name, "frame_rate": frame_rate, "settings": settings.to_json(), "batches": [],
        }  # fmt: skip
        try:
            folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
            own = ownership.claim(folder, KIND, private=True)
            own.write(LOCK, b"")
            self._lock.enter_context(file_lock(folder / LOCK))
            self.run = KeptRun(own, manifest)
            self.run.save()
            _sweep(root, limit, folder)
        except (OSError, ownership.NotOurs) as error:
            self._give_up(getattr(error, "strerror", None) or str(error))

    def add(self, batch: Batch, records: Sequence[CameraRecord]) -> None:
        """Keep a batch as it was sent."""
        if self.run is None:
            return
        try:
            self._used += self.run.add(batch, records)
            if self._used > self._limit:
                reason = f"it takes more than the {self._limit / 1e9:.1f} GB that kept runs may take"
                self._give_up(reason, self.warnings)
        except (OSError, ValueError) as error:  # the latter from a zip file that cannot be closed any more
            self._give_up(getattr(error, "strerror", None) or str(error))

    def finish(self, moves: Sequence[Any] = ()) -> KeptRun | None:
        """The run as it is kept; None where it is not. ``moves``: (4, 4) for each batch, see ``KeptRun.batches``."""
        if self.run is None:
            return None
        try:
            self.run.about["moves"] = [np.asarray(move).tolist() for move in moves]
            self.run.about["done"] = True
            self.run.save()
            self._lock.close()
            _sweep(self.run.folder.parent, self._limit, self.run.folder)
        except (OSError, ownership.NotOurs) as error:
            self._give_up(getattr(error, "strerror", None) or str(error))
        return self.run

    def discard(self) -> None:
        """Take away what was kept of a run that did not come to its end."""
        self._lock.close()
        if self.run is not None and not self.run.about.get("done"):
            self.run.own.clear()
            self.run = None

    def _give_up(self, reason: str, told: list[str] | None = None) -> None:
        (self.failures if told is None else told).append(f"The run could not be kept for Rebuild and Fuse ({reason})")
        if self.run is not None:
            self.run.about["done"] = False
        self.discard()
        self.run = None


def _sweep(root: Path, limit: int, spare: Path) -> None:
    """Take away runs that were left without an end, and the oldest until all fit into the limit; never ``spare``."""
    used = _size(spare)
    found = (ownership.find(f, KIND) for f in root.iterdir() if f != spare and not f.is_symlink())
    for run in sorted((run for run in found if run is not None), key=lambda run: _changed(run.path), reverse=True):
        if not read_manifest(run).get("done"):
            if _is_abandoned(run.path):
                run.clear()
        elif used + _size(run.path) > limit:
            run.clear()
        else:
            used += _size(run.path)


class _Busy(Exception):
    """Somebody holds a lock."""


def _is_abandoned(folder: Path) -> bool:
    """Whether nobody writes the run any more: its process has ended, however that was."""

    def give_up() -> None:
        raise _Busy

    try:
        with file_lock(folder / LOCK, give_up):
            return True
    except (_Busy, OSError):  # or a file system without locks: then it stays until the person clears the folder
        return False


def _changed(folder: Path) -> float:
    try:
        return max((file.stat().st_mtime for file in folder.iterdir()), default=folder.stat().st_mtime)
    except OSError:  # going away at this moment
        return 0.0


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0
