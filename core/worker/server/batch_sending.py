"""Batches on their way to Blender: arrays into the job's folder, a message that tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...monitor import Monitor
from ...output.payload import CameraRecord, Part, cameras_of
from ...output.splats.thinning import Thinner
from ...output.voxel_merging import VoxelMerger
from ...pipeline import Delivered, deliver
from ...prediction.batch import Batch
from ...settings import Settings
from .. import protocol
from .reporting import Emit


class Sender:
    """Sends the batches of one job.

    Parameters
    ----------
    folder : of the job
    name : of the input
    frame_rate : of a video, frames per second
    origin : of the scene, (3,) in the known cameras' own world, Blender's axes; None where it is the same
    """

    def __init__(
        self,
        job: int,
        folder: Path,
        name: str,
        frame_rate: float | None,
        settings: Settings,
        emit: Emit,
        monitor: Monitor,
        origin: NDArray[np.float64] | None = None,
    ):
        self.folder = folder
        self._origin = None if origin is None else [float(value) for value in origin]
        self._job, self._name, self._frame_rate = job, name, frame_rate
        self._settings, self._emit, self._watch = settings, emit, monitor
        self._merger = VoxelMerger(settings.merge_voxel_size) if settings.merge_points else None
        self._thinner = Thinner()
        self.batches = self.points = self.frames = self._wholes = 0  # sent so far
        self._panoramas: set[int] = set()  # whose camera has been sent: two batches may have views into one

    def send(self, batch: Batch, records: list[CameraRecord], pictures: Sequence[str] = ()) -> Delivered:
        """A batch with its cameras; ``pictures``: files that meshes show, where the images have none of their own."""
        delivered = self.make(batch, records, pictures)
        self.tell(delivered)
        return delivered

    def make(self, batch: Batch, records: list[CameraRecord], pictures: Sequence[str] = ()) -> Delivered:
        """What ``send`` sends of a batch."""
        self._watch.progress("points", 0.0)
        return deliver(batch, records, self._settings, self._merger, self._thinner, pictures)

    def tell(self, delivered: Delivered) -> None:
        """Send what was made of a batch."""
        self._watch.progress("points", 0.5)
        records = delivered.cameras
        cameras = [camera for camera in cameras_of(records) if camera.frame not in self._panoramas]
        self._panoramas.update(camera.frame for camera in cameras if camera.is_panorama)
        self._tell(self.batches, delivered.parts, cameras)
        self.batches += 1
        self.frames += len(cameras)
        self.points += sum(len(cloud) for cloud in delivered.clouds)

    def send_whole(self, parts: Sequence[Part]) -> None:
        """What is of the whole run, and of no batch."""
        self._tell(None, parts, [])
        self._wholes += 1

    def _tell(self, number: int | None, parts: Sequence[Part], records: Sequence[CameraRecord]) -> None:
        stem = f"whole{self._wholes}" if number is None else f"batch{number}"
        saved = []
        for k, part in enumerate(parts):
            self._watch.check()
            saved.append(part.save(self.folder, f"{stem}_{k}"))
        cameras = [record.to_json() for record in records]
        self._emit(protocol.BatchReady(self._job, number, self._name, saved, cameras, self._frame_rate, self._origin))
