"""What a job tells of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from .. import protocol
from .progress import Progress

PROGRESS_INTERVAL = 0.05  # seconds between two progress messages of one stage

Emit = Callable[[protocol.Message], None]


class ProgressReporter:
    """Turns what the pipeline says into messages: progress not too often, every warning once.

    Parameters
    ----------
    heard : a list that others put warnings into while the job runs
    """

    def __init__(self, job: int, heard: Sequence[str], progress: Progress, emit: Emit):
        self.warnings: list[str] = []
        self.failures: list[str] = []  # those of the warnings that say what is missing beside the scene
        self._job = job
        self._heard = heard
        self._progress = progress
        self._emit = emit
        self._last = 0.0

    def progress(self, stage: str, fraction: float) -> None:
        new = self._progress.report(stage, fraction)
        now = time.monotonic()
        if new or now - self._last >= PROGRESS_INTERVAL:
            self._last = now
            p = self._progress
            self._emit(protocol.Progress(self._job, stage, round(p.fraction, 4), p.remaining))

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            self._emit(protocol.Warned(self._job, message))

    def fail(self, message: str) -> None:
        """Something beside the scene could not be made; the job goes on."""
        self.warn(message)
        if message not in self.failures:
            self.failures.append(message)

    def passes(self, count: int) -> None:
        """How many passes the job makes."""
        self._progress.passes = max(1, count)

    def expect(self, seconds: Mapping[str, float]) -> None:
        """How long each stage took in runs like this one."""
        self._progress.expect(seconds)

    def pass_done(self, warnings: list[str], passes: int) -> None:
        """``passes``: that the job makes, as planned by now; 0 where that is not known."""
        self.passes(passes or self._progress.passes)
        self._progress.pass_done()
        self.warn_all(warnings)

    def warn_all(self, warnings: list[str]) -> None:
        for message in [*self._heard, *warnings]:
            self.warn(message)

    def finish(self) -> dict[str, float]:
        return self._progress.finish()
