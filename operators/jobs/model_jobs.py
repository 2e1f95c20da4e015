"""Long work on models: download, move."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from ...core.errors import BY_NAME, BadInput, DA3Error
from ...core.models import moving
from ...core.models.catalogue import ModelInfo
from ...core.models.folder import size_text
from ...core.worker import protocol
from ...core.worker.client import WorkerClient
from ..state.places import Places
from ..state.session import Session
from .job import Job
from .thread_job import Tell, ThreadJob


class DownloadJob(Job):
    """Brings one model, in a worker of its own: the one that holds a loaded model is left in peace, and this one may be
    killed at any moment without harm. What has arrived is kept for the next time."""

    def __init__(self, session: Session, model: ModelInfo, places: Places):
        super().__init__(session)
        self.title = f"Download {model.label}"
        self._model = model
        self._places = places
        self._client: WorkerClient | None = None
        self._number = -1
        self._inbox: deque[protocol.Message] = deque()

    def _start(self) -> None:
        if not self._model.needs_file:
            raise BadInput(f"{self._model.label} has no file to download")
        here = self._places
        self._client = WorkerClient(here.worker_python())
        self._number = self._client.download(self._model.name, here.models, here.endpoint, here.token)
        self.status.stage = "connecting"

    def _wait(self, seconds: float) -> None:
        assert self._client
        self._inbox.extend(self._client.wait(seconds))

    def _advance(self, budget: float) -> None:
        assert self._client
        self._inbox.extend(self._client.poll())
        while self._inbox and not self.ended:
            self._receive(self._inbox.popleft())

    def _receive(self, event: protocol.Message) -> None:
        match event:
            case protocol.Transfer():
                self._show(event)
            case protocol.Done(report=report):
                self.status.fraction = 1.0
                self.end(f"{self._model.label} is installed ({size_text(report['bytes'])})")
            case protocol.Failed(kind=kind, message=message):
                self.fail(BY_NAME.get(kind, DA3Error)(message))
            case protocol.Stopped():
                self.cancel()

    def _show(self, event: protocol.Transfer) -> None:
        status = self.status
        status.stage, status.remaining = event.stage, event.remaining
        status.fraction = event.done / event.total if event.total else 0.0
        parts = [f"{size_text(event.done)} of {size_text(event.total)}"] if event.total else []
        parts += [f"{size_text(event.speed)}/s"] if event.speed else []
        parts += [event.note] if event.note else []
        status.detail = ", ".join(parts)

    def _stop(self) -> None:
        if self._client is not None:
            self._client.kill()  # in the middle of its start it would not hear a friendlier word for a second


def move_job(session: Session, source: Path, target: Path, *, unknown_networks: bool = False) -> ThreadJob:
    """Move all models from one folder into another; see ``moving.move_models``."""

    def work(tell: Tell, cancelled: Callable[[], bool]) -> str:
        moved = moving.move_models(
            source,
            target,
            lambda stage, fraction: tell(stage, fraction, ""),
            cancelled,
            unknown_networks=unknown_networks,
        )
        return "; ".join(map(str, moved)) or f"There are no models in {source}"

    return ThreadJob(session, "Move Existing Models", work, session.forget_models)
