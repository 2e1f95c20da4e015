"""How long work tells its progress and hears that it should stop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from .errors import Cancelled

Result = TypeVar("Result")


def _silent(_stage: str, _fraction: float) -> None:
    """Progress that nobody asked for."""


def _never() -> bool:
    return False


class Monitor:
    """What a predictor is given to report to and to be stopped by.

    Parameters
    ----------
    on_progress : called with a stage ("cameras", "depth", ...) and the fraction of it that is done, 0 to 1
    cancelled : asked often (every transformer block, every image pair); True means stop now
    """

    def __init__(
        self,
        on_progress: Callable[[str, float], None] = _silent,
        cancelled: Callable[[], bool] = _never,
    ):
        self._on_progress = on_progress
        self._cancelled = cancelled

    def progress(self, stage: str, fraction: float) -> None:
        """Report, and stop here if asked to.

        Raises
        ------
        Cancelled
        """
        self.check()
        thread = threading.current_thread()
        if isinstance(thread, Beside):
            thread.told.append(partial(self._on_progress, stage, fraction))
        else:
            self._on_progress(stage, fraction)

    @property
    def silent(self) -> Monitor:
        """The same person's wish to stop, but progress that nobody hears: for a part that another part tells of."""
        return Monitor(cancelled=self._cancelled)

    def check(self) -> None:
        """Raise ``Cancelled`` if the person asked to stop, or if nobody wants any more what this thread computes."""
        thread = threading.current_thread()
        if self._cancelled() or (isinstance(thread, Beside) and thread.unwanted.is_set()):
            raise Cancelled


class Beside(threading.Thread, Generic[Result]):
    """Work on a thread of its own, beside the thread that started it and will ask for its result.

    What it tells of its progress waits in ``told`` until that thread calls it, so that callbacks are called there only.
    """

    def __init__(self, work: Callable[[], Result], name: str):
        super().__init__(name=name, daemon=True)
        self.told: deque[Callable[[], None]] = deque()
        self.unwanted = threading.Event()  # it stops where it would stop for a person
        self._work: Callable[[], Result] | None = work
        self._made: list[Result] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """On the new thread."""
        assert self._work is not None
        try:
            self._made.append(self._work())
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
            self._error = error
        self._work = None  # and what it holds

    def tell(self) -> None:
        """Call what was told so far."""
        while self.told:
            self.told.popleft()()

    def result(self, monitor: Monitor, patience: float) -> Result:
        """What the work gives; waits for it, and tells of it meanwhile, every ``patience`` seconds.

        Raises
        ------
        Cancelled
            The work goes on until ``stop``.
        BaseException
            What the work has raised.
        """
        while self.is_alive():
            self.join(patience)
            self.tell()
            monitor.check()
        self.tell()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # which else would hold on to its own frames, and they to much memory
        return self._made.pop()

    def stop(self) -> None:
        """Nobody wants the result any more; comes back once the thread has ended."""
        self.unwanted.set()
        self.join()
