"""The way of the data: frames, model, filters, points and cameras. Read it top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from . import delivery, filters, merging
from .batching import plan
from .errors import BadInput
from .frames import FrameSource
from .geometry import pinhole
from .payload import CameraRecord, PointArrays, split
from .prediction import Prediction
from .predictor import Predictor
from .resizing import Placement, layout
from .settings import Settings
from .watch import Watch


@dataclass
class Batch:
    """What one pass gave, aligned to the first."""

    indices: list[int]  # of the frames in the input
    prediction: Prediction
    motion: np.ndarray | None = None  # (N, H, W)
    segments: object | None = None
    warnings: list[str] = field(default_factory=list)


def reconstruct(
    frames: FrameSource,
    settings: Settings,
    predictor: Predictor,
    *,
    metric: Predictor | None = None,
    on_progress: Callable[[str, float], None],
    cancelled: Callable[[], bool],
) -> Iterator[Batch]:
    """Batches as they get ready.

    Parameters
    ----------
    metric : a second model that knows metres; not used yet
    on_progress : called with a stage and the fraction of it that is done
    cancelled : asked between small pieces of work

    Raises
    ------
    Cancelled, BadInput
        and what the predictor raises
    """
    watch = Watch(on_progress, cancelled)
    for indices in plan(frames.selected, settings):
        indices = frames.usable(indices, watch)
        prediction = predictor.predict(frames.images(indices), indices, settings)
        batch = _drop_empty(Batch(indices, prediction), frames)
        _add_cameras(batch, settings)
        _hide_transparent(batch, frames, settings)
        if settings.filter_edges:
            batch.prediction.conf[filters.edges(batch.prediction.depth)] = 0.0
        watch.check()
        yield batch


@dataclass(frozen=True)
class Delivered:
    """A batch as Blender builds it: ``points`` in parts that are each quick to copy."""

    points: list[PointArrays]
    cameras: list[CameraRecord]


def deliver(batch: Batch, frames: FrameSource, settings: Settings) -> Delivered:
    """Points and cameras of a batch in Blender's axes.

    Raises
    ------
    BadInput
        The voxel size does not fit the scene.
    """
    prediction = batch.prediction
    cloud = delivery.points(prediction, batch.indices, settings.min_confidence)
    if settings.merge_points and len(cloud):
        assert prediction.intrinsics is not None
        footprint = merging.median_footprint(prediction.depth, prediction.conf, prediction.intrinsics)
        cloud = merging.merge(cloud, settings.merge_voxel_size or footprint)
    paths = [frames.paths[i] for i in batch.indices]
    cameras = delivery.cameras(prediction, batch.indices, paths, _placements(batch, frames, settings))
    return Delivered(list(split(cloud)), cameras)


def _drop_empty(batch: Batch, frames: FrameSource) -> Batch:
    """Without the frames in which the model is sure of nothing (``classic``: images it could not place)."""
    seen = batch.prediction.conf.any(axis=(1, 2))
    if not seen.any():
        raise BadInput("The model found no depth in any of the images; try another model, or images with more overlap")
    if seen.all():
        return batch
    lost = [frames.names[i] for i, s in zip(batch.indices, seen, strict=True) if not s]
    indices = [i for i, s in zip(batch.indices, seen, strict=True) if s]
    message = f"{len(lost)} of {len(batch.indices)} images could not be placed: {', '.join(lost)}"
    return Batch(indices, _select(batch.prediction, seen), warnings=[*batch.warnings, message])


def _select(prediction: Prediction, kept: np.ndarray) -> Prediction:
    """Those frames of a prediction; ``kept``: (N,) bool."""
    arrays = ("depth", "conf", "extrinsics", "intrinsics", "images", "sky")
    given = {name: value[kept] for name in arrays if (value := getattr(prediction, name)) is not None}
    return replace(prediction, **given)


def _add_cameras(batch: Batch, settings: Settings) -> None:
    """A model without cameras: each frame is seen from the origin, through the field of view that is set.

    With that camera's focal length the depth of a metric model becomes metres.
    """
    prediction = batch.prediction
    count, height, width = prediction.depth.shape
    if prediction.intrinsics is None:
        prediction.intrinsics = np.repeat(pinhole(width, height, settings.field_of_view)[None], count, axis=0)
        if prediction.metric_focal is not None:
            prediction.depth *= prediction.intrinsics[0, 0, 0] / prediction.metric_focal
            prediction.is_metric = True
    if prediction.extrinsics is None:
        prediction.extrinsics = np.repeat(np.eye(4)[None, :3], count, axis=0)
        if count > 1:
            batch.warnings.append(
                "This model gives no cameras: every image stands at the origin. Use one image, or a model with cameras"
            )


def _hide_transparent(batch: Batch, frames: FrameSource, settings: Settings) -> None:
    """Transparent parts of an image make no points."""
    conf = batch.prediction.conf
    for i, (index, at) in enumerate(zip(batch.indices, _placements(batch, frames, settings), strict=True)):
        opaque = frames.opaque(index)
        if opaque is not None:
            mask = Image.fromarray(opaque).resize((at.width, at.height), Image.Resampling.NEAREST)
            conf[i, at.rows, at.columns][~np.asarray(mask)] = 0.0


def _placements(batch: Batch, frames: FrameSource, settings: Settings) -> list[Placement]:
    """Where each original lies on the prediction's canvas, in pixels of the prediction."""
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in batch.indices]
    canvas_width, canvas_height, placements = layout(sizes, settings.resolution, settings.resize_method)
    height, width = batch.prediction.depth.shape[1:]
    sx, sy = width / canvas_width, height / canvas_height  # 1, but for a predictor that keeps a size of its own
    return [
        replace(
            p, left=round(p.left * sx), top=round(p.top * sy), width=round(p.width * sx), height=round(p.height * sy)
        )
        for p in placements
    ]
