"""Downloads models, so that only a whole and checked file ever gets a model's name: from the Hugging Face hub, or from
whatever else can be a ``Source``.

Runs where ``huggingface_hub`` is installed, which is the worker's environment; importing it needs nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from ..errors import Cancelled, DA3Error, MissingEnvironment
from ..files import ownership
from ..files.silence import PATIENCE, Silence
from . import folder as model_folder
from .source import Source, Wanted
from .transfer import Background, Ended, Progress, RemoteFile, Reporter, Transient

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new try; counted from the last byte that came
_NETWORK_WAITS = 1  # of these, where the hub was never reached: no network is better said soon
_TICK = 0.1  # seconds between looks whether to stop
# Seconds without a word after which a connection counts as broken. Requests have time-outs of their own, which come first;
# looking for a host has none. The first word also waits for huggingface_hub, which a cold disk brings slowly.
_SILENT = {"connecting": 60.0, "downloading": PATIENCE}
_BLOCK = 1 << 20  # bytes read at a time while checking
_SYNC = 32 << 20  # bytes between writes to the disk itself: one of the whole file would not hear that it should stop

Item = TypeVar("Item")


def _silent(_progress: Progress) -> None:
    """Progress that nobody asked for."""


def bring(
    what: Wanted,
    open_source: Callable[[], Source],
    on_progress: Callable[[Progress], None] = _silent,
    cancelled: Callable[[], bool] = lambda: False,
    waits: Sequence[float] = WAITS,
) -> Path:
    """``download`` for any source; ``open_source`` is called on a thread, before every try."""
    final = what.final
    if what.is_whole(final):
        return final
    job = _Download(what, open_source, on_progress, cancelled)
    try:
        with model_folder.locked(final.parent, what.name, job.wait_for_another):
            return job.run(waits)
    except ConnectionError:  # of whoever is told the progress
        raise
    except OSError as error:
        raise model_folder.disk_problem(error, final.parent) from error
    finally:
        job.close()


class _Download:
    """One call of ``bring``: the partial file, what is known of it, and the person who waits."""

    def __init__(
        self,
        what: Wanted,
        open_source: Callable[[], Source],
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ):
        self._what, self._final = what, what.final
        self._open_source = open_source
        self._cancelled = cancelled
        self._report = Reporter(on_progress)
        self._remote: RemoteFile | None = None
        self._path: Path | None = None  # of the partial file
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._done = 0  # bytes in the partial file, all of them in the hash

    def wait_for_another(self) -> None:
        self._check()
        self._report("waiting", note="another process is downloading or moving this model")

    def run(self, waits: Sequence[float]) -> Path:
        if self._what.is_whole(self._final):  # brought by the process that was waited for
            return self._final
        self._fetch(waits)
        return self._finish()

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    # ----------------------------------------------------------------------------------------------- the network

    def _fetch(self, waits: Sequence[float]) -> None:
        """Have all bytes in the partial file, trying again where that makes sense."""
        failures = 0
        reached = False
        while True:
            before = self._done
            try:
                source, remote = self._ask()
                reached = True
                self._prepare(remote)
                if self._done < remote.size:
                    self._receive(source, remote)
                if self._done == remote.size:
                    return
                problem = Transient("The connection was cut: try again; what has arrived is kept")
            except Transient as caught:
                problem = caught
            failures = 0 if self._done > before else failures
            allowed = len(waits) if reached or not problem.is_network else min(len(waits), _NETWORK_WAITS)
            if failures >= allowed:
                raise DA3Error(problem.sentence) from problem
            self._pause(max(waits[failures], problem.wait), problem.sentence)
            failures += 1

    def _ask(self) -> tuple[Source, RemoteFile]:
        """What the source states; asked before every try, because the addresses it gives out expire."""

        def ask() -> Iterator[tuple[Source, RemoteFile]]:
            try:
                source = self._open_source()
            except ImportError as error:
                raise MissingEnvironment(f"Downloading needs {error.name}: install the dependencies") from error
            yield source, source.stated()

        return next(self._items("connecting", ask()))

    def _receive(self, source: Source, remote: RemoteFile) -> None:
        for item in self._items("downloading", source.body(remote, self._done)):
            if isinstance(item, int):
                if item != self._done:
                    self._start_over()
            else:
                self._write(item, remote)

    def _items(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """The items of a blocking iterator; between them the person is heard and told."""
        background = Background(items)
        silence = Silence(_TICK)
        try:
            while True:
                self._check()
                self._tell(stage)
                try:
                    item = background.next(_TICK)
                except Ended:
                    return
                if item is not None:
                    yield item
                    silence.heard()
                elif silence.look() > _SILENT[stage]:
                    raise Transient(
                        f"The server has said nothing for {silence.seconds:.0f} s while {stage}: try again later; what has "
                        "arrived is kept"
                    )
        finally:
            background.abandon()

    def _pause(self, seconds: float, note: str) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check()
            self._tell("retrying", note)
            time.sleep(min(_TICK, left))

    def _check(self) -> None:
        if self._cancelled():
            raise Cancelled

    def _tell(self, stage: str, note: str = "") -> None:
        self._report(stage, self._done, self._remote.size if self._remote else 0, note)

    # -------------------------------------------------------------------------------------------------- the disk

    def _prepare(self, remote: RemoteFile) -> None:
        """Open this revision's partial file, read what is in it, and remove other revisions'."""
        if self._remote is None or self._remote.key != remote.key:
            self.close()
            self._remote, self._path = remote, self._own_partial(remote)
            self._hash, self._done = hashlib.sha256(), 0
            self._file = self._path.open("a+b", buffering=0)
            self._read_what_is_there(remote.size)
        self._remote = remote
        needed = remote.size - self._done
        model_folder.need_space(self._final.parent, needed, self._what.label)

    def _own_partial(self, remote: RemoteFile) -> Path:
        own = model_folder.partial_path(self._final.parent, self._what.name, remote.key)
        for other in model_folder.unfinished(self._final.parent, self._what.name):
            if other != own:
                model_folder.drop_unfinished(other)
        return own

    def _read_what_is_there(self, size: int) -> None:
        assert self._file
        if self._file.seek(0, os.SEEK_END) > size:
            self._start_over()
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._hash.update(block)
            self._done += len(block)
            self._check()
            self._tell("checking")

    def _start_over(self) -> None:
        assert self._file
        self._file.truncate(0)
        self._hash, self._done = hashlib.sha256(), 0

    def _write(self, data: bytes, remote: RemoteFile) -> None:
        assert self._file
        if self._done + len(data) > remote.size:
            raise self._wrong(f"more than the {model_folder.size_text(remote.size)} that were stated arrived")
        rest = memoryview(data)
        while rest:  # a disk that gets full takes a part first
            written = self._file.write(rest)
            self._hash.update(rest[:written])
            if (self._done + written) // _SYNC > self._done // _SYNC:
                model_folder.sync(self._file.fileno())
            self._done += written
            rest = rest[written:]

    def _finish(self) -> Path:
        assert self._file and self._remote and self._path
        self._check()
        self._tell("checking")
        if self._remote.sha256 and self._hash.hexdigest() != self._remote.sha256:
            raise self._wrong("its SHA-256 is not the one that was stated")
        if not self._what.is_whole(self._path):
            raise self._wrong(f"it is no {self._final.suffix.removeprefix('.')} file")
        model_folder.sync(self._file.fileno())
        self.close()
        ownership.replace_chosen(self._path, self._final)
        model_folder.sync_folder(self._final.parent)
        for leftover in model_folder.unfinished(self._final.parent, self._what.name):
            with contextlib.suppress(OSError):  # the model is there; what is in the way of tidiness goes another time
                model_folder.drop_unfinished(leftover)
        return self._final

    def _wrong(self, reason: str) -> DA3Error:
        """The partial file is of no use: remove it."""
        assert self._path
        self.close()
        model_folder.drop_unfinished(self._path)
        return DA3Error(
            f"The file of {self._what.label} did not arrive intact ({reason}) and was removed: download it again"
        )
