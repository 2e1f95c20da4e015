"""What outlives a click. State lives in one place: ``WindowManager.da3_session``, from ``register`` to ``unregister``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bpy.types import Context, WindowManager

from ...core.files.user_cache import KEPT_MARKER
from ...core.frames import found
from ...core.models.catalogue import SUFFIX, ModelInfo
from ...core.models.folder import partial_bytes
from ...core.worker import pace
from . import original
from .looking import Looked
from .places import Places, environment_in

if TYPE_CHECKING:
    from ...core.installer.condition import Info
    from ...core.installer.condition import Status as EnvironmentStatus
    from ...core.models import files as model_files
    from ...core.worker.client import WorkerClient
    from ...core.worker.protocol import State


class RunningJob(Protocol):
    """What is known of a job here; ``operators/jobs`` makes them."""

    title: str
    builds: bool
    changed: bool

    def cancel(self) -> None: ...

    def settle(self) -> None: ...

    def scene_was_replaced(self) -> None: ...


@dataclass
class Status:
    """What the person is told of the job that runs, or of the last one."""

    title: str = ""  # what the job is, as on its button
    stage: str = ""
    fraction: float = 0.0
    remaining: float | None = None  # seconds
    detail: str = ""  # more on the stage: bytes and speed, the newest line of an installer
    lines: list[str] = field(default_factory=list)  # the last lines of an installer, oldest first
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # those of them that say what is missing beside the scene
    outcome: str = ""  # how the last job ended
    failed: bool = False


def status_text(status: Status) -> str:
    """One line: stage, percent, time left."""
    text = f"{_capitalized(status.stage) or 'Starting'} {status.fraction:.0%}"
    return f"{text}, {time_text(status.remaining)} left" if status.remaining is not None else text


def time_text(seconds: float) -> str:
    """A length of time as a person says it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


class Session:
    """What outlives a click: the worker with its loaded model, the job that runs, what there is to tell."""

    def __init__(self) -> None:
        self.status = Status()
        self.job: RunningJob | None = None
        self.command: object = None  # Blender's handle of the command line's registration
        self.device: State | None = None  # what the worker last said of its device, when it was asked
        self._client: WorkerClient | None = None
        self._environment: tuple[object, EnvironmentStatus] | None = None
        # What drawing asks for.
        self.inputs: Looked[tuple[str, ...], found.Found] = Looked(
            lambda paths: found.look_at_all([Path(path) for path in paths]), waits_first=False
        )
        self.original: Looked[Path, original.Left] = Looked(original.look, waits_first=False)
        self._statuses = Looked(self._environment_status)
        self._infos: Looked[Path, Info | None] = Looked(lambda folder: environment_in(folder).info())
        self._folders = Looked(self._folder_contents)
        self._partial: Looked[tuple[Path, str], int] = Looked(lambda key: partial_bytes(*key))
        self._seconds: Looked[tuple[Path, str, int, int], float | None] = Looked(
            lambda key: pace.before_a_run(*key), waits_first=False
        )
        self._kept: Looked[Path, bool] = Looked(lambda folder: (folder / KEPT_MARKER).is_file())
        self._contents: tuple[object, model_files.Contents] | None = None

    def client(self, places: Places) -> WorkerClient:
        """The worker of that environment; another environment's is ended.

        ``$DA3_PREDICTOR`` (``FILE.py:FUNCTION``) puts something else in the place of every model: for tests.

        Raises
        ------
        MissingEnvironment
        """
        from ...core.worker.client import WorkerClient  # late: enabling the add-on should not pay for it

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

    def environment_status(self, folder: Path) -> EnvironmentStatus:
        """Whether the environment is ready."""
        status = self._statuses.get(folder)
        assert status
        return status

    def environment_info(self, folder: Path) -> Info | None:
        """What is installed; None where nothing is."""
        return self._infos.get(folder)

    def partial_bytes(self, folder: Path, name: str) -> int:
        """How much of an interrupted download of a model is there to go on from."""
        return self._partial.get((folder, name)) or 0

    def seconds_of(self, folder: Path, work: str, images: int, pixels: int) -> float | None:
        """How long a run will take (``pace.before_a_run``); None where that is not known, or not yet."""
        return self._seconds.get((folder, work, images, pixels))

    def is_kept(self, folder: Path) -> bool:
        """Whether the folder of a kept run is there and whole."""
        return bool(self._kept.get(folder))

    def _environment_status(self, folder: Path) -> EnvironmentStatus:
        """Looked at again only where its marker has changed."""
        from ...core.installer.place import MARKER  # late: enabling the add-on should not pay for it

        marker = folder / MARKER
        key = (folder, marker.stat().st_mtime_ns if marker.exists() else None, folder.exists())
        if self._environment is None or self._environment[0] != key:
            self._environment = (key, environment_in(folder).state())
        return self._environment[1]

    def forget_environment(self) -> None:
        """Look at the environment anew the next time; what was known of its device goes too."""
        self._environment = None
        self._statuses.forget()
        self._infos.forget()
        self.device = None

    def contents(self, folder: Path) -> model_files.Contents:
        """What is in the model folder."""
        contents = self._folders.get(folder)
        assert contents
        return contents

    def forget_models(self) -> None:
        """Look at the model folder anew the next time."""
        self._folders.forget()
        self.original.forget()
        self._partial.forget()

    def _folder_contents(self, folder: Path) -> model_files.Contents:
        """Files are looked into again only where one has changed."""
        from ...core.models import files as model_files  # late: enabling the add-on should not pay for it

        try:
            files = [file for file in os.scandir(folder) if file.name.endswith(SUFFIX)]
            key = (folder, sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files))
        except OSError:
            key = (folder, [])  # not there yet, or a file has gone this very moment
        if self._contents is None or self._contents[0] != key:
            self._contents = (key, model_files.recognise(folder))
        return self._contents[1]

    def has(self, model: ModelInfo, folder: Path) -> bool:
        """Whether a model can be used: it needs no file, or its file is there and whole."""
        return not model.needs_file or model in self.contents(folder).models

    def close(self) -> None:
        """End job and worker; nothing of either is left."""
        if self.job:
            job = self.job
            job.cancel()
            job.settle()
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
