"""What outlives a click. State lives in one place: ``WindowManager.da3_session``, from ``register`` to ``unregister``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bpy.types import Context, WindowManager

from ..core import environment
from ..panels.preferences import Places

if TYPE_CHECKING:
    from ..core.worker.client import WorkerClient
    from .job import Job


@dataclass
class Status:
    """What the person is told of the job that runs, or of the last one."""

    stage: str = ""
    fraction: float = 0.0
    remaining: float | None = None  # seconds
    warnings: list[str] = field(default_factory=list)
    outcome: str = ""  # how the last job ended


def status_text(status: Status) -> str:
    """One line: stage, percent, time left."""
    text = f"{status.stage.capitalize() or 'Starting'} {status.fraction:.0%}"
    if status.remaining is None:
        return text
    minutes, seconds = divmod(round(status.remaining), 60)
    return f"{text}, {minutes} min {seconds} s left" if minutes else f"{text}, {seconds} s left"


class Session:
    """What outlives a click: the worker with its loaded model, the job that runs, what there is to tell."""

    def __init__(self) -> None:
        self.status = Status()
        self.job: Job | None = None
        self.command: object = None  # Blender's handle of the command line's registration
        self._client: WorkerClient | None = None
        self._environment: tuple[object, environment.Status] | None = None

    def client(self, places: Places) -> WorkerClient:
        """The worker of that environment; another environment's is ended.

        ``$DA3_PREDICTOR`` (``FILE.py:FUNCTION``) puts something else in the place of every model: for tests.

        Raises
        ------
        MissingEnvironment
        """
        from ..core.worker.client import WorkerClient  # late: enabling the add-on should not pay for it

        running = self._client
        if running is None or not running.is_running():
            python = places.worker_python()
            if running is None or running.python != python:
                self.close()
                running = self._client = WorkerClient(python, predictor=os.environ.get("DA3_PREDICTOR", ""))
        return running

    @property
    def model(self) -> str | None:
        """Name of the model in the worker's memory."""
        return self._client.model if self._client else None

    def unload(self) -> None:
        """Free the model's memory."""
        if self._client:
            self._client.unload()

    def environment_status(self, folder: Path) -> environment.Status:
        """Whether the environment is ready, looked at again only where its marker has changed."""
        marker = folder / environment.MARKER
        key = (folder, marker.stat().st_mtime_ns if marker.exists() else None, folder.exists())
        if self._environment is None or self._environment[0] != key:
            self._environment = (key, environment.Environment(folder).state())
        return self._environment[1]

    def close(self) -> None:
        """End job and worker; nothing of either is left."""
        if self.job:
            self.job.cancel()
        if self._client:
            self._client.close()
        self._client = None


def session(context: Context) -> Session:
    """The session of this Blender."""
    return context.window_manager.da3_session


def register() -> None:
    WindowManager.da3_session = Session()


def unregister() -> None:
    WindowManager.da3_session.close()
    del WindowManager.da3_session
