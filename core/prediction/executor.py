"""Where the passes of a run are asked of its predictor: here, one after another; on a thread, the next one while one is worked
on; or ahead, where other processes compute them.

The plan's order is kept in all: a pass is given out when it is asked for, whenever it was computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ..frames.source import FrameSource
from ..monitor import Beside, Monitor
from ..settings import Settings
from .prediction import Cameras, Prediction
from .predictor import Predictor

ANY = 1 << 30  # frames of a pass that may have as many as it likes
PATIENCE = 0.05  # seconds between two looks at whether to stop


class Plan(Protocol):
    """Passes to come: a ``Planner``, or ``Listed`` ones."""

    def peek(self) -> list[int] | None:
        """The frames of the next pass."""
        ...

    def coming(self, count: int) -> list[list[int]]:
        """The frames of so many passes to come, or of all where there are fewer."""
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

    def close(self) -> None:
        """No more will be asked for: stop what was begun; comes back once nothing computes any more in this process."""
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


def executor(
    frames: FrameSource, settings: Settings, predictor: Predictor, monitor: Monitor, *, beside: bool = True
) -> Executor:
    """The one that a predictor needs; ``beside``: passes may be computed while the caller works on the one before.

    A predictor that ``takes_reduced`` asks for no originals: its images are reduced to its size from the first pass on.
    Computing beside is done where the predictor says so by ``computes_beside``: on a card, which the caller's work leaves alone. On a
    processor both would take turns, and a pass computed ahead would take memory that nobody has counted.
    """
    if getattr(predictor, "computes_ahead", False):
        return Ahead(frames, settings, predictor, monitor)  # type: ignore[arg-type]  # which has all of it, then
    if getattr(predictor, "takes_reduced", False):
        frames.reduce_to(settings.resolution, settings.resize_method)
    kind = OneAhead if beside and getattr(predictor, "computes_beside", False) else InProcess
    return kind(frames, settings, predictor, monitor)


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

    def close(self) -> None:
        """See ``Executor``."""


@dataclass
class _Made:
    """What became of a pass: the frames that can be read, why others cannot, and the prediction where all can."""

    readable: list[int]
    broken: dict[int, str]
    prediction: Prediction | None


class OneAhead(InProcess):
    """Passes one after another on a thread of their own: while the caller works on one, the next one is computed.

    One at most is ahead, and the images of the one after it are decoded meanwhile. The predictor sees the same passes in the
    same order as with ``InProcess``; what frames cannot be read is said when their pass is asked for, as there.
    """

    _begun: tuple[list[int], Beside[_Made]] | None = None

    def ask(self, wanted: Sequence[int], plan: Plan) -> tuple[list[int], Prediction | None]:
        """See ``Executor``."""
        if self._begun is None or self._begun[0] != list(wanted):
            self.close()  # planned anew since
            self._begin(wanted, plan.peek() or (), ())
        assert self._begun is not None
        try:
            made = self._begun[1].result(self._monitor, PATIENCE)
        finally:
            self.close()
        if made.prediction is None:
            self._frames.leave_out(made.broken)
            return made.readable, None
        coming = plan.coming(2)
        if coming:
            self._begin(coming[0], coming[1] if len(coming) > 1 else (), keep=wanted)
        return made.readable, made.prediction

    def _begin(self, wanted: Sequence[int], after: Sequence[int], keep: Sequence[int]) -> None:
        work = partial(self._compute, list(wanted), list(after), list(keep))
        self._begun = list(wanted), Beside(work, "passes")

    def _compute(self, wanted: list[int], after: list[int], keep: list[int]) -> _Made:
        """On the thread; ``keep``: frames of the pass that the caller works on."""
        readable, broken = self._frames.whole(wanted, self._monitor, keep)
        if broken:
            return _Made(readable, broken, None)
        self._frames.prefetch(after)
        return _Made(readable, {}, self._predictor.predict(self._frames.images(readable), readable, self._settings))

    def make_room(self, wanted: Sequence[int]) -> None:
        """See ``Executor``."""
        self.close()
        super().make_room(wanted)

    def close(self) -> None:
        """See ``Executor``."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun[1].stop()


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

    def close(self) -> None:
        """See ``Executor``; what others compute is theirs."""


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

    def coming(self, count: int) -> list[list[int]]:
        """See ``Plan``."""
        return self._left[:count]

    def reserve(self, most: int) -> list[int] | None:
        """See ``Plan``."""
        if self._reserved >= len(self._left) or len(self._left[self._reserved]) > most:
            return None
        self._reserved += 1
        return self._left[self._reserved - 1]
