"""How far a streaming run is, in time: passes of the model cost most, and how many of them are left is known."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

FINISHING = 1.5  # times that writing a point cloud took, to put it in its final place


class TimeLeft:
    """Follows one run.

    Parameters
    ----------
    clock : seconds, monotone
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._started = self._before = clock()
        self._passes: list[float] = []  # seconds per frame of each pass, all that it brings along included
        self._writing, self._written = 0.0, 0  # seconds that point clouds took, and their frames

    def skip(self) -> None:
        """What was done since is no pass of the model (a chunk that was there already)."""
        self._before = self._clock()

    def pass_done(self, frames: int) -> None:
        """One pass of the model of so many frames is through."""
        now = self._clock()
        self._passes.append((now - self._before) / max(frames, 1))
        self._before = now

    def written(self, seconds: float, frames: int) -> None:
        """A point cloud of so many frames was written. Its time is a part of a pass's, and tells how long the end takes."""
        self._writing += seconds
        self._written += frames

    def remaining(self, frames: float, whole: int = 0) -> float | None:
        """Seconds left; None before the first pass.

        Parameters
        ----------
        frames : that passes to come will see, those seen twice counted twice
        whole : frames of the whole run, each once
        """
        if not self._passes:
            return None
        recent = self._passes[1:] or self._passes  # the first one warms up
        return float(np.median(recent[-20:])) * frames + FINISHING * self._writing / max(self._written, 1) * whole

    def fraction(self, frames: float, whole: int = 0) -> float:
        """Of the whole run's time that is over, 0 to 1."""
        left = self.remaining(frames, whole)
        elapsed = self._clock() - self._started
        return 0.0 if left is None else elapsed / max(elapsed + left, 1e-9)
