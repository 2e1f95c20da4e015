"""The way of the data: frames, model, filters, points and cameras. Read it top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from .alignment.blending import select
from .alignment.metric_scale import MetricScaler
from .alignment.stitching import Stitched, Stitcher
from .errors import BadInput
from .frames.resizing import Placement, on_canvas
from .frames.source import FrameSource
from .geometry.projection import pinhole
from .monitor import Monitor
from .output import blender_arrays, voxel_merging
from .output.payload import CameraRecord, Part, PointArrays, cameras_of
from .output.point_clouds import frame_labels, point_parts
from .output.splats.thinning import Thinner
from .prediction import filters
from .prediction.batch import Batch
from .prediction.batching import Planner
from .prediction.passes import find_cameras, images_per_pass, predictions
from .prediction.predictor import Predictor
from .settings import Settings
from .surfaces.image_meshes import mesh_parts


def reconstruct(
    frames: FrameSource,
    settings: Settings,
    predictor: Predictor,
    *,
    metric: Predictor | None = None,
    on_progress: Callable[[str, float], None],
    cancelled: Callable[[], bool],
) -> Generator[Batch, None, None]:
    """Batches as they get ready, all in the frame of the first; every frame is in one batch only.

    Parameters
    ----------
    metric : a second model that knows metres, for Use Metric
    on_progress : called with a stage and the fraction of it that is done
    cancelled : asked between small pieces of work

    Raises
    ------
    Cancelled, BadInput
        and what the predictor raises
    """
    monitor = Monitor(on_progress, cancelled)
    find_cameras(frames, settings, predictor)
    planner = Planner(frames.selected, settings, images_per_pass(frames, settings, predictor))
    metres = MetricScaler(metric, frames, settings, monitor) if metric is not None else None
    scene = Stitcher()
    beside = metric is None  # a second model wants the card for itself
    for indices, prediction in predictions(frames, settings, predictor, planner, monitor, beside=beside):
        batch = drop_empty(Batch(indices, prediction, warnings=[*prediction.warnings]), frames)
        if not batch.indices:
            continue
        fitted = _add_cameras(batch, frames, settings)
        hide_transparent(batch, frames, settings)
        if metres is not None and not (batch.prediction.cameras_known and batch.prediction.scale_known):
            batch.prediction = metres.apply(batch.indices, batch.prediction)
        filters.apply(batch.prediction, settings)
        monitor.progress("alignment", 0.0)
        stitched = scene.add(batch.indices, batch.prediction, planner.peek() or (), fitted)
        yield replace(_finished(stitched, batch.warnings), passes=planner.total)
    if scene.is_empty:
        raise BadInput("The model found no depth in any of the images; try another model, or images with more overlap")
    if last := scene.rest():
        yield _finished(last, [])


def _finished(stitched: Stitched, warnings: list[str]) -> Batch:
    return Batch(stitched.indices, stitched.prediction, warnings=[*warnings, *stitched.warnings])


@dataclass(frozen=True)
class Delivered:
    """A batch as Blender builds it, and the same as points for the result files."""

    parts: list[Part]
    cameras: list[CameraRecord]
    clouds: list[PointArrays]


def deliver(
    batch: Batch,
    records: list[CameraRecord],
    settings: Settings,
    merger: voxel_merging.VoxelMerger | None = None,
    thinner: Thinner | None = None,
    packed: Sequence[str] = (),
) -> Delivered:
    """What a batch becomes, in Blender's axes.

    Parameters
    ----------
    records : its cameras, from ``camera_records``
    merger : of the run, so that points of different batches are merged too
    thinner : of the run, so that splats of different batches do not lie on each other; merged points need none
    packed : files of the job that hold a video's frames, from ``surfaces/pictures.py``; where there are none, meshes show
        the originals

    Raises
    ------
    BadInput
        The voxel size does not fit the scene.
    """
    prediction = batch.prediction

    def merge(cloud: PointArrays) -> PointArrays:
        if not settings.merge_points or len(cloud) == 0:
            return cloud
        assert prediction.intrinsics is not None
        footprint = voxel_merging.median_footprint(prediction.depth, prediction.conf, prediction.intrinsics)
        return (merger or voxel_merging.VoxelMerger(settings.merge_voxel_size)).add(cloud, footprint)

    given: dict[str, Any] = {"motion": batch.motion, "moving": batch.moving, "names": batch.names}
    frames, labels = [record.frame for record in records], frame_labels(cameras_of(records))
    thinner = None if settings.merge_points else thinner or Thinner()
    parts = point_parts(prediction, frames, settings, labels=labels, merge=merge, thinner=thinner, **given)
    clouds = [part.arrays for part in parts if isinstance(part.arrays, PointArrays)]
    if not settings.splats:  # only the files want them
        parts = [replace(part, arrays=cloud.without_splats()) for part, cloud in zip(parts, clouds, strict=True)]
    if settings.generate_meshes:
        parts = mesh_parts(prediction, frames, records, settings, packed=packed, **given)
    return Delivered(parts, records, clouds)


def camera_records(batch: Batch, frames: FrameSource, settings: Settings) -> list[CameraRecord]:
    """A batch's cameras in Blender's axes; those of views are named and numbered as the panorama that they look into."""
    headers, views = [frames.headers[i] for i in batch.indices], [frames.views.get(i) for i in batch.indices]
    records = blender_arrays.cameras(
        batch.prediction, [frames.place(i) for i in batch.indices], [frames.stem(i) for i in batch.indices],
        [frames.picture(i) for i in batch.indices], placements(batch, frames, settings),
        [header.orientation for header in headers], [header.file_size for header in headers],
    )  # fmt: skip
    if frames.inputs:
        records = [replace(r, input=frames.inputs[i]) for r, i in zip(records, batch.indices, strict=True)]
    if frames.is_video:  # of several videos, frames are counted in the first only
        films = [frames.paths[i] for i in batch.indices]
        records = [
            replace(r, video=str(f) if f == frames.paths[0] else "") for r, f in zip(records, films, strict=True)
        ]
    return [
        replace(record, name=view.name, photo=view.size, turn=tuple(view.rotation.ravel().tolist())) if view else record
        for record, view in zip(records, views, strict=True)
    ]


def drop_empty(batch: Batch, frames: FrameSource) -> Batch:
    """Without the frames in which the model is sure of nothing (``classic``: images it could not place)."""
    seen = batch.prediction.conf.any(axis=(1, 2))
    if seen.all():
        return batch
    lost = [frames.names[i] for i, s in zip(batch.indices, seen, strict=True) if not s]
    said = (
        "have a camera but no depth that a second image confirms"
        if batch.prediction.cameras_known
        else "could not be placed"
    )
    message = f"{len(lost)} of {len(batch.indices)} images {said}: {', '.join(lost)}"
    if not seen.any():  # no batch will come to carry the message
        frames.warnings.append(message)
    indices = [i for i, s in zip(batch.indices, seen, strict=True) if s]
    return Batch(indices, select(batch.prediction, seen), warnings=[*batch.warnings, message])


def _add_cameras(batch: Batch, frames: FrameSource, settings: Settings) -> bool:
    """A model without cameras: each frame is seen from the origin, through the field of view that is set.

    With that camera's focal length the depth of a metric model becomes metres.

    Returns
    -------
    whether the model itself says where the cameras stand, so that passes have to be fitted to each other
    """
    prediction = batch.prediction
    count, height, width = prediction.depth.shape
    if prediction.intrinsics is None:
        prediction.intrinsics = np.repeat(pinhole(width, height, settings.field_of_view)[None], count, axis=0)
        if prediction.metric_focal is not None:
            prediction.depth *= prediction.intrinsics[0, 0, 0] / prediction.metric_focal
            prediction.is_metric = True
    if prediction.extrinsics is not None:
        return not prediction.cameras_known
    prediction.extrinsics = np.repeat(np.eye(4)[None, :3], count, axis=0)
    if len(frames.selected) > 1:
        batch.warnings.append(
            "This model gives no cameras: every image stands at the origin. Use one image, or a model with cameras"
        )
    return False


def hide_transparent(batch: Batch, frames: FrameSource, settings: Settings) -> None:
    """Transparent parts of an image make no points."""
    conf = batch.prediction.conf
    for i, (index, at) in enumerate(zip(batch.indices, placements(batch, frames, settings), strict=True)):
        opaque = frames.opaque(index)
        if opaque is not None:
            mask = Image.fromarray(opaque).resize((at.width, at.height), Image.Resampling.NEAREST)
            conf[i, at.rows, at.columns][~np.asarray(mask)] = 0.0


def placements(batch: Batch, frames: FrameSource, settings: Settings) -> list[Placement]:
    """Where each original lies on the prediction's canvas, in pixels of the prediction."""
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in batch.indices]
    _, height, width = batch.prediction.depth.shape
    return on_canvas((height, width), sizes, settings.resolution, settings.resize_method)
