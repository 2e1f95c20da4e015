"""One image of the input: its header, its pixels, and what reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..settings import ResizeMethod


@dataclass(frozen=True)
class Frame:
    """One decoded image: ``image`` (h, w, 3) uint8 RGB, upright; ``opaque`` (h, w) bool, None where all of it is."""

    image: np.ndarray
    opaque: np.ndarray | None = None


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it: upright size and, from EXIF, the focal length in pixels.

    Both are of the pixels that a ``Frame`` has: an image of very many pixels is reduced when it is read (``file_size``
    is then larger).
    """

    width: int
    height: int
    focal: float | None
    has_alpha: bool = False
    orientation: int = 1  # EXIF's: how the file's pixels lie, 1 is upright
    full_size: tuple[int, int] | None = None  # upright width and height of the file itself, where it may be another
    is_plain: bool = True  # the file's numbers are sRGB's in 8 bits: Blender shows them as they are meant

    @property
    def file_size(self) -> tuple[int, int]:
        """Upright (width, height) of the file itself."""
        return self.full_size or (self.width, self.height)

    @property
    def decoded_bytes(self) -> int:
        """What the ``Frame`` takes in memory."""
        return self.width * self.height * (4 if self.has_alpha else 3)


@dataclass(frozen=True, eq=False)
class View:
    """A flat view into a panorama: one of a rig of cameras that share its centre."""

    panorama: int  # its place in the input
    name: str  # the panorama's, without a suffix
    number: int  # in the rig
    rotation: np.ndarray  # (3, 3), from the panorama's axes (OpenCV, z to its picture's middle) to the view's
    size: tuple[int, int]  # width and height of the panorama's file


@dataclass(frozen=True)
class Mount:
    """Which of several cameras that are mounted on each other took a frame, and when."""

    camera: int  # the input's place among the inputs
    moment: int  # frames of one moment were taken at the same time


class Unreadable(Exception):
    """A frame cannot be had; the text is the end of a sentence that starts with the frame's name."""


class FrameReader(Protocol):
    """Decodes the frames of an input."""

    threads: int  # how many may call ``read`` at the same time

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        """Decode one frame; ``ahead``: which will be asked for next, in order.

        Raises
        ------
        Unreadable
        """
        ...

    def close(self) -> None:
        """Let go of files; a later ``read`` opens them again."""
        ...


class FrameStore(Protocol):
    """Where frames are had: ``FrameSource``."""

    def load(self, index: int) -> Frame:
        """One of them."""
        ...

    def stream(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Several, one after another."""
        ...

    def in_size(
        self, indices: Sequence[int], resolution: int, method: ResizeMethod
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Several in a model's size, (h, w, 3) uint8, each with its own width and height."""
        ...


class LazyImages(Sequence[np.ndarray]):
    """A sequence of (h, w, 3) uint8 originals that holds none of them itself."""

    def __init__(self, store: FrameStore, indices: list[int]):
        self._store = store
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item):  # type: ignore[no-untyped-def]  # int or slice, as Sequence has it
        if isinstance(item, slice):
            return LazyImages(self._store, self._indices[item])
        return self._store.load(self._indices[item]).image

    def __iter__(self) -> Iterator[np.ndarray]:
        return (frame.image for frame in self._store.stream(self._indices))

    def in_size(self, resolution: int, method: ResizeMethod) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Each in a model's size, (h, w, 3) uint8, and its own width and height."""
        return self._store.in_size(self._indices, resolution, method)
