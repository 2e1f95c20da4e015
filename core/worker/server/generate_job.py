"""What a ``generate`` request does in the worker: frames, model, batches into files, report."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....streaming import pipeline as streaming
from ...alignment import known_cameras, one_lens, positioning
from ...alignment.rigs import mounted, panorama
from ...frames.lens import typed
from ...frames.panorama import views as panoramas
from ...frames.resizing import layout
from ...frames.several.joined import open_inputs
from ...frames.source import FrameSource
from ...models import catalogue
from ...monitor import Monitor
from ...motion import detection
from ...output.payload import CameraRecord, cameras_of
from ...output.result_files import ResultFiles
from ...output.run_keeper import KeptWriter
from ...pipeline import camera_records, reconstruct
from ...prediction.batching import plan
from ...prediction.conditioning import fixed_focal
from ...prediction.memory_check import require_room
from ...prediction.passes import free_for, images_per_pass
from ...prediction.predictor import Predictor
from ...segmentation.segmenter import STAGE as SEGMENTATION
from ...segmentation.segmenter import SegmentingPredictor
from ...settings import BatchMode, KnownCameras, Lens, MetricSource, Settings
from ...shots import smooth_cost
from ...shots.sunlight import Sky
from ...shots.tracks import Gathered
from ...surfaces.pictures import behind_cameras, write_frames
from .. import pace, protocol
from ..life.peak_memory import peak_device_memory, peak_memory, reset_peak_device_memory, reset_peak_memory
from .batch_sending import Sender
from .loaded_model import LoadedModel
from .open_segmenter import segmenter
from .progress import CLASSIC, CLASSIC_START, NETWORK, Progress
from .rebuild_job import SURFACE, try_surface
from .reporting import Emit, ProgressReporter


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
    reset_peak_device_memory()
    settings = Settings.from_strings(request.settings)
    frames = typed.undo(panoramas.cut(open_inputs(settings), settings.panorama), settings)
    streams = settings.batch_mode is BatchMode.DA3_STREAMING
    reporter = ProgressReporter(request.job, frames.warnings, _progress(settings), emit)
    monitor = Monitor(reporter.progress, cancelled)
    files = _checked(request, settings, frames, reporter)
    known = known_cameras.find(
        settings, frames, [CameraRecord.from_json(r) for r in request.cameras or ()], monitor, request.device
    )
    if known:
        frames.selected = [i for i in frames.selected if i in known.extrinsics]
        frames = known.straightened(frames)
        reporter.warn_all(known.warnings)
        files.origin = known.scene_origin
    predictor, metric = _loaded(request, settings, frames, model, monitor)
    _require_room(settings, frames, predictor)
    if model.name:
        emit(protocol.Loaded(model.name))
    if not streams:  # a long run that goes on keeps to the size that it began with
        settings = replace(settings, batch_size=images_per_pass(frames, settings, predictor))
    passes = [frames.selected] if streams else plan(frames.selected, settings)
    reporter.passes(len(passes))
    kind = _kind(settings, frames, predictor, images=len({index for one in passes for index in one}))
    learns_in = Path(request.kept_folder) if request.kept_folder and not streams else None  # streaming knows by itself
    reporter.expect(pace.expected(learns_in, kind))
    left_out = len(frames.selected) - len({index for one in passes for index in one})
    if left_out:
        frames.warnings.append(
            f"Batch Mode '{settings.batch_mode.label}' leaves out {left_out} of {len(frames.selected)} images; "
            f"'{BatchMode.AUTOMATIC.label}' uses all of them"
        )
    if known:
        predictor = known_cameras.ConditionedPredictor(predictor, known, frames)
    if frames.views:
        predictor = panorama.RigPredictor(predictor, frames)
    elif (
        not known and settings.lens is not Lens.PER_FRAME and catalogue.find(settings.model).needs_file
    ):  # classic has one by itself
        predictor = one_lens.OneLensPredictor(predictor, frames, fixed_focal(settings, frames))
    positions = positioning.find(settings, frames)
    positioned = positioning.PositionedPredictor(predictor, positions, frames, settings) if positions else None
    predictor = positioned or predictor
    things = segmenter(settings, Path(request.model_folder), frames, monitor, request.device, request.online)
    if things is not None:
        predictor = SegmentingPredictor(predictor, things)
    if things is not None or (settings.generate_meshes and any(map(frames.needs_copy, frames.selected))):
        frames.keep_originals()

    long_way = functools.partial(streaming.reconstruct, origin=known.origin if known else None)
    way = long_way if streams else reconstruct
    batches = way(frames, settings, predictor, metric=metric, on_progress=reporter.progress, cancelled=cancelled)
    if frames.mounted and not known and catalogue.find(settings.model).needs_file:  # classic has done it by itself
        batches = mounted.hold(batches, frames)
    if settings.detect_motion:
        batches = detection.detect(batches, settings, monitor)
    sender = Sender(
        request.job, Path(request.folder), frames.name, frames.frame_rate, settings, emit, monitor, files.origin
    )
    moves: list[list[list[float]]] = []
    cut_short: tuple[str, ...] = ()
    dropped: dict[str, int] = {}
    tracks, sky = Gathered(), Sky()
    with contextlib.closing(batches), files, keeping(request, frames, settings) as kept:
        for batch in batches:
            if isinstance(batch, streaming.Settled):
                moves = streaming.moves_to_blender(batch.moves).tolist()
                cut_short, lost = batch.failures, batch.dropped
                dropped = {"depth_threshold": lost.far, "conf_threshold_coef": lost.unsure}
                continue
            if things is not None:
                batch.names = things.names_in(batch.prediction)
            files.add_straight(frames, batch.indices)
            records = camera_records(batch, frames, settings)
            pictures = write_frames(frames, batch.indices, sender.folder) if settings.generate_meshes else []
            records = behind_cameras(frames, batch.indices, records, sender.folder, pictures)
            delivered = sender.send(batch, records, pictures)
            tracks.add(batch.prediction, records)
            sky.add(batch.prediction)
            kept.add(batch, records)
            cameras, stems = cameras_of(records), [frames.stem(i) for i in batch.indices]
            files.add(delivered.clouds, cameras, [camera.photo for camera in cameras])
            of_frames = zip(records, stems, batch.indices, strict=True)  # each view into a panorama has its own
            files.add_depths(batch, [replace(record, name=stem, frame=i) for record, stem, i in of_frames])
            files.add_pictures(batch, stems)
            if streams:
                reporter.warn_all(batch.warnings)
            else:
                reporter.pass_done(batch.warnings, batch.passes)
        final = [np.array(move) for move in moves]
        if part := tracks.part(final):
            sender.send_whole([part])
        smooth = smooth_cost.sentence(tracks, settings.path_reach, final)
        reporter.warn_all([smooth] * bool(smooth))
        written = files.finish(final)
        run = kept.finish(moves)
        reporter.warn_all([*files.warnings, *kept.warnings, *(things.warnings() if things is not None else ())])
        for message in (*cut_short, *files.failures, *kept.failures):
            reporter.fail(message)
        if settings.fuse_frames:
            try_surface(run, settings, sender, monitor, reporter, request.device)
    seconds = reporter.finish()
    pace.learn(learns_in, kind, seconds)
    return {
        "model": settings.model,
        "frames": sender.frames,
        "frames_wanted": frames.wanted,  # by start, end and stride: "frames" of them are in the scene
        "cameras_by": frames.cameras_by,
        "batches": sender.batches,
        "points": sender.points,
        "dropped": dropped,  # of streaming: points, by the threshold that dropped them
        "seconds": seconds,
        "peak_memory": {"worker": peak_memory(), "device": peak_device_memory()},
        "warnings": reporter.warnings,
        "failures": reporter.failures,
        "files": [str(path) for path in written],
        "run": run.id if run is not None else "",  # where it is kept, for ``rebuild``
        "gps": positioned.report() if positioned else None,
        "sun": sky.sun(),  # the direction to it, Blender's axes; null where no sky tells it
        "smooth_path": smooth,  # what it costs, in a sentence; empty where nothing was smoothed
        "moves": moves,  # of streaming: where each batch goes at last, (4, 4) in Blender's axes
    }


def _progress(settings: Settings) -> Progress:
    """The stages of a run and how long each takes, in parts of a pass."""
    classic = not catalogue.find(settings.model).needs_file
    stages = dict(CLASSIC if classic else NETWORK)
    after_model = {SEGMENTATION: 15.0} if settings.use_segmentation else {}
    before_points = {detection.STAGE: 5.0} if settings.detect_motion else {}
    last = {name: stages.pop(name) for name in ("alignment", "points")}
    stages |= {**after_model, "alignment": last["alignment"], **before_points, "points": last["points"]}
    if settings.batch_mode is BatchMode.DA3_STREAMING:
        stages = {streaming.STAGE: 100.0}  # it knows by itself how much of its time is over
    at_end = {SURFACE: 40.0} if settings.fuse_frames else {}
    return Progress(stages, at_end=at_end, at_start=CLASSIC_START if classic else {})


def _kind(settings: Settings, frames: FrameSource, predictor: Predictor, images: int) -> pace.Kind:
    """What the run's time depends on."""
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in frames.selected]
    width, height, _ = layout(sizes, settings.resolution, settings.resize_method)
    return pace.Kind(pace.work_of(settings), _kind_of(predictor), images, width * height)


def _checked(
    request: protocol.Generate, settings: Settings, frames: FrameSource, reporter: ProgressReporter
) -> ResultFiles:
    """What can be told before the long work: a missing model, images too narrow, an output folder that cannot be used."""
    if _wants_metric(settings):
        catalogue.require(catalogue.METRES, Path(request.model_folder))
    frames.leave_out_narrow(settings.resolution, settings.resize_method)
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in frames.selected]
    width, height, _ = layout(sizes, settings.resolution, settings.resize_method)
    if settings.resolution != settings.process_resolution:
        reporter.warn(f"Process Resolution {settings.process_resolution} was rounded to {settings.resolution}")
    # Streaming writes its own clouds, once it knows where they go.
    streams = settings.batch_mode is BatchMode.DA3_STREAMING
    files = ResultFiles(replace(settings, output_point_cloud=False) if streams else settings, frames.name)
    reporter.warn_all(files.warn_of_space(len(sizes), width * height))
    return files


def _require_room(settings: Settings, frames: FrameSource, predictor: Predictor) -> None:
    device = _kind_of(predictor)
    sizes = {(frames.headers[i].width, frames.headers[i].height) for i in frames.selected}
    require_room(sizes, settings, catalogue.find(settings.model).config, free_for(predictor, device), device)


def _kind_of(predictor: Predictor) -> str:
    """Where it computes: "cuda", "mps" or "cpu"."""
    device = getattr(predictor, "device", "cpu")
    return str(getattr(device, "type", device))


def _loaded(
    request: protocol.Generate, settings: Settings, frames: FrameSource, model: LoadedModel, monitor: Monitor
) -> tuple[Predictor, Predictor | None]:
    """The model, and the metric model where it is wanted."""
    monitor.progress("load", 0.0)
    where = (Path(request.model_folder), frames, monitor, settings.fp16, request.device)
    if settings.ray and catalogue.find(settings.model).needs_file:
        predictor = model.get_ray(settings.model, *where, address=settings.ray, workers=settings.ray_workers)
    else:
        predictor = model.get(settings.model, *where)
        if settings.ray:
            frames.warnings.append(
                f"{catalogue.find(settings.model).label} computes on this machine's processor, without Ray"
            )
    metric = model.get_metric(_wants_metric(settings), *where)
    frames.warnings.extend(filter(None, [getattr(predictor, "device_warning", "")]))
    monitor.progress("load", 1.0)
    return predictor, metric


@contextlib.contextmanager
def keeping(request: protocol.Generate, frames: FrameSource, settings: Settings) -> Iterator[KeptWriter]:
    """Keeps the run as the request says; a run that does not come to its end is not kept.

    A surface needs all frames again at the end: for that a run is kept in the job's folder where it is not kept at all.
    """
    root, limit = (Path(request.kept_folder), request.kept_bytes) if request.kept_folder else (None, 0)
    if root is None and settings.fuse_frames:
        root, limit = Path(request.folder) / "kept", sys.maxsize
    kept = KeptWriter(root, limit, frames.name, frames.frame_rate, settings)
    try:
        yield kept
    finally:
        kept.discard()


def _wants_metric(settings: Settings) -> bool:
    """Use Metric, where the model is not metric already and the scale is not that of known cameras."""
    model = catalogue.find(settings.model)
    free = settings.known_cameras is KnownCameras.OFF
    free = free and settings.metric_source is not MetricSource.GPS
    return settings.use_metric and free and not model.is_metric and model.metric_focal is None
