"""One image of the input: its header, its pixels, and what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


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
