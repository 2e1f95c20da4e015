"""What a ``generate`` request does in the worker: frames, model, batches into files, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...streaming import pipeline as streaming
from .. import known_cameras, models
from ..batching import plan
from ..frames import FrameSource
from ..passes import images_per_pass
from ..payload import CameraRecord
from ..pipeline import camera_records, reconstruct
from ..resizing import layout
from ..results import ResultFiles
from ..settings import BatchMode, KnownCameras, Settings
from ..watch import Watch
from . import protocol
from .loaded_model import LoadedModel
from .memory import peak_memory, reset_peak_memory
from .progress import CLASSIC, NETWORK, Progress
from .sending import Emit, Sender

PROGRESS_INTERVAL = 0.05  # seconds between two progress messages of one stage


def generate(
    request: protocol.Generate, model: LoadedModel, emit: Emit, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Run a job to its end and return its report (docs/worker.md).

    Raises
    ------
    Cancelled, BadInput, MissingModel
        and whatever else goes wrong inside
    """
    reset_peak_memory()
    _reset_peak_device_memory()
    settings = Settings.from_strings(request.settings)
    frames = FrameSource.open(settings.input, settings.start_frame, settings.end_frame, settings.frame_stride)
    weights = NETWORK if models.find(settings.model).needs_file else CLASSIC
    streams = settings.batch_mode is BatchMode.DA3_STREAMING
    if streams:
        weights = {streaming.STAGE: 1.0}  # it knows by itself how much of its time is over
    wants_metric = _wants_metric(settings)
    if wants_metric:
        models.require(models.METRES, Path(request.model_folder))  # a missing one is told before the long work
    # Streaming writes its own clouds, once it knows where they go.
    written_here = replace(settings, output_point_cloud=False) if streams else settings
    files = ResultFiles(written_here, frames.name)  # an output folder that cannot be used is told before the long work
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in frames.selected]
    layout(sizes, settings.resolution, settings.resize_method)  # what is too narrow is told before the long work
    teller = _Teller(request.job, frames, Progress(weights), emit)
    if settings.resolution != settings.process_resolution:
        teller.warn(f"Process Resolution {settings.process_resolution} was rounded to {settings.resolution}")

    watch = Watch(teller.progress, cancelled)
    cameras = [CameraRecord.from_json(record) for record in request.cameras or ()]
    known = known_cameras.find(settings, frames, cameras, watch)
    if known:
        frames.selected = [i for i in frames.selected if i in known.extrinsics]
        for message in known.warnings:
            teller.warn(message)
    watch.progress("load", 0.0)
    predictor = model.get(settings.model, Path(request.model_folder), frames, watch, settings.fp16, request.device)
    metric = model.get_metric(wants_metric, Path(request.model_folder), frames, watch, settings.fp16, request.device)
    if model.name:
        emit(protocol.Loaded(model.name))
    watch.progress("load", 1.0)
    settings = replace(settings, batch_size=images_per_pass(frames, settings, predictor))  # what "automatic" means here
    teller.passes(1 if streams else len(plan(frames.selected, settings)))
    if known:
        predictor = known_cameras.ConditionedPredictor(predictor, known, frames)

    sender = Sender(request.job, Path(request.folder), frames.name, frames.frame_rate, settings, emit, watch)
    moves: list[list[list[float]]] = []
    way = streaming.reconstruct if streams else reconstruct
    with files:
        for batch in way(frames, settings, predictor, metric=metric, on_progress=teller.progress, cancelled=cancelled):
            if isinstance(batch, streaming.Settled):
                moves = streaming.moves_to_blender(batch.moves).tolist()
                continue
            records = camera_records(batch, frames, settings)
            delivered = sender.send(batch, records)
            headers = [frames.headers[i] for i in batch.indices]
            files.add(delivered.clouds, records, [(header.width, header.height) for header in headers])
            files.add_pictures(batch.prediction, batch.indices, [record.name for record in records])
            if streams:
                teller.warn_all(batch.warnings)
            else:
                teller.pass_done(batch.warnings)
        written = files.finish([np.array(move) for move in moves])
        for message in files.warnings:
            teller.warn(message)
    return {
        "model": settings.model,
        "frames": sender.frames,
        "batches": sender.batches,
        "points": sender.points,
        "seconds": teller.finish(),
        "peak_memory": {"worker": peak_memory(), "device": _peak_device_memory()},
        "warnings": teller.warnings,
        "files": [str(path) for path in written],
        "moves": moves,  # of streaming: where each batch goes at last, (4, 4) in Blender's axes
    }


def _wants_metric(settings: Settings) -> bool:
    """Use Metric, where the model is not metric already and the scale is not that of known cameras."""
    model = models.find(settings.model)
    free = settings.known_cameras is KnownCameras.OFF
    return settings.use_metric and free and not model.is_metric and model.metric_focal is None


class _Teller:
    """Turns what the pipeline says into messages: progress not too often, every warning once."""

    def __init__(self, job: int, frames: FrameSource, progress: Progress, emit: Emit):
        self.warnings: list[str] = []
        self._job = job
        self._frames = frames
        self._progress = progress
        self._emit = emit
        self._last = 0.0

    def progress(self, stage: str, fraction: float) -> None:
        new = self._progress.report(stage, fraction)
        now = time.monotonic()
        if new or now - self._last >= PROGRESS_INTERVAL:
            self._last = now
            p = self._progress
            self._emit(protocol.Progress(self._job, stage, round(p.fraction, 4), p.remaining))

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            self._emit(protocol.Warned(self._job, message))

    def passes(self, count: int) -> None:
        """How many passes the job makes."""
        self._progress.passes = max(1, count)

    def pass_done(self, warnings: list[str]) -> None:
        self._progress.pass_done()
        self.warn_all(warnings)

    def warn_all(self, warnings: list[str]) -> None:
        for message in [*self._frames.warnings, *warnings]:
            self.warn(message)

    def finish(self) -> dict[str, float]:
        return self._progress.finish()


def _peak_device_memory() -> int:
    """Most bytes that torch held on the CUDA device during this job; 0 without one."""
    torch = _torch_with_cuda()
    return int(torch.cuda.max_memory_allocated()) if torch else 0


def _reset_peak_device_memory() -> None:
    torch = _torch_with_cuda()
    if torch:
        torch.cuda.reset_peak_memory_stats()


def _torch_with_cuda() -> Any:
    """torch where it is loaded already and drives a CUDA device, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None
