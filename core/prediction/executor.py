"""Where the passes of a run are asked of its predictor: here, one after another, or ahead, where others compute them.

The plan's order is kept in both: a pass is given out when it is asked for, whenever it was computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..frames.source import FrameSource
from ..monitor import Monitor
from ..settings import Settings
from .prediction import Cameras, Prediction
from .predictor import Predictor

ANY = 1 << 30  # frames of a pass that may have as many as it likes


class Plan(Protocol):
    """Passes to come: a ``Planner``, or ``Listed`` ones."""

    def peek(self) -> list[int] | None:
        """The frames of the next pass."""
        ...

    def reserve(self, most: int) -> list[int] | None:
        """One pass more, of ``most`` frames at most, beyond those reserved before; None where there is none."""
        ...


class Executor(Protocol):
    """Where passes are computed."""

    def ask(self, wanted: Sequence[int], plan: Plan) -> tuple[list[int], Prediction | None]:
        """One pass, and a beginning of those that come after it.

        Parameters
        ----------
        wanted : its frames
        plan : what comes after it

        Returns
        -------
        the frames that can be read, and what the predictor says of them; None where some cannot, which ``frames.warnings`` name

        Raises
        ------
        Cancelled, DA3Error
            And what the predictor raises; of memory that ran out ``memory.is_out_of_memory`` knows.
        """
        ...

    def make_room(self, wanted: Sequence[int]) -> None:
        """Memory ran out with these frames: free what can be freed, and forget what was begun."""
        ...


class AheadPredictor(Predictor, Protocol):
    """A predictor whose passes are computed elsewhere, several at a time: asked for by ``begin``, taken by ``predict``."""

    computes_ahead: bool

    def begin(self, indices: Sequence[int], settings: Settings, cameras: Cameras | None = None) -> None:
        """Have a pass computed, unless it is already being; returns at once."""
        ...

    def room(self) -> int:
        """Most frames of one more pass that may be begun now; 0 while as many are on their way as may be."""
        ...

    def unreadable(self, indices: Sequence[int]) -> Mapping[int, str]:
        """Wait for a pass; those of its frames that could not be decoded, and why, as the end of a sentence."""
        ...

    def forget(self) -> None:
        """What was begun is wanted no more."""
        ...


def executor(frames: FrameSource, settings: Settings, predictor: Predictor, monitor: Monitor) -> Executor:
    """The one that a predictor needs."""
    kind = Ahead if getattr(predictor, "computes_ahead", False) else InProcess
    return kind(frames, settings, predictor, monitor)  # type: ignore[arg-type]  # which has all of it, then


class InProcess:
    """Passes one after another in this process; meanwhile the images of the next one are decoded."""

    def __init__(self, frames: FrameSource, settings: Settings, predictor: Predictor, monitor: Monitor):
        self._frames, self._settings, self._predictor, self._monitor = frames, settings, predictor, monitor

    def ask(self, wanted: Sequence[int], plan: Plan) -> tuple[list[int], Prediction | None]:
        """See ``Executor``."""
        readable = self._frames.usable(wanted, self._monitor)
        if len(readable) < len(wanted):
            return readable, None
        self._frames.prefetch(plan.peek() or ())
        return readable, self._predictor.predict(self._frames.images(readable), readable, self._settings)

    def make_room(self, wanted: Sequence[int]) -> None:
        """See ``Executor``."""
        self._frames.release(keep=wanted)
        free_cache = getattr(self._predictor, "free_cache", None)
        if free_cache is not None:
            free_cache()


class Ahead:
    """Passes that others compute: as many as there is room for are on their way while one is waited for."""

    def __init__(self, frames: FrameSource, settings: Settings, predictor: AheadPredictor, monitor: Monitor):
        self._frames, self._settings, self._predictor = frames, settings, predictor

    def ask(self, wanted: Sequence[int], plan: Plan) -> tuple[list[int], Prediction | None]:
        """See ``Executor``."""
        self._predictor.begin(wanted, self._settings)
        while (most := self._predictor.room()) and (coming := plan.reserve(most)):
            self._predictor.begin(coming, self._settings)
        lost = self._predictor.unreadable(wanted)
        if lost:
            self._predictor.forget()  # what follows is planned anew
            self._frames.leave_out(lost)
            return [i for i in wanted if i not in lost], None
        return list(wanted), self._predictor.predict(self._frames.images(wanted), wanted, self._settings)

    def make_room(self, wanted: Sequence[int]) -> None:
        """See ``Executor``."""
        self._predictor.forget()


class Listed:
    """Passes that are known beforehand; ``take`` gives them one by one."""

    def __init__(self, passes: Sequence[Sequence[int]]):
        self._left = [list(one) for one in passes]
        self._reserved = 0

    def take(self) -> list[int]:
        """The next one; IndexError at the end."""
        self._reserved = max(0, self._reserved - 1)
        return self._left.pop(0)

    def peek(self) -> list[int] | None:
        """See ``Plan``."""
        return self._left[0] if self._left else None

    def reserve(self, most: int) -> list[int] | None:
        """See ``Plan``."""
        if self._reserved >= len(self._left) or len(self._left[self._reserved]) > most:
            return None
        self._reserved += 1
        return self._left[self._reserved - 1]
