"""Frames decoded, and resized for the model, on threads before they are asked for; held as long as a pass may want them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

import numpy as np

from ..errors import BadInput
from ..monitor import Monitor
from ..settings import ResizeMethod
from .frame import Frame, FrameReader, Header, Unreadable
from .resizing import processed_size, resized

PATIENCE = 0.05  # seconds between two looks at whether to stop

Size = tuple[int, ResizeMethod]  # resolution and method, which say what a model wants


@dataclass(frozen=True)
class Reduced:
    """What is held of a frame whose original nobody else has asked for.

    ``pixels`` (h, w, 3) uint8 in the model's ``size``; ``original``: (width, height) of the frame; ``opaque`` as the frame has it.
    """

    pixels: np.ndarray
    size: Size
    original: tuple[int, int]
    opaque: np.ndarray | None


Found = Frame | Reduced | Unreadable


class Decoding:
    """What is decoded and held of an input's frames. One thread may ask for a pass while another asks for frames of the one before.

    Parameters
    ----------
    reader, headers : the input's

    Attributes
    ----------
    size : in which a model wants the frames; None as long as nobody has said
    originals : somebody else wants them as they are: they are not reduced to that size
    """

    def __init__(self, reader: FrameReader, headers: Mapping[int, Header]):
        self.size: Size | None = None
        self.originals = False
        self._reader, self._headers = reader, headers
        self._lock = threading.RLock()
        self._held: dict[int, Future[Found]] = {}
        self._pool: ThreadPoolExecutor | None = None

    @property
    def held(self) -> list[int]:
        """The frames that are held, or on their way."""
        with self._lock:
            return sorted(self._held)

    @property
    def is_idle(self) -> bool:
        """Whether it has no threads."""
        return self._pool is None

    def prefetch(self, indices: Sequence[int], most: int) -> None:
        """Begin to decode these as far as they fit into ``most`` bytes with what is held; returns at once."""
        with self._lock:
            room = most - sum(map(self._bytes, self._held))
            fitting = []
            for index in dict.fromkeys(i for i in indices if i not in self._held):
                room -= self._bytes(index)
                if room < 0:
                    break  # the first of a pass are asked for first
                fitting.append(index)
            self._held |= self._submit(fitting)

    def stream(self, indices: Sequence[int], monitor: Monitor) -> Iterator[tuple[int, Found]]:
        """Frames in the given order; those not held are decoded a few ahead, so that memory does not grow."""
        missing = [i for i in dict.fromkeys(indices) if i not in self._held]
        window = self._submit(missing[: self._reader.threads + 1])
        missing = missing[len(window) :]
        for index in indices:
            future = self._held.get(index) or window.pop(index, None) or self._submit([index])[index]
            yield index, _wait(future, monitor)
            if missing and len(window) <= self._reader.threads:
                window |= self._submit([missing.pop(0)])

    def get(self, index: int) -> Found:
        """One frame, decoded now unless it is held."""
        held = self._held.get(index)
        return self._decode(index, ()) if held is None else held.result()

    def original(self, index: int, found: Found | None = None) -> Frame | Unreadable:
        """One frame as it is; of one that is held reduced it is decoded again, and from then on none is reduced.

        ``found``: what ``stream`` gave for it.
        """
        if found is None:
            held = self._held.get(index)
            found = self._read(index, ()) if held is None else held.result()
        if isinstance(found, Reduced):
            self.originals = True
            found = self._read(index, ())
        return found

    def let_go(self, *keep: Sequence[int]) -> None:
        """Hold no other frames than these."""
        with self._lock:
            for index in self._held.keys() - {i for part in keep for i in part}:
                self._held.pop(index).cancel()

    def close(self) -> None:
        """Hold nothing, and let go of threads and open files."""
        self.let_go()
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None
        self._reader.close()

    def _bytes(self, index: int) -> int:
        """What will be held of a frame; of one that is being decoded, what it would be if it began now."""
        header, future = self._headers[index], self._held.get(index)
        if self.size is None or self.originals or (future is not None and _is_original(future)):
            return header.decoded_bytes
        try:
            width, height = processed_size(header.width, header.height, *self.size)
        except BadInput:  # too narrow: said when the pass is made
            return header.decoded_bytes
        return width * height * 3 + (header.width * header.height if header.has_alpha else 0)

    def _submit(self, indices: Sequence[int]) -> dict[int, Future[Found]]:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._reader.threads, thread_name_prefix="decode")
            return {i: self._pool.submit(self._decode, i, indices[n + 1 :]) for n, i in enumerate(indices)}

    def _decode(self, index: int, ahead: Sequence[int]) -> Found:
        size, frame = self.size, self._read(index, ahead)
        if size is None or self.originals or isinstance(frame, Unreadable):
            return frame
        try:
            small = resized(frame.image, *size)
        except BadInput:  # too narrow: said when the pass is made
            return frame
        height, width = frame.image.shape[:2]
        return Reduced(small, size, (width, height), frame.opaque)

    def _read(self, index: int, ahead: Sequence[int]) -> Frame | Unreadable:
        try:
            return self._reader.read(index, ahead)
        except Unreadable as error:
            return error.with_traceback(None)  # which holds what was decoded so far


def _is_original(future: Future[Found]) -> bool:
    done = future.done() and not future.cancelled() and future.exception() is None
    return done and isinstance(future.result(), Frame)


def _wait(future: Future[Found], monitor: Monitor) -> Found:
    while True:
        try:
            return future.result(PATIENCE)
        except NotYet:
            monitor.check()
