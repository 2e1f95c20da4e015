"""Long work that is one blocking call: it runs on a thread, the job looks at it now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ...core.errors import Cancelled, DA3Error
from ..state.session import Session
from .job import Job

LINES = 6  # of an installer's output that are shown
PATIENCE = 3.0  # seconds Blender waits, when it leaves, for what a cancelled job cleans up

#: Called with a stage, the fraction that is done and the newest line of output, if any.
Tell = Callable[[str, float, str], None]


class ThreadJob(Job):
    """One call of a function that tells its progress and asks whether to stop.

    Parameters
    ----------
    title : as on the button
    work : the function, with ``Tell`` and a question whether to stop; returns what the person should know of its end
    after : called on the main thread, however it ended
    """

    def __init__(
        self,
        session: Session,
        title: str,
        work: Callable[[Tell, Callable[[], bool]], str],
        after: Callable[[], None] = lambda: None,
    ):
        super().__init__(session)
        self.title = title
        self._work = work
        self._after = after
        self._cancelled = threading.Event()
        self._result = ""
        self._failure: BaseException | None = None
        self._told = ("", 0.0)
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._run, name=title, daemon=True)

    def _start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work(self._tell, self._cancelled.is_set)
        except BaseException as error:  # noqa: BLE001  # carried over to the main thread, which tells it
            self._failure = error

    def _tell(self, stage: str, fraction: float, line: str = "") -> None:
        self._told = (stage, fraction)
        if line:
            self._lines = [*self._lines[1 - LINES :], line]

    def _wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _advance(self, budget: float) -> None:
        self.status.stage, self.status.fraction = self._told
        self.status.lines = self._lines
        if self._thread.is_alive():
            return
        if self._failure is None:
            self.end(self._result)
        elif isinstance(self._failure, DA3Error):
            self.fail(self._failure)
        else:
            logging.getLogger(__name__).error("%s failed", self.title, exc_info=self._failure)
            self.fail(DA3Error(f"{self.title} failed: {type(self._failure).__name__}: {self._failure}"))

    def _stop(self) -> None:
        self._cancelled.set()  # the thread stops what runs and cleans up
        self._after()

    def settle(self) -> None:
        if not isinstance(self.error, Cancelled):
            return
        self._thread.join(PATIENCE)
