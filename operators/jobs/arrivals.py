"""The batches that have come from the worker, held so that an undo can be answered by building them again."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ...core.files import ownership
from ...core.worker.protocol import BatchReady

MOST = 2 << 30  # bytes of arrays on disk, beyond which the oldest batches' are let go


class Arrivals:
    """Batches in the order they came. Of a long run only the newest keep their arrays: else thousands of frames fill the disk.

    Parameters
    ----------
    most : bytes of arrays that are held
    """

    def __init__(self, most: int = MOST):
        self._most = most
        self._batches: list[BatchReady] = []
        self._sizes: list[int] = []
        self._let_go = 0

    @property
    def are_whole(self) -> bool:
        """Whether all of them can be built again."""
        return self._let_go == 0

    def add(self, batch: BatchReady, folder: Path) -> None:
        """Note a batch whose files are in ``folder``; the ones before it are built by now."""
        while sum(self._sizes) > self._most and self._let_go < len(self._batches):
            for file in _files(self._batches[self._let_go], folder):
                with contextlib.suppress(FileNotFoundError):
                    ownership.delete_chosen(file)
            self._sizes[self._let_go] = 0
            self._let_go += 1
        self._batches.append(batch)
        self._sizes.append(sum(file.stat().st_size for file in _files(batch, folder) if file.exists()))

    def take(self) -> list[BatchReady]:
        """All of them, to be received again."""
        batches, self._batches, self._sizes = self._batches, [], []
        return batches


def _files(batch: BatchReady, folder: Path) -> list[Path]:
    names = [name for part in batch.parts for name in part["files"].values()]
    return [folder / name for name in {*names, *(part["image"] for part in batch.parts if part["packed"])}]
