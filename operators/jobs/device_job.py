"""Asking the worker for its device."""

from __future__ import annotations

import time

from ...core.errors import BY_NAME, DA3Error
from ...core.worker import protocol
from ...core.worker.client import WorkerClient
from ..state.places import Places
from ..state.session import Session
from .job import Job

INFO_PATIENCE = 120.0  # seconds; importing torch from a cold disk takes long


class InfoJob(Job):
    """Has the worker import torch and say which device it finds, and what memory is free there."""

    title = "Check the Device"

    def __init__(self, session: Session, places: Places):
        super().__init__(session)
        self._places = places
        self._client: WorkerClient | None = None
        self._asked = 0.0

    def _start(self) -> None:
        self._client = self.session.client(self._places)
        self._client.info()
        self._asked = time.monotonic()
        self.status.stage = "asking the worker"

    def _wait(self, seconds: float) -> None:
        assert self._client
        self._read(self._client.wait(seconds))

    def _advance(self, budget: float) -> None:
        assert self._client
        self._read(self._client.poll())
        waited = time.monotonic() - self._asked
        self.status.fraction = min(waited / 10.0, 0.95)  # how long it takes is not known
        if not self.ended and waited > INFO_PATIENCE:
            raise DA3Error("The worker does not answer; try again, or repair the dependencies")

    def _read(self, events: list[protocol.Message]) -> None:
        for event in events:
            if isinstance(event, protocol.State) and not self.ended:
                self.session.device = event
                self.end(f"Device: {event.device_name or event.device}")
            elif isinstance(event, protocol.Failed):
                self.fail(BY_NAME.get(event.kind, DA3Error)(event.message))

    def _stop(self) -> None:
        """What the worker still says is nobody's: the next job looks at its number."""
