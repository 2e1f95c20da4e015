"""A run for scripts and notebooks: images in, numpy arrays out. Needs numpy; torch stays in the worker. docs/scripting.md shows it."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BY_NAME, BadInput, Cancelled, DA3Error, WorkerDied
from ..installer.condition import default_folder
from ..installer.environment import Environment
from ..output.payload import CameraRecord, MeshArrays, Part, PointArrays, TrackArrays
from ..settings import Settings
from . import protocol
from .client import WorkerClient

Built = PointArrays | MeshArrays | TrackArrays
WAIT = 0.1  # seconds between two looks at whether to go on


@dataclass(frozen=True)
class Reconstruction:
    """What a run has found, in memory."""

    points: PointArrays  # of all frames, Blender's axes (z up); ``point_color`` is linear RGBA
    meshes: list[MeshArrays]  # where Generate Meshes or Fuse Frames to Mesh is on
    cameras: list[CameraRecord]  # in the order of the frames
    warnings: list[str]
    report: dict[str, Any]  # docs/worker.md
    tracks: TrackArrays | None = None  # the points that were followed, where the model follows any


def reconstruct(
    images: Path | str | Sequence[NDArray[np.uint8]],
    *,
    python: Path | None = None,
    models: Path | str = "models",
    device: str | None = None,
    online: bool = False,
    on_progress: Callable[[str, float, float | None], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Reconstruction:
    """Reconstruct a place.

    Parameters
    ----------
    images : a folder, an image or a video; or (H, W, 3) uint8 arrays, sRGB, upright
    python : the worker's interpreter; None: that of the environment in ``$DA3_ENVIRONMENT``
    models : folder of the model files
    device : "cuda", "mps", "cpu"; None takes the first of these that is there
    online : whether a segmentation network that is missing may be downloaded
    on_progress : called with the stage, the fraction of the run that is done, and the seconds left (None: not known yet)
    cancelled : asked ten times a second
    settings : by name, as in docs/settings.md (``model="classic"``)

    Raises
    ------
    DA3Error
        of ``core.errors``: BadInput, MissingEnvironment, MissingModel, OutOfMemory, Cancelled, WorkerDied; each is one sentence
    """
    client = WorkerClient(python or Environment(default_folder()).require())
    with tempfile.TemporaryDirectory(prefix="da3-script-") as folder:
        place = images if isinstance(images, Path | str) else _written(images, Path(folder))
        chosen = Settings.from_strings({"input": str(Path(place).absolute()), **settings}).to_json()
        try:
            job = client.generate(chosen, Path(models).absolute(), device, None, None, online)
            return _received(client, job, on_progress or (lambda stage, fraction, left: None), cancelled)
        finally:
            client.close()


def _received(
    client: WorkerClient,
    job: int,
    on_progress: Callable[[str, float, float | None], None],
    cancelled: Callable[[], bool],
) -> Reconstruction:
    batches: list[tuple[int | None, list[Built], list[CameraRecord]]] = []
    warnings: list[str] = []
    for event in _events(client, job, cancelled):
        match event:
            case protocol.Progress(stage=stage, fraction=fraction, remaining=remaining):
                on_progress(stage, fraction, remaining)
            case protocol.Warned(message=message):
                warnings.append(message)
            case protocol.BatchReady():
                parts = [_in_memory(Part.open(client.folder(job), record).arrays) for record in event.parts]
                batches.append((event.batch, parts, [CameraRecord.from_json(record) for record in event.cameras]))
            case protocol.Done(report=report):
                moves = report.pop("moves", [])
                return _joined([_moved(batch, moves) for batch in batches], warnings, report)
            case protocol.Failed(kind=kind, message=message):
                raise BY_NAME.get(kind, DA3Error)(message)
            case protocol.Stopped():
                raise Cancelled
    raise WorkerDied("The worker ended without a word")


def _events(client: WorkerClient, job: int, cancelled: Callable[[], bool]) -> Iterator[protocol.Message]:
    is_stopping = False
    while True:
        is_running = client.is_running()
        if not is_stopping and cancelled():
            is_stopping = True
            client.cancel(job)
        events = client.wait(WAIT)
        yield from (event for event in events if getattr(event, "job", None) == job)
        if not is_running and not events:
            return


def _in_memory(arrays: Built) -> Built:
    """The same, not mapped from the job's folder, which goes."""
    return type(arrays)(**{name: np.array(array) for name, array in arrays.given().items()})


def _moved(
    batch: tuple[int | None, list[Built], list[CameraRecord]], moves: Sequence[Sequence[Sequence[float]]]
) -> tuple[list[Built], list[CameraRecord]]:
    """At its final place: streaming closes its loops at the end."""
    number, parts, cameras = batch
    if number is None or number >= len(moves):
        return parts, cameras
    move = np.array(moves[number])
    size = np.float32(np.cbrt(np.linalg.det(move[:3, :3])))
    placed: list[Built] = []
    for part in parts:
        position = (part.position @ move[:3, :3].T + move[:3, 3]).astype(np.float32)
        if isinstance(part, PointArrays):
            placed.append(replace(part, position=position, radius=None if part.radius is None else part.radius * size))
        elif isinstance(part, MeshArrays):
            placed.append(replace(part, position=position, depth=None if part.depth is None else part.depth * size))
    return placed, [camera.moved(move) for camera in cameras]


def _joined(
    batches: Sequence[tuple[list[Built], list[CameraRecord]]], warnings: list[str], report: dict[str, Any]
) -> Reconstruction:
    parts = [part for batch, _ in batches for part in batch]
    clouds = [part for part in parts if isinstance(part, PointArrays)]
    names = set.intersection(*(set(cloud.given()) for cloud in clouds)) if clouds else set()
    arrays = {name: np.concatenate([cloud.given()[name] for cloud in clouds]) for name in names}
    points = PointArrays(**arrays) if clouds else _none()
    cameras = sorted((camera for _, found in batches for camera in found), key=lambda camera: camera.frame)
    meshes = [part for part in parts if isinstance(part, MeshArrays)]
    tracks = next((part for part in parts if isinstance(part, TrackArrays)), None)  # of the whole run, at their place
    return Reconstruction(points, meshes, cameras, warnings, report, tracks)


def _none() -> PointArrays:
    return PointArrays(
        np.empty((0, 3), np.float32), np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32)
    )


def _written(images: Sequence[NDArray[np.uint8]], folder: Path) -> Path:
    """The images as PNG files, named by their number."""
    if not len(images):
        raise BadInput("There are no images: give at least one array")
    for number, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise BadInput(
                f"Image {number} is {image.dtype} {image.shape}: it must be uint8 of shape (height, width, 3)"
            )
        (folder / f"{number:06d}.png").write_bytes(_png(image))
    return folder


def _png(image: NDArray[np.uint8]) -> bytes:
    """An RGB image as PNG (the standard's sections 5 and 11): Blender's Python has no library for it."""
    height, width = image.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
