"""How long a process that should speak may be silent. Standard library only."""

from __future__ import annotations

from .silence import Silence, cpu_seconds, is_stopped

LOOK = 0.5  # seconds between two looks
#: Seconds that a stage may be silent, where it is longer than ``PATIENCE``: a heartbeat needs the interpreter's lock, and
#: loading the libraries of torch from a cold disk keeps it. A process that the system knows to be stopped gets no longer.
LONGER = {"load": 120.0, "surface": 120.0, "info": 120.0}
#: Seconds for one that is silent and computes: a single call of numpy on 100 million rows keeps the lock for half a minute.
BUSY_PATIENCE = 300.0
# Of a processor, from which a process computes: the worker gives way on a machine that is busy with other things, and a pulse
# that waits for the lock takes a thousandth.
BUSY = 0.02


class Patience:
    """With one process.

    Parameters
    ----------
    seconds : of silence after which it is ended, where it has no better reason
    alone : the process, and not all of its group: where it leads none

    Attributes
    ----------
    interval : seconds between two looks
    silence : hears of every sign of life
    """

    def __init__(self, seconds: float, *, alone: bool = False):
        self._seconds = seconds
        self._alone = alone
        self.interval = min(LOOK, seconds / 4.0)
        self.silence = Silence(self.interval)
        self._half: tuple[float, float] | None = None  # silence and processor seconds half-way to the deadline

    def ended(self, pid: int, stage: str) -> str:
        """What the process did that it should be ended for, as in "said nothing for 30 s"; empty: nothing yet."""
        silence = self.silence.look()
        if silence < self._seconds / 2.0:
            self._half = None
        elif self._half is None:
            self._half = silence, cpu_seconds(pid, alone=self._alone)
        if self._half is None or silence < self._seconds:
            return ""
        if is_stopped(pid, alone=self._alone):
            return f"was stopped for {silence:.0f} s"
        computes = cpu_seconds(pid, alone=self._alone) - self._half[1] > BUSY * (silence - self._half[0])
        allowed = BUSY_PATIENCE if computes else LONGER.get(stage, 0.0)
        return f"said nothing for {silence:.0f} s" if silence >= allowed else ""
