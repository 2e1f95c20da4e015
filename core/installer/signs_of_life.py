"""Whether an installer that runs still does something. Standard library only."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from ..errors import MissingEnvironment
from ..files.silence import PATIENCE, Silence, cpu_seconds, is_stopped

# Seconds without a sign of life after which a program is ended. An installer is silent for minutes while it unpacks, so its
# processor time is a sign too; uv gives a server 30 s, three times.
IDLE_PATIENCE = 300.0
LOOK = 2.0  # seconds between two looks; each goes through all processes


class SignsOfLife:
    """Looks whether a program, with all that it has started, still does something.

    Parameters
    ----------
    disk : a folder on the disk that is written to
    """

    def __init__(self, disk: Path):
        self._disk = disk
        self._idle, self._stopped = Silence(LOOK), Silence(LOOK)
        self._seen = 0.0
        self._next = 0.0

    def look(self, group: int, stage: str, heard: bool) -> None:
        """Look at a process group, no more often than every ``LOOK``; ``heard``: whether it has just said something.

        Raises
        ------
        MissingEnvironment
            It has been stopped, or has done nothing, for too long.
        """
        if heard:
            self._idle.heard()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK
        seen = cpu_seconds(group) or shutil.disk_usage(self._disk).free  # the latter where the system tells no times
        if seen != self._seen:
            self._idle.heard()
        self._seen = seen
        if not is_stopped(group):
            self._stopped.heard()
        for silence, patience, how in (
            (self._stopped, PATIENCE, "was stopped"),
            (self._idle, IDLE_PATIENCE, "did nothing"),
        ):
            if silence.look() > patience:
                raise MissingEnvironment(
                    f"The installer {how} for {silence.seconds:.0f} s while {stage} and was ended: install again; what was "
                    "downloaded is kept"
                )
