"""How long another process has said nothing, and what the system knows of it. Standard library only."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 30.0  # seconds of silence after which a process that should speak is taken for stopped
TICKS = 100.0  # per second, of the times in /proc/<pid>/stat: USER_HZ, the same on every Linux that Blender runs on


class Silence:
    """Counts the seconds without a sign of life.

    By looks that took place, not by the clock: a laptop that was suspended, or a Blender that was stopped itself, adds
    one interval and no more, so that whoever was asleep with it gets the time to speak first.

    Parameters
    ----------
    interval : seconds between two looks
    clock : seconds, monotone
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic):
        self.seconds = 0.0
        self._most = 2.0 * interval  # that one look may add
        self._clock = clock
        self._last = clock()
        self._heard = False

    def heard(self) -> None:
        """A sign of life; from any thread."""
        self._heard = True

    def look(self) -> float:
        """The silence so far in seconds; call it once an interval, always from the same thread."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        if self._heard:
            self._heard, self.seconds = False, 0.0
        else:
            self.seconds += min(max(elapsed, 0.0), self._most)
        return self.seconds


def is_stopped(group: int, *, alone: bool = False) -> bool:
    """Whether a process of that group, or only the one of that number, was stopped (SIGSTOP, a debugger) and waits to be continued; False on Windows."""
    return any(state in ("T", "t") for state, _seconds in _members(group, alone))


def cpu_seconds(group: int, *, alone: bool = False) -> float:
    """Processor time that the living processes of a group, or only the one of that number, have used; 0 where the system does not tell."""
    return sum(seconds for _state, seconds in _members(group, alone))


def _members(group: int, alone: bool) -> Iterator[tuple[str, float]]:
    """State letter and processor seconds of each process of a group, or of the one process of that number."""
    if sys.platform == "linux":
        for stat in Path("/proc").glob(f"{group}/stat" if alone else "[0-9]*/stat"):
            try:
                # The name in brackets may hold anything; after it: state, parent, group, ...; 11 and 12 are the times.
                fields = stat.read_text("ascii", "replace").rpartition(")")[2].split()
            except OSError:
                continue  # it has ended this moment
            if len(fields) > 12 and (alone or int(fields[2]) == group):
                yield fields[0], (int(fields[11]) + int(fields[12])) / TICKS
    elif sys.platform != "win32":
        listed = subprocess.run(
            ["ps", "-A", "-o", f"{'pid' if alone else 'pgid'}=,stat=,time="],
            capture_output=True,
            text=True,
            check=False,
        )
        for line in listed.stdout.splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == str(group):
                yield words[1][:1], _clock_seconds(words[2])


def _clock_seconds(text: str) -> float:
    """Of a time as ``ps`` writes it: minutes and seconds, with hours and days before them where there are any."""
    days, _, clock = text.rpartition("-")
    seconds = 86400.0 * float(days or 0)
    for factor, part in zip((1.0, 60.0, 3600.0), reversed(clock.split(":")), strict=False):
        seconds += factor * float(part)
    return seconds
