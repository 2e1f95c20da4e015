"""The footage behind the moving camera, as a movie clip: Blender's clip editor and its undistortion then know the lens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..core.frames.pixels import kinds
from ..core.output.calibration import original_intrinsics
from . import cameras
from .datablocks import image_materials
from .datablocks.created import Created
from .timeline import Timeline

if TYPE_CHECKING:
    from ..core.output.payload import CameraRecord

CLIP = "da3_clip"  # on a run's collection: its footage
OURS = "da3_plate"  # on a clip: what it shows when; a person's own clip of the same file is left alone


def clip_of(
    records: Sequence[CameraRecord], timeline: Timeline, made: Created, known: bpy.types.MovieClip | None = None
) -> bpy.types.MovieClip | None:
    """The footage as a clip that shows at each frame of the timeline what the run has there, with its lens.

    None where it is no footage: photographs whose names do not count, and what Blender does not open.

    Parameters
    ----------
    records : at least one; all that have come
    timeline : that has learnt of them
    made : learns of a clip that is new
    known : of an earlier batch, which then only learns its lens
    """
    first = min(records, key=lambda record: record.frame)
    clip = known or _load(first, records, timeline, made)
    if clip is not None:
        _set_lens(clip, records)
    return clip


def show(camera: bpy.types.Object, clip: bpy.types.MovieClip, record: CameraRecord) -> None:
    """Put a clip behind a camera that was made of ``record``. Where the lens bends, it is shown as a pinhole would see it."""
    background = camera.data.background_images.new()
    background.source, background.clip = "MOVIE_CLIP", clip
    background.clip_user.use_render_undistorted = any(record.distortion)
    cameras.lay_behind(camera.data, background, record)


def _load(
    first: CameraRecord, records: Sequence[CameraRecord], timeline: Timeline, made: Created
) -> bpy.types.MovieClip | None:
    path = first.video or first.image
    if not path or not Path(path).is_file() or image_materials.is_out_of_reach(path):
        return None
    if not first.video and not (_is_sequence(records, timeline) and kinds.opens_in_blender(Path(path))):
        return None
    # Of files the clip counts from the one it was given, of a video from its first frame.
    start, offset = timeline.of(first.frame), first.frame if first.video else 0
    about = f"{start} {offset} {path}"
    known = next((clip for clip in bpy.data.movieclips if clip.get(OURS) == about), None)
    if known is not None:
        return known
    try:
        clip = bpy.data.movieclips.load(path)
    except RuntimeError:  # removed this very moment, or a codec that Blender lacks
        return None
    if first.video and cameras.is_turned(clip.size, first):
        bpy.data.movieclips.remove(clip)
        return None
    clip[OURS] = about
    clip.frame_start, clip.frame_offset = start, offset
    image_materials.keep_path(clip)
    return made.add(clip)


def _is_sequence(records: Sequence[CameraRecord], timeline: Timeline) -> bool:
    """Whether the files are one take: numbered, in one folder, of one kind."""
    kinds_of_file = {(str(Path(r.image).parent), Path(r.image).suffix) for r in records}
    return timeline.has_numbers and len(kinds_of_file) == 1


def _set_lens(clip: bpy.types.MovieClip, records: Sequence[CameraRecord]) -> None:
    """Tell a clip its lens: the median of those that the frames have, for it has one only."""
    photos = [record for record in records if all(record.photo)]
    if not photos:
        return
    (wide, high), lens = photos[0].photo, clip.tracking.camera
    fx, fy, cx, cy = np.median(
        [original_intrinsics(record, record.photo)[[0, 1, 0, 1], [0, 1, 2, 2]] for record in photos], axis=0
    ).tolist()
    lens.units, lens.sensor_width, lens.pixel_aspect = "MILLIMETERS", cameras.SENSOR_WIDTH, fx / fy
    lens.focal_length = fx / wide * cameras.SENSOR_WIDTH
    lens.principal_point_pixels = (cx, high - cy)  # counted from below
    lens.distortion_model = "POLYNOMIAL"  # of the same formula as OpenCV's
    lens.k1, lens.k2, lens.k3 = np.median([record.distortion for record in photos], axis=0).tolist()
