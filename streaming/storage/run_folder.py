"""Which folder a run's chunks are in, whether they are this run's, and that nobody else works there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import DA3Error
from ...core.files import ownership
from ...core.files.file_lock import file_lock
from ...core.files.user_cache import user_cache
from ...core.frames.source import FrameSource
from ...core.prediction.predictor import Predictor
from ...core.settings import Settings, options

# Settings that chunks and joint passes do not depend on: a run may change them and still go on.
FREE_GROUPS = ("surfaces", "output", "animation", "devices")
FREE = (
    "input", "start_frame", "end_frame", "frame_stride",  # what they choose is known by file and frame
    "use_metric", "metric_mode", "metric_source", "field_of_view", "min_confidence", "merge_points", "merge_voxel_size",
    "detect_motion", "motion_threshold", "loop_closure", "alignment_library", "depth_threshold", "conf_threshold_coef",
    "separate_chunk_collections", "save_debug",
)  # fmt: skip
PATIENCE = 2.0  # seconds for a run that has just ended to let go of its folder
OF_SEGMENTATION = ("seg_model", "seg_confidence")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder: a second Blender with the same input would spoil its chunks.

    Raises
    ------
    DA3Error
        Another run holds it.
    """
    lock = folder.with_name(f".{folder.name}.da3-lock")
    until = time.monotonic() + PATIENCE

    def give_up() -> None:
        if time.monotonic() > until:
            raise DA3Error(f"Another run is at work in '{folder}': wait for its end, or choose another output folder")

    with contextlib.ExitStack() as held:
        with contextlib.suppress(
            OSError
        ):  # no such folder can be made, which is told soon; or nobody knows locks there
            held.enter_context(file_lock(lock, give_up))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps it
                ownership.delete_empty(lock)


def fingerprint(frames: FrameSource, settings: Settings, predictor: Predictor | None = None) -> str:
    """Of everything that chunks and joint passes depend on: the files, by name, size and date, known cameras, settings.

    With an automatic batch size (0) it does not matter how many images fit into memory today: a run that goes on takes the
    size that it began with.
    """
    files = {frames.paths[i] for i in frames.selected}
    about = []
    for path in sorted(files):
        try:
            stat = path.stat()
        except OSError:  # gone since it was found: reading it will say so
            continue
        about.append((str(path), stat.st_size, stat.st_mtime_ns))
    free = {o.name for o in options() if o.group in FREE_GROUPS}.union(FREE)
    if not settings.use_segmentation:
        free.update(OF_SEGMENTATION)
    wanted = {k: v for k, v in settings.to_json().items() if k not in free}
    cameras = getattr(predictor, "cameras_fingerprint", "")
    text = json.dumps([about, list(frames.selected), wanted, cameras], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def default_folder(frames: FrameSource, settings: Settings) -> Path:
    """In the output folder; without one in the user's cache, by the input's place."""
    if settings.output_folder.strip():
        return Path(settings.output_folder).expanduser() / "streaming"
    place = hashlib.sha256(str(frames.paths[0].resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return user_cache() / "streaming" / place
