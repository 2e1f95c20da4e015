"""Inside Blender: how long the interface stands still, and what was done meanwhile."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import driver as ui

TICK = 0.01  # seconds


@dataclass
class Gap:
    """The time between two ticks of an application timer."""

    seconds: float
    stage: str  # of the job
    shows: bool  # whether what was added to the scene is drawn for the first time in it
    spent: dict[str, float] = field(default_factory=dict)  # seconds

    def __str__(self) -> str:
        parts = "".join(f", {what} {1000 * t:.0f}" for what, t in self.spent.items())
        return f"{1000 * self.seconds:.0f} ms in '{self.stage}'{' showing the cloud' if self.shows else ''}{parts}"


class Gaps:
    """All gaps between two ticks, from a job's first tick on, or from now on where there is to be none.

    In each gap: ``step`` of the job; ``draw``: of 3D views, from the first call to the last; ``evaluate``; ``main`` and
    ``queue``: what the main thread computed, and what it waited for a core. The rest is waiting for the processor's drawing.
    """

    def __init__(self, *, of_a_job: bool = True) -> None:
        self.all: list[Gap] = []
        self.start: float | None = (
            None if of_a_job else 0.0
        )  # seconds from the tick before the click to the job's first
        self._open = True
        self._last, self._spent, self._since = time.monotonic(), {}, {}
        self._scheduled, self._objects, self._is_new = _scheduled(), len(bpy.context.scene.objects), False
        self._job = sys.modules[f"{ui.NAME}.operators.jobs.job"].Job
        self._step = step = self._job.step

        def timed(job, budget):
            if self.start is None:  # what came before was the click
                self.start = time.monotonic() - self._last
                self._restart()
            self._begin("step")
            step(job, budget)
            self._end("step")

        self._job.step = timed
        space = bpy.types.SpaceView3D
        self._drawing = [
            space.draw_handler_add(self._begin, ("draw",), "WINDOW", "PRE_VIEW"),
            space.draw_handler_add(self._end, ("draw",), "WINDOW", "POST_PIXEL"),
        ]
        handlers = bpy.app.handlers
        self._handlers = [
            (handlers.depsgraph_update_pre, self._evaluates), (handlers.depsgraph_update_post, self._has_evaluated),
            (handlers.frame_change_pre, self._evaluates), (handlers.frame_change_post, self._has_evaluated),
        ]  # fmt: skip
        for handler, function in self._handlers:
            handler.append(function)
        bpy.app.timers.register(self._tick)

    def _begin(self, what: str) -> None:
        self._since[what] = time.monotonic()

    def _end(self, what: str) -> None:
        if what in self._since:
            self._spent[what] = self._spent.get(what, 0.0) + time.monotonic() - self._since.pop(what)

    def _evaluates(self, *_: object) -> None:
        self._begin("evaluate")

    def _has_evaluated(self, *_: object) -> None:
        self._end("evaluate")

    def _restart(self) -> None:
        self._last, self._scheduled, self._spent = time.monotonic(), _scheduled(), {}

    def _note(self) -> None:
        if self.start is not None:
            computed, waited = (now - then for now, then in zip(_scheduled(), self._scheduled, strict=True))
            stage = job.status.stage if (job := ui.session().job) else "after the end"
            spent = {**self._spent, "main": computed, "queue": waited}
            self.all.append(Gap(time.monotonic() - self._last, stage, self._is_new, spent))
        objects = len(bpy.context.scene.objects)
        self._is_new, self._objects = objects > self._objects, objects
        self._restart()

    def _tick(self) -> float | None:
        if self._open:
            self._note()
        return TICK if self._open else None

    def longest(self, *, shows: bool | None = None) -> float:
        """Seconds; of all gaps, or only of those in which something new is drawn, or only of the others."""
        return round(max((gap.seconds for gap in self.all if shows is None or gap.shows == shows), default=0.0), 3)

    def worst(self, count: int = 4) -> list[str]:
        """The longest gaps, each with the job's stage and what was measured in it, in milliseconds."""
        return [str(gap) for gap in sorted(self.all, key=lambda gap: -gap.seconds)[:count]]

    def close(self) -> None:
        """Stop measuring. The gap that is not over counts too."""
        self._note()
        self._open = False
        self._job.step = self._step
        for handle in self._drawing:
            bpy.types.SpaceView3D.draw_handler_remove(handle, "WINDOW")
        for handler, function in self._handlers:
            handler.remove(function)


def _scheduled() -> tuple[float, float]:
    """Seconds that the main thread has computed, and waited for a core; zero where the kernel does not tell."""
    try:
        words = Path(f"/proc/self/task/{os.getpid()}/schedstat").read_text().split()
    except OSError:
        return 0.0, 0.0
    return int(words[0]) / 1e9, int(words[1]) / 1e9
