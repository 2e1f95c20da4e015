"""Whoever has a file, and which file is to be there in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .transfer import RemoteFile


class Source(Protocol):
    """Whoever has a file; both calls block. ``hub_requests.HubFile``, ``seg_download.Asset``."""

    def stated(self) -> RemoteFile:
        """What is known of the file before it is fetched.

        Raises
        ------
        Transient, DA3Error
        """
        ...

    def body(self, file: RemoteFile, start: int) -> Iterator[int | bytes]:
        """The file from a position on: first the position where the body really starts (0 or ``start``), then bytes.

        Raises
        ------
        Transient, DA3Error
        """
        ...


@dataclass(frozen=True)
class Wanted:
    """The file that is to be there in the end; ``is_whole`` looks whether it is one of its kind, with all of its bytes."""

    name: str
    label: str
    final: Path
    is_whole: Callable[[Path], bool]
