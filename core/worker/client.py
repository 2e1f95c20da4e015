"""Blender's side of the worker: jobs, one at a time. Standard library only."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files.silence import PATIENCE
from . import protocol
from .life import private_folder
from .process import Process


class WorkerClient:
    """A worker and the one job it has at a time.

    All methods return at once, except ``wait`` and ``close``; call them from the main thread (on Linux the worker ends
    with the thread that started it).

    Parameters
    ----------
    python : interpreter of the worker's environment
    predictor : ``FILE.py:FUNCTION``, what the server opens instead of a model (tests, benchmarks)
    environment : variables added to the worker's
    patience : seconds that a worker may be silent before it is ended
    """

    def __init__(
        self,
        python: Path,
        *,
        predictor: str = "",
        environment: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ):
        self.python = python
        self._predictor = predictor
        self._environment = dict(environment or {})
        self._patience = patience
        self._worker: Process | None = None
        self._events: queue.SimpleQueue[tuple[Process, protocol.Message]] = queue.SimpleQueue()
        self._jobs = 0
        self._given: protocol.Job | None = None  # the newest job
        self._held: protocol.Job | None = None  # waits for a cancelled job to end

    # ------------------------------------------------------------------------------------------------ requests

    def generate(
        self,
        settings: Mapping[str, Any],
        model_folder: Path,
        device: str | None = None,
        cameras: list[dict[str, Any]] | None = None,
        kept: tuple[Path, int] | None = None,
        online: bool = False,
    ) -> int:
        """Start a job and return its number; starts the worker if there is none.

        Parameters
        ----------
        settings : ``Settings.to_json()``
        device : as torch names it, None for the best there is
        cameras : ``CameraRecord.to_json()`` of the cameras that are known
        kept : folder of the runs that ``rebuild`` builds again, and the most bytes they may take; None keeps nothing
        online : whether a segmentation network that is missing may be downloaded

        Raises
        ------
        MissingEnvironment
            The worker's Python is not there or does not start.
        """
        self._jobs += 1
        folder, limit = (str(kept[0]), kept[1]) if kept else (None, 0)
        return self._begin(
            protocol.Generate(self._jobs, "", dict(settings), str(model_folder), device, cameras, folder, limit, online)
        )

    def rebuild(
        self,
        settings: Mapping[str, Any],
        kept_folder: Path,
        run: str,
        what: str = protocol.ALL,
        device: str | None = None,
    ) -> int:
        """Build a kept run again, without the model, and return the job's number; see ``protocol.Rebuild``.

        Raises
        ------
        MissingEnvironment
        """
        self._jobs += 1
        return self._begin(protocol.Rebuild(self._jobs, "", dict(settings), str(kept_folder), run, what, device))

    def download(self, model: str, model_folder: Path, endpoint: str | None = None, token: str | None = None) -> int:
        """Start to download a model and return the job's number. A worker of its own leaves a loaded model in peace.

        Raises
        ------
        MissingEnvironment
        """
        self._jobs += 1
        return self._begin(protocol.Download(self._jobs, model, str(model_folder), endpoint, token))

    def _begin(self, request: protocol.Job) -> int:
        if self._running().stopping:
            self._held = request
        elif not self._give(request):
            self._replace()
            self._give(request)
        return request.job

    def _give(self, request: protocol.Job) -> bool:
        """Hand a job to the worker that runs now; False where it has died idle."""
        worker = self._running()
        self._given = request
        if isinstance(request, protocol.Generate | protocol.Rebuild):
            request = replace(request, folder=str(worker.job_folder(request.job)))
        return worker.begin(request)

    def cancel(self, job: int) -> None:
        """Ask a job to stop. ``Stopped`` follows: from the worker, or because it was killed for not answering."""
        if self._held and self._held.job == job:
            self._held = None
            if self._worker:
                self._events.put((self._worker, protocol.Stopped(job)))
        elif self._worker and self._worker.job == job:
            self._worker.stop()

    def unload(self) -> None:
        """Free the memory the model holds; a worker that is busy does it after its job."""
        if self.is_running():
            assert self._worker
            self._worker.model = None  # as good as: nothing comes before it but a job that runs
            self._worker.send(protocol.Unload())

    def info(self) -> None:
        """Ask for ``State``.

        Raises
        ------
        MissingEnvironment
        """
        self._running().ask()

    # -------------------------------------------------------------------------------------------------- events

    def poll(self) -> list[protocol.Message]:
        """What the worker said since the last call."""
        return self._take(None)

    def wait(self, timeout: float) -> list[protocol.Message]:
        """Like ``poll``, but waits up to ``timeout`` seconds for a first message."""
        return self._take(timeout)

    def _take(self, timeout: float | None) -> list[protocol.Message]:
        events = []
        while True:
            try:
                worker, event = self._events.get(block=timeout is not None, timeout=timeout)
            except queue.Empty:
                break
            timeout = None
            if self._given and self._never_began(worker, event):
                self._replace()
                self._give(self._given)
            elif worker is self._worker or getattr(event, "job", None) is not None:
                events.append(event)  # a worker that died idle and was replaced is no news
        if self._held and not (self._worker and self._worker.stopping):
            self._send_held()
        return events

    def _never_began(self, worker: Process, event: protocol.Message) -> bool:
        """Whether the newest job went to a worker that had died idle a moment before; a new worker shall have it."""
        given = self._given is not None and getattr(event, "job", None) == self._given.job
        return given and worker is self._worker and isinstance(event, protocol.Failed) and worker.died_idle

    def _send_held(self) -> None:
        held, self._held = self._held, None
        assert held
        self._begin(held)

    # ----------------------------------------------------------------------------------------------- the process

    def is_running(self) -> bool:
        """Whether there is a worker."""
        return self._worker is not None and self._worker.alive

    @property
    def model(self) -> str | None:
        """Name of the model in the worker's memory."""
        return self._worker.model if self._worker and self._worker.alive else None

    @property
    def pid(self) -> int | None:
        """Of the running worker."""
        return self._worker.pid if self._worker and self._worker.alive else None

    def folder(self, job: int) -> Path:
        """Where a job's arrays are."""
        assert self._worker
        return self._worker.folder / f"job{job}"

    def release(self, job: int) -> None:
        """Remove a finished job's files; what is still mapped stays readable (on Windows: until it is closed)."""
        if self._worker:
            private_folder.remove_job(self._worker.folder, job)

    def close(self) -> None:
        """End the worker and remove its files; waits until it is gone."""
        self._held = None
        if self._worker:
            self._worker.end()
            self._worker = None

    def kill(self) -> None:
        """End the worker by force and remove its files: at once, for work that may be broken off anywhere."""
        if self._worker:
            self._worker.kill()
        self.close()

    def _running(self) -> Process:
        if self._worker and not self._worker.alive:
            self._replace()
        if self._worker is None:
            self._worker = Process(self.python, self._predictor, self._environment, self._events, self._patience)
        return self._worker

    def _replace(self) -> None:
        """Clean up after a dead worker; the next request starts another."""
        if self._worker:
            self._worker.end()
            self._worker = None
