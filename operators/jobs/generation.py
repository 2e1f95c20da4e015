"""A run: the worker reconstructs, the scene grows batch by batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import bpy
import numpy as np
from bpy.app.translations import pgettext_iface as tr
from bpy.types import Object, Scene

from ...core.errors import BY_NAME, DA3Error
from ...core.installer.place import has_ray
from ...core.models import catalogue
from ...core.output.payload import CameraRecord, Part
from ...core.settings import KnownCameras, Settings
from ...core.worker import protocol
from ...core.worker.client import WorkerClient
from ...core.worker.life.peak_memory import peak_memory
from ...nodes import assembly, scene_cameras
from ...nodes.animation import Play
from ...nodes.datablocks import borrowed
from ...nodes.datablocks.created import is_there
from ..state.online import allowed
from ..state.places import Places
from ..state.session import Session, time_text
from .arrivals import Arrivals
from .job import Job
from .showing import Showing

CAMERA_KEYS = ("name", "frame", "camera_to_world", "fx", "fy", "cx", "cy", "width", "height")  # of the report
_NO_MORE = object()
MAX_REBUILDS = 20  # of what the person undid or removed meanwhile; more often is no accident


class GenerateJob(Job):
    """One run: a request to the worker, and building what it sends.

    Between two steps the person may undo, delete or open whatever there is. An undo is answered by building again what
    has arrived; a run whose scene or collection was deleted ends.
    """

    title = "Generate"
    builds = True

    def __init__(
        self, session: Session, scene: Scene, settings: Settings, places: Places, *, online: bool | None = None
    ):
        super().__init__(session)
        self._scene = scene
        self._scene_name = scene.name  # to find it again after an undo
        self._settings = settings
        self._places = places
        self._online = allowed() if online is None else online
        self._client: WorkerClient | None = None
        self._number = -1  # of the job at the client
        self._inbox: deque[protocol.Message] = deque()
        self._run: assembly.Run | None = None
        self._building: Generator[None, None, None] | None = None
        self._showing: Showing | None = None
        self._hid_cube = False
        self._arrivals = Arrivals()
        self._undone = False  # Blender has undone or redone something: what was built may be half there
        self._lost = False  # something that is being built, or built into, has gone
        self._rebuilds = 0
        self._started = 0.0
        self._build_seconds = 0.0
        self._records: list[CameraRecord] = []
        self._settled = False  # whether the batches of a streaming run are at their final place
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
        self._started = time.monotonic()
        catalogue.require(self._settings.model, self._places.models)
        self._client = self.session.client(self._places)
        cameras = None
        if self._settings.known_cameras is KnownCameras.COLLECTION:
            records = scene_cameras.read_collection(self._scene, self._settings.known_cameras_collection)
            cameras = [record.to_json() for record in records]
        elif self._settings.known_cameras is KnownCameras.CAMERA:
            moving = scene_cameras.read_moving(self._scene, self._settings.known_camera)
            cameras = [record.to_json() for record in moving]
        kept = (self._places.kept_runs, self._places.kept_bytes) if self._places.kept_bytes else None
        settings = self._settings
        if self._places.all_cards and not settings.ray and catalogue.find(settings.model).needs_file:
            settings = replace(settings, ray="local" if has_ray(self._places.environment) else "")
        self._number = self._client.generate(
            settings.to_json(), self._places.models, self._places.device, cameras, kept, self._online
        )

    def _wait(self, seconds: float) -> None:
        if self._client and not self._inbox and self._building is None:
            self._inbox.extend(self._client.wait(seconds))

    def _advance(self, budget: float) -> None:
        assert self._client
        until = time.perf_counter() + budget
        self._inbox.extend(self._client.poll())
        if not self._undone:
            self._require_target()
        while not self.ended and (self._building or self._inbox or self._undone or self._lost):
            was_building = self._building is not None
            try:
                self._work()
            except ReferenceError:
                self._lost = True
            has_shown = was_building and self._building is None  # what Blender draws before anything else is done
            if has_shown or time.perf_counter() >= until:
                break

    def _work(self) -> None:
        """One small piece."""
        if self._undone or self._lost:
            self._build_again()
        elif self._building:
            self._build()
        else:
            self._receive(self._inbox.popleft())

    def _build(self) -> None:
        """The next step of the batch that is being built."""
        assert self._building
        self._require_target()
        started = time.perf_counter()
        if next(self._building, _NO_MORE) is _NO_MORE:
            self._building = None
            self.changed = True
            if self._showing is None:
                self._show()
        self._build_seconds += time.perf_counter() - started

    def _show(self) -> None:
        """Let the person see what is there: the first batch, and the end."""
        if self._run is None or not is_there(self._run.top):
            return
        if self._showing is None:
            self._hid_cube = borrowed.hide_factory_cube(self._scene, self._run.top)
            self._showing = Showing(self._scene, self.area)
        self._showing.show(self._run.top)

    def scene_was_replaced(self) -> None:
        self._undone = True

    def _require_target(self) -> None:
        """Raise where the person has deleted what is built into."""
        if not is_there(self._scene):
            raise DA3Error(f"The scene '{self._scene_name}' was deleted, so its run was stopped")
        self._scene_name = self._scene.name
        if self._run is not None and not (is_there(self._run.top) and self._run.top.users):
            raise DA3Error("The collection of the run was deleted, so the run was stopped")

    def _build_again(self) -> None:
        """Take away what is left of the run, and build from the batches that have come."""
        if not is_there(self._scene):
            self._scene = bpy.data.scenes.get(self._scene_name) or self._scene
        if not self._undone:
            self._require_target()
        self._undone = self._lost = False
        self._rebuilds += 1
        if self._rebuilds > MAX_REBUILDS:
            raise DA3Error("What the run builds was removed again and again, so the run was stopped")
        if not self._arrivals.are_whole:
            raise DA3Error("A run this long cannot be built again after an undo, so it was stopped: generate it again")
        if self._building is not None:
            self._building.close()
            self._building = None
        if self._run is not None:
            assembly.discard(self._run)
            self._run = None
        self._records.clear()
        self._settled = False
        self._showing = None
        self.changed = False
        self._inbox.extendleft(reversed(self._arrivals.take()))

    def _receive(self, event: protocol.Message) -> None:
        if getattr(event, "job", None) != self._number:
            return  # of a job before this one, or of none
        match event:
            case protocol.Progress(stage=stage, fraction=fraction, remaining=remaining):
                self.status.stage, self.status.fraction, self.status.remaining = stage, fraction, remaining
            case protocol.Warned(message=message):
                self.status.warnings.append(message)
            case protocol.BatchReady():
                assert self._client
                self._arrivals.add(event, self._client.folder(self._number))
                self._building = self._batch_steps(event)
            case protocol.Done(report=report) if report.get("moves") and self._run and not self._settled:
                self._inbox.appendleft(event)  # it is not done before its batches are where they belong
                self._building = self._settle_steps(report["moves"])
            case protocol.Done(report=report):
                self._worker_report = {key: value for key, value in report.items() if key not in ("moves", "run")}
                self.status.failures = self._worker_report.setdefault("failures", [])
                if self._run is not None and is_there(self._run.top):
                    self._run.top["da3_run"] = report["run"]  # what ``rebuild`` finds it by
                    if place := report.get("gps"):
                        self._run.top[assembly.PLACE_ON_EARTH] = place["origin"]
                    if sun := report.get("sun"):
                        self._run.top[assembly.SUN] = sun
                    assembly.tell_path(self._run.top, report.get("smooth_path", ""))
                self.status.fraction = 1.0
                is_one = report["frames_wanted"] == 1
                said = tr(
                    "{points} points, 1 image, {time}" if is_one else "{points} points, {used} of {all} images, {time}"
                ).format(
                    points=f"{report['points']:,}", used=report["frames"], all=report["frames_wanted"],
                    time=time_text(time.monotonic() - self._started),
                )  # fmt: skip
                if self._hid_cube:
                    said += ". " + tr("The default cube is hidden (undo or Delete Run brings it back)")
                self._show()
                self.end(said)
            case protocol.Failed(kind=kind, message=message):
                self.fail(BY_NAME.get(kind, DA3Error)(message))
            case protocol.Stopped():
                self.cancel()

    def _batch_steps(self, event: protocol.BatchReady) -> Generator[None, None, None]:
        assert self._client
        if self._run is None:
            self._run = assembly.begin(
                self._scene, event.name, Play.of(self._settings), event.frame_rate,
                shares_collection=self._settings.shares_collection,
            )  # fmt: skip
            if event.origin is not None:
                self._run.top[assembly.ORIGIN] = event.origin
            yield
        folder = self._client.folder(self._number)
        records = [CameraRecord.open(folder, record) for record in event.cameras]
        parts = [Part.open(folder, record) for record in event.parts]
        yield from assembly.batch_steps(
            self._run, event.batch, parts, records,
            threshold=self._settings.min_confidence, scale=self._settings.point_scale,
            edge_length=self._settings.mesh_edge_length,
        )  # fmt: skip
        self._records.extend(records)

    def _settle_steps(self, moves: list[list[list[float]]]) -> Generator[None, None, None]:
        """DA3 Streaming has closed its loops: every batch to its final place."""
        assert self._run
        yield from assembly.settle_steps(self._run, {k: np.array(move) for k, move in enumerate(moves)})
        self._records[:] = self._run.records
        self._settled = True

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
