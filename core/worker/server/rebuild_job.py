"""What a ``rebuild`` request does in the worker: a kept run with other settings, or one surface from it, without the model."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import Cancelled, DA3Error
from ...frames.pixels.kinds import opens_in_blender
from ...monitor import Monitor
from ...motion import detection
from ...output.kept_runs import KeptRun
from ...output.payload import CameraRecord, PointArrays
from ...prediction import filters
from ...prediction.batch import Batch
from ...prediction.prediction import Prediction
from ...settings import Settings, options
from ...shots import smooth_cost
from ...shots.tracks import Gathered
from ...surfaces.pictures import kept_behind
from .. import protocol
from ..life.peak_memory import peak_memory, reset_peak_memory
from .batch_sending import Sender
from .explaining import explained
from .progress import Progress
from .reporting import Emit, ProgressReporter

SURFACE, SPLATS = "surface", "splats"  # stages, as ``surface.STAGE`` and ``refining.STAGE``
# Settings that a rebuild follows; in all others the run stays what it was.
GROUPS = ("filters", "motion", "surfaces", "output", "animation")
THRESHOLDS = ("depth_threshold", "conf_threshold_coef")


def rebuild(request: protocol.Rebuild, emit: Emit, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Run a job to its end and return its report, as ``generate``'s.

    Raises
    ------
    Cancelled, BadInput
    """
    reset_peak_memory()
    run = KeptRun.open(Path(request.kept_folder), request.run)
    settings = settings_for(run, Settings.from_strings(request.settings))
    if request.what == protocol.REFINED:
        settings = replace(settings, splats=True, generate_meshes=False, fuse_frames=False)
    warnings: list[str] = []
    wants_surface, wants_parts = settings.fuse_frames or request.what == protocol.FUSED, request.what != protocol.FUSED
    stages = {detection.STAGE: 5.0, "points": 1.0} if settings.detect_motion else {"points": 1.0}
    at_end = {SPLATS: 100.0} if request.what == protocol.REFINED else {SURFACE: 20.0} if wants_surface else {}
    progress = Progress(stages if wants_parts else {}, len(run), at_end=at_end)
    reporter = ProgressReporter(request.job, warnings, progress, emit)
    monitor = Monitor(reporter.progress, cancelled)
    name, rate = run.about["name"], run.about["frame_rate"]
    sender = Sender(request.job, Path(request.folder), name, rate, settings, emit, monitor)
    written: list[Path] = []
    smooth = ""
    if wants_parts:
        if settings.use_segmentation and not run.settings.use_segmentation:
            warnings.append("The run was made without segmentation: generate it again to find the things in it")
        records: dict[int, list[CameraRecord]] = {}
        tracks = Gathered()
        batches = filtered(run, settings, monitor, records, tracks)
        if request.what == protocol.REFINED:
            made = send_refined(batches, records, sender, monitor, progress, warnings, request.device)
            written = write_splats(settings, name, made, warnings, reporter)
        else:
            for batch in batches:
                cameras = records.pop(batch.indices[0])
                kept = _copies(run.pictures(batch.indices), cameras, is_video=bool(rate))
                cameras, pictures = kept_behind(cameras, kept, sender.folder, meshes=settings.generate_meshes)
                sender.send(batch, cameras, pictures)
                progress.pass_done()
        if part := tracks.part():
            sender.send_whole([part])
        smooth = smooth_cost.sentence(tracks, settings.path_reach)
        warnings.extend([smooth] * bool(smooth))
    if wants_surface and wants_parts:
        try_surface(run, settings, sender, monitor, reporter, request.device)
    elif wants_surface:
        send_surface(run, settings, sender, monitor, warnings, request.device)
    reporter.warn_all([])
    return {
        "model": run.settings.model,
        "frames": run.frames,
        "frames_wanted": run.frames,  # a rebuild wants what was kept, no more
        "batches": sender.batches,
        "points": sender.points,
        "seconds": reporter.finish(),
        "peak_memory": {"worker": peak_memory(), "device": 0},
        "warnings": reporter.warnings,
        "failures": reporter.failures,
        "files": [str(path) for path in written],
        "smooth_path": smooth,
        "moves": [],  # what was kept of a long way is at its final place
        "run": run.id,
    }


def _copies(kept: Sequence[str], cameras: Sequence[CameraRecord], *, is_video: bool) -> list[str]:
    """Which of the kept pictures meshes show: those of frames that Blender cannot read from their own files.

    A kept picture is the whole canvas; where the original fills only a part of it, the mesh keeps its points' colours.
    """
    return [
        picture
        if is_video
        or (c.placement == (0, 0, c.width, c.height) and (c.turn or c.copy or not opens_in_blender(Path(c.image))))
        else ""
        for picture, c in zip(kept, cameras, strict=True)
    ]


def settings_for(run: KeptRun, wanted: Settings) -> Settings:
    """The run's own settings, but for those that need no model."""
    free = [o.name for o in options() if o.group in GROUPS or o.name in THRESHOLDS]
    return replace(run.settings, **{name: getattr(wanted, name) for name in free})


def filtered(
    run: KeptRun,
    settings: Settings,
    monitor: Monitor,
    records: dict[int, list[CameraRecord]],
    tracks: Gathered | None = None,
) -> Iterator[Batch]:
    """The run's batches, filtered anew; their cameras go into ``records``, by a batch's first frame, and what they followed
    into ``tracks``."""
    kept = run.settings
    same = (kept.detect_motion, kept.motion_threshold, kept.use_segmentation) == (
        settings.detect_motion,
        settings.motion_threshold,
        settings.use_segmentation,
    )

    def batches() -> Iterator[Batch]:
        for batch, own in run.batches():
            filters.apply_anew(batch.prediction, settings)
            if not settings.use_segmentation:
                batch.prediction.object_id, batch.names = None, {}
            if not (settings.detect_motion and same):
                batch.motion = batch.moving = None
            records[batch.indices[0]] = own
            if tracks is not None:
                tracks.add(batch.prediction, own)
            yield batch

    return detection.detect(batches(), settings, monitor) if settings.detect_motion and not same else batches()


def try_surface(
    run: KeptRun | None,
    settings: Settings,
    sender: Sender,
    monitor: Monitor,
    reporter: ProgressReporter,
    device: str | None,
) -> None:
    """``send_surface`` where the rest of the scene is there and must not be lost: what goes wrong is said as a failure."""
    reason = "the run could not be kept, and all its frames are needed again" if run is None else ""
    if run is not None:
        warnings: list[str] = []
        try:
            send_surface(run, settings, sender, monitor, warnings, device)
        except Cancelled:
            raise
        except DA3Error as error:
            reason = explained(error)
        except Exception as error:  # noqa: BLE001  # the edge of a side product: whatever it was, the scene stays
            traceback.print_exc()
            reason = explained(error)
        reporter.warn_all(warnings)
    if reason:
        reporter.fail(f"The frames were not fused: {reason}")


def send_surface(
    run: KeptRun, settings: Settings, sender: Sender, monitor: Monitor, warnings: list[str], device: str | None
) -> None:
    """One surface from all frames of a run, without what moves in them; ``device`` as in ``protocol.Generate``."""
    from ...devices.choosing import choose
    from ...surfaces import fused_part  # late, all three: they bring torch, and filters alone need none
    from ...surfaces.fused_surface import fuse

    def pieces() -> Iterator[tuple[list[int], Prediction]]:
        for batch in filtered(run, settings, monitor.silent, {}):
            if batch.moving is not None:
                batch.prediction.conf[batch.moving] = 0.0
            yield batch.indices, batch.prediction

    choice = choose(device)
    mesh = fuse(pieces, settings, monitor, device=str(choice.device))
    warnings.extend([choice.warning] * bool(choice.warning) + mesh.warnings)
    sender.send_whole([fused_part.part(mesh, sender.folder)])


def send_refined(
    batches: Iterator[Batch],
    records: dict[int, list[CameraRecord]],
    sender: Sender,
    monitor: Monitor,
    progress: Progress,
    warnings: list[str],
    device: str | None,
) -> list[PointArrays]:
    """A run's batches with their splats refined, all at its end; ``records`` as ``filtered`` fills them. Its points."""
    from ...devices.choosing import choose
    from ...splats.preparing import prepared  # late, all three: they bring torch
    from ...splats.run import refined, views_of

    choice = choose(device)
    warnings.extend([choice.warning] * bool(choice.warning))
    made, views = [], []
    ready = prepared(batches, lambda one: records.pop(one.indices[0]), monitor, str(choice.device), warnings)
    for batch, cameras in ready:
        made.append(sender.make(batch, cameras))
        views += views_of(batch, [record.frame for record in cameras])
        progress.pass_done()
    result = refined([one.parts for one in made], views, monitor, str(choice.device))
    found = result.found
    warnings.append(
        f"Splats refined: views that took no part have {found.after:.1f} dB after {found.steps} steps, {found.before:.1f} before"
    )
    for one, parts in zip(made, result.parts, strict=True):
        sender.tell(replace(one, parts=parts))
    return [part.arrays for parts in result.parts for part in parts if isinstance(part.arrays, PointArrays)]


def write_splats(
    settings: Settings, name: str, clouds: list[PointArrays], warnings: list[str], reporter: ProgressReporter
) -> list[Path]:
    """The refined splats' file, where one is wanted; what goes wrong is said, and the scene comes all the same."""
    from ...splats.writing import write

    try:
        return write(settings, name, clouds, warnings)
    except (DA3Error, OSError) as error:
        reporter.fail(f"The refined splats were not written: {explained(error)}")
        return []
