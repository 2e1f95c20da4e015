"""How long work tells its progress and hears that it should stop."""

from __future__ import annotations

from collections.abc import Callable

from .errors import Cancelled


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
        self._on_progress(stage, fraction)

    @property
    def silent(self) -> Monitor:
        """The same person's wish to stop, but progress that nobody hears: for a part that another part tells of."""
        return Monitor(cancelled=self._cancelled)

    def check(self) -> None:
        """Raise ``Cancelled`` if the person asked to stop."""
        if self._cancelled():
            raise Cancelled
