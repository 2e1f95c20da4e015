"""What a download is made of, whoever is asked for the file. Standard library only."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

_REPORT = 0.2  # seconds between reports
_WINDOW = 5.0  # seconds over which the speed is taken
_LONGEST_WAIT = 60.0  # seconds; a server may ask for more, and is asked again sooner

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """How far a download is.

    ``stage`` is what happens now: "waiting" (for another process that downloads the same model), "connecting",
    "checking", "downloading" or "retrying", then ``note`` says why. ``total`` is 0 until the hub has stated it; ``speed`` is
    in bytes per second; ``seconds_left`` is None while nothing arrives.
    """

    stage: str
    done: int = 0
    total: int = 0
    speed: float = 0.0
    seconds_left: float | None = None
    note: str = ""

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0


class Reporter:
    """Tells progress now and then, with the speed of the last seconds."""

    def __init__(self, on_progress: Callable[[Progress], None]):
        self._on_progress = on_progress
        self._stage = ""
        self._told = 0.0
        self._seen: deque[tuple[float, int]] = deque()  # seconds, bytes

    def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
        now = time.monotonic()
        if stage == self._stage and now < self._told + _REPORT:
            return
        if stage != self._stage:
            self._seen.clear()
        self._stage, self._told = stage, now
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[0][0] < now - _WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        speed = max(0.0, (done - before) / (now - then)) if stage == "downloading" and now > then else 0.0
        self._on_progress(Progress(stage, done, total, speed, (total - done) / speed if speed else None, note))


class Transient(Exception):
    """Something that may work when tried again.

    ``sentence`` is for the person, should it not; ``wait`` is how many seconds the server asked for. ``is_network``
    where the server was not reached at all.
    """

    def __init__(self, sentence: str, wait: float = 0.0, is_network: bool = False):
        super().__init__(sentence)
        self.sentence = sentence
        self.wait = min(wait, _LONGEST_WAIT)
        self.is_network = is_network


@dataclass(frozen=True)
class RemoteFile:
    """What is stated about a model's file."""

    url: str  # of exactly this revision
    size: int
    sha256: str  # empty where nobody states it

    @property
    def key(self) -> str:
        """What tells this revision's partial file from another's."""
        return self.sha256 or f"{self.size}-bytes"


class Ended(Exception):
    """A ``Background`` has given everything."""


class Background(Generic[Item]):
    """What an iterator gives, made on a thread of its own.

    A read from the network, or the search for a host, cannot be cancelled; waiting for a queue can. An abandoned thread
    ends at its next item or time-out and touches no file.
    """

    _END = object()

    def __init__(self, items: Iterator[Item], ahead: int = 64):
        self._items = items
        self._queue: Queue[object] = Queue(ahead)
        self._abandoned = threading.Event()
        threading.Thread(target=self._run, name="hub", daemon=True).start()

    def next(self, timeout: float) -> Item | None:
        """The next item; None when there is none yet.

        Raises
        ------
        Ended
            There will be none.
        Exception
            Whatever the iterator raised.
        """
        try:
            item = self._queue.get(timeout=timeout)
        except Empty:
            return None
        if item is self._END:
            raise Ended
        if isinstance(item, BaseException):
            raise item
        return item  # type: ignore[return-value]

    def abandon(self) -> None:
        self._abandoned.set()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                if self._abandoned.is_set():
                    break
            self._put(self._END)
        except BaseException as error:  # noqa: BLE001  it is raised where the items are taken
            self._put(error)
        finally:
            getattr(self._items, "close", lambda: None)()

    def _put(self, item: object) -> None:
        while not self._abandoned.is_set():
            try:
                return self._queue.put(item, timeout=0.2)
            except Full:
                continue
