"""How far uv is with its downloads, read from what it prints. Standard library only."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path


class Download:
    """Adds up what uv says about its downloads: the size of every file of more than a megabyte, and when it is complete.

    Between two such lines minutes may pass; the free space of the disk, on which uv unpacks while it downloads, tells
    how far the files are that are under way. Only progress is guessed by it: other programs write, too.

    Parameters
    ----------
    disk : a folder on the disk that is written to
    """

    SHARE = 0.8  # of the time that downloading and linking take together, downloading is this
    UNPACKED = 1.9  # bytes on the disk for one that is downloaded, over the worker's lock on Linux
    GUESS_AFTER = 5.0  # seconds; small files come first and say nothing about the rest

    def __init__(self, disk: Path):
        self._disk = disk
        self._sizes: dict[str, float] = {}
        self._done: set[str] = set()
        self._start: tuple[float, int] | None = None  # time, free bytes
        self._line = ""

    def read(self, line: str) -> None:
        """Take in a line of uv's output."""
        self._line = "" if line.startswith("{") else line.strip()  # one program answers another
        if match := re.match(r"\s*Downloading (\S+) \(([\d.]+)([KMG]?)i?B\)", line):
            self._sizes[match[1]] = float(match[2]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match[3]]
            self._start = self._start or (time.monotonic(), shutil.disk_usage(self._disk).free)
        elif match := re.match(r"\s*Downloaded (\S+)", line):
            self._done.add(match[1])

    def fraction(self, linked: float) -> float:
        """The part of downloading and linking that is done, 0 to 1; what is linked has been downloaded."""
        done, total = self._bytes()
        downloaded = 1.0 if linked > 0 else done / total if total else 0.0
        return self.SHARE * downloaded + (1 - self.SHARE) * min(linked, 1.0)

    def text(self) -> str:
        """The newest line; while files are downloaded, how much of them there is and how long it may still take."""
        done, total = self._bytes()
        if not self._line.startswith("Download") or self._start is None:
            return self._line
        text = f"{self._line.split(' (')[0]}: {done / 1e9:.1f} of {total / 1e9:.1f} GB"
        elapsed = time.monotonic() - self._start[0]
        if elapsed < self.GUESS_AFTER or not 0 < done < total:
            return text
        left = elapsed * (total - done) / done
        return f"{text}, about {left / 60:.0f} min left" if left > 90 else f"{text}, about {left:.0f} s left"

    def _bytes(self) -> tuple[float, float]:
        total = sum(self._sizes.values())
        done = sum(size for name, size in self._sizes.items() if name in self._done)
        if self._start is None:
            return done, total
        written = (self._start[1] - shutil.disk_usage(self._disk).free) / self.UNPACKED
        return max(done, min(written, done + 0.95 * (total - done))), total
