"""A run: the worker reconstructs, the scene grows batch by batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from typing import Any

import bpy
from bpy.types import Object, Scene

from ..core import models
from ..core.errors import BY_NAME, DA3Error
from ..core.payload import CameraRecord, PointArrays
from ..core.settings import Settings
from ..core.worker import protocol
from ..core.worker.client import WorkerClient
from ..core.worker.memory import peak_memory
from ..nodes import assembly
from ..panels.preferences import Places
from .job import Job
from .session import Session

CAMERA_KEYS = ("name", "frame", "camera_to_world", "fx", "fy", "cx", "cy", "width", "height")  # of the report
_NO_MORE = object()


class GenerateJob(Job):
    """One run: a request to the worker, and building what it sends."""

    def __init__(self, session: Session, scene: Scene, settings: Settings, places: Places):
        super().__init__(session)
        self._scene = scene
        self._settings = settings
        self._places = places
        self._client: WorkerClient | None = None
        self._number = -1  # of the job at the client
        self._inbox: deque[protocol.Message] = deque()
        self._run: assembly.Run | None = None
        self._building: Generator[None, None, None] | None = None
        self._build_seconds = 0.0
        self._records: list[CameraRecord] = []
        self._worker_report: dict[str, Any] = {}

    @property
    def collection(self) -> bpy.types.Collection | None:
        """What the run has built into, once its first batch has come."""
        return self._run.top if self._run else None

    def report(self) -> dict[str, Any]:
        """Of a run that has ended well, in the form of ``--report``."""
        report = self._worker_report
        cameras = [{key: getattr(record, key) for key in CAMERA_KEYS} for record in self._records]
        return {
            **report,
            "seconds": {**report["seconds"], "build": round(self._build_seconds, 3)},
            "peak_memory": {**report["peak_memory"], "blender": peak_memory()},
            "cameras": cameras,
            "objects": [_describe(obj) for obj in self._run.top.all_objects] if self._run else [],
        }

    def _start(self) -> None:
        models.require(self._settings.model, self._places.models)
        self._client = self.session.client(self._places)
        self._number = self._client.generate(self._settings.to_json(), self._places.models, self._places.device)

    def _wait(self, seconds: float) -> None:
        if self._client and not self._inbox and self._building is None:
            self._inbox.extend(self._client.wait(seconds))

    def _advance(self, budget: float) -> None:
        assert self._client
        until = time.perf_counter() + budget
        self._inbox.extend(self._client.poll())
        while not self.ended and (self._building or self._inbox):
            if self._building:
                self._build()
            else:
                self._receive(self._inbox.popleft())
            if time.perf_counter() >= until:
                break

    def _build(self) -> None:
        """The next step of the batch that is being built."""
        assert self._building
        started = time.perf_counter()
        if next(self._building, _NO_MORE) is _NO_MORE:
            self._building = None
            self.changed = True
        self._build_seconds += time.perf_counter() - started

    def _receive(self, event: protocol.Message) -> None:
        if getattr(event, "job", None) != self._number:
            return  # of a job before this one, or of none
        match event:
            case protocol.Progress(stage=stage, fraction=fraction, remaining=remaining):
                self.status.stage, self.status.fraction, self.status.remaining = stage, fraction, remaining
            case protocol.Warned(message=message):
                self.status.warnings.append(message)
            case protocol.BatchReady():
                self._building = self._batch_steps(event)
            case protocol.Done(report=report):
                self._worker_report = report
                self.status.fraction = 1.0
                self.end(f"{report['points']:,} points from {report['frames']} images")
            case protocol.Failed(kind=kind, message=message):
                self.fail(BY_NAME.get(kind, DA3Error)(message))
            case protocol.Stopped():
                self.cancel()

    def _batch_steps(self, event: protocol.BatchReady) -> Generator[None, None, None]:
        assert self._client
        if self._run is None:
            self._run = assembly.begin(self._scene, event.name)
            yield
        folder = self._client.folder(self._number)
        records = [CameraRecord.from_json(record) for record in event.cameras]
        for part in event.points:
            cloud = PointArrays.open(folder, part["files"])
            yield from assembly.batch_steps(
                self._run, event.batch, cloud, records,
                threshold=self._settings.min_confidence, scale=self._settings.point_scale,
            )  # fmt: skip
        self._records.extend(records)

    def _stop(self) -> None:
        if self._building is not None:
            self._building.close()  # takes away what is half-built
            self._building = None
        if self._run is not None:
            assembly.end(self._run)
        if self._client is not None:
            self._client.cancel(self._number)
            self._client.release(self._number)


def _describe(obj: Object) -> dict[str, Any]:
    vertices = len(obj.data.vertices) if obj.type == "MESH" else 0
    return {
        "name": obj.name,
        "type": obj.type,
        "collection": obj.users_collection[0].name,
        "vertices": vertices,
    }
