"""The threads beside a worker: who reads from it, who writes to it, and who looks whether it still lives."""

from __future__ import annotations

import queue
import time
import weakref
from typing import BinaryIO, Protocol

from .lines import read_lines


class Watched(Protocol):
    """What the threads tell; a ``process.Process``, which they do not keep alive."""

    @property
    def end(self) -> weakref.finalize: ...  # type: ignore[type-arg]

    def heard(self, line: bytes) -> None: ...

    def lied(self, error: Exception) -> None: ...

    def died(self) -> None: ...

    def look(self) -> bool: ...


def read(owner: weakref.ref[Watched], stream: BinaryIO) -> None:
    """The reader's thread: whole lines from the worker until it is gone, has said something wrong, or nobody is interested."""
    try:
        for line in read_lines(stream.fileno()):
            worker = owner()
            if worker is None:
                return
            worker.heard(line)
            del worker
    except Exception as error:  # noqa: BLE001  # a worker that is not trusted: whatever it brought about ends it
        worker = owner()
        if worker is not None:
            worker.lied(error)
        del worker
    finally:
        stream.close()
    worker = owner()
    if worker is not None and worker.end.alive:
        worker.died()


def write(stream: BinaryIO, outbox: queue.SimpleQueue[bytes | None]) -> None:
    """The writer's thread: lines to the worker until there are no more, or nobody who reads them."""
    try:
        while (line := outbox.get()) is not None:
            rest = memoryview(line)
            while rest:
                rest = rest[stream.write(rest) :]
    except OSError:
        return  # the reader tells how it died
    finally:
        stream.close()


def watch(owner: weakref.ref[Watched], interval: float) -> None:
    """The watch's thread."""
    while True:
        time.sleep(interval)
        worker = owner()
        if worker is None or not worker.look():
            return
        del worker
