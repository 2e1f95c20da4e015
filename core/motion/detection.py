"""What moves: other frames see empty space at the place of a point. docs/motion.md tells how well and how fast."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..geometry.projection import invert_rigid
from ..monitor import Monitor
from ..prediction.batch import Batch
from ..prediction.prediction import Prediction
from ..settings import Settings
from .regions import LEAST_VOTES, by_object, enlarged, moving_regions, snapped
from .views import Kept, View, chosen, in_time, reduced

STAGE = "motion"
SAME = 0.2  # relative; where two frames' depths differ by less, they may see the same surface
FEWEST = 30  # such places, to tell by how much the two frames' depths differ altogether
TOO_FEW = "Detect Motion found nothing to compare: it needs three frames or more that see the same places"


def detect(batches: Iterator[Batch | Any], settings: Settings, monitor: Monitor) -> Generator[Batch | Any, None, None]:
    """Batches with ``motion`` and ``moving``; what is not a batch goes through.

    A batch is given out when the next one has come, whose frames are asked too. Of earlier batches some frames are kept,
    reduced: memory does not grow with the run.

    Parameters
    ----------
    batches : of ``core.pipeline.reconstruct`` or ``streaming.pipeline.reconstruct``, in one world

    Raises
    ------
    Cancelled
    """
    kept = Kept()
    held: tuple[Batch, list[View]] | None = None
    asked = False
    for item in batches:
        views = _views(item, monitor) if isinstance(item, Batch) else []
        if held is not None:
            asked |= _judge(*held, [*kept.views, *views], settings, monitor)
            kept.add(held[1])
            yield held[0]
            held = None
        if isinstance(item, Batch):
            held = item, views
        else:
            yield item
    if held is not None:
        asked |= _judge(*held, kept.views, settings, monitor)
        if not asked:
            held[0].warnings.append(TOO_FEW)
        yield held[0]


def find(prediction: Prediction, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """What moves in a prediction that is all there is.

    Parameters
    ----------
    prediction : with cameras; N frames in the order of time
    threshold : by how much farther, relative to a point's depth, another frame must see

    Returns
    -------
    motion : (N, H, W) float32, share of the views that see the place and see empty space there
    moving : (N, H, W) bool, regions
    """
    batch = Batch(list(range(len(prediction))), prediction)
    _judge(batch, _views(batch, Monitor()), [], Settings(motion_threshold=threshold), Monitor())
    assert batch.motion is not None and batch.moving is not None
    return batch.motion, batch.moving


@dataclass(frozen=True)
class Votes:
    """What other views say of each pixel of one.

    Attributes
    ----------
    empty : (h, w) uint8, how many see farther than the pixel's point, by more than the threshold
    seen : (h, w) uint8, how many see the point's place: one that has something in front of it does not
    beyond : (h, w) float32, by how much farther those see on average, relative; -threshold to 2 threshold each
    """

    empty: np.ndarray
    seen: np.ndarray
    beyond: np.ndarray


def votes(own: View, others: Sequence[View], threshold: float) -> Votes:
    """Put each pixel's point into other views, and compare its depth there with what they see.

    Empty space counts only where it is there in a few pixels around too, for cameras are not exact. The depths of two
    frames are brought to one scale first.

    Parameters
    ----------
    threshold : by how much farther, relative to the point's depth, a view must see
    """
    height, width = shape = own.depth.shape
    empty, seen = np.zeros((2, *shape), np.uint8)
    beyond = np.zeros(shape, np.float32)
    v, u = np.mgrid[0.5:height, 0.5:width].astype(np.float32)
    points = np.stack([u * own.depth, v * own.depth, own.depth]).reshape(3, -1)
    unknown = own.depth <= 0
    to_world = invert_rigid(own.extrinsics)
    to_world[:, :3] = to_world[:, :3] @ np.linalg.inv(own.intrinsics)
    for other in others:
        to_image = other.intrinsics @ other.extrinsics[:, :3] @ to_world
        move = (to_image[:, 3] + other.intrinsics @ other.extrinsics[:, 3]).astype(np.float32)
        x, y, z = (to_image[:, :3].astype(np.float32) @ points).reshape(3, *shape) + move[:, None, None]
        outside = unknown | (z < other.near)
        z[outside] = 1.0
        x[outside] = -9.0
        nearness = 1.0 / z
        at = x * nearness - 0.5, y * nearness - 0.5  # for cv2 the first pixel's centre is at 0
        nearest = cv2.remap(other.guard, *at, cv2.INTER_NEAREST) * nearness  # 0 outside
        there = cv2.remap(other.depth, *at, cv2.INTER_LINEAR) * nearness
        scale = _scale(there)
        nearest *= scale
        there *= scale
        sees = nearest > 1.0 / (1.0 + threshold)
        seen += sees
        empty += nearest > 1.0 + threshold
        beyond += np.clip(there - 1.0, -threshold, 2.0 * threshold) * sees
    return Votes(empty, seen, beyond / np.maximum(seen, 1))


def _scale(ratios: np.ndarray) -> np.float32:
    """What brings another view's depths to the own scale: each frame's depths are a little too large or too small.

    Parameters
    ----------
    ratios : (h, w) float32, depth in the other view / depth of the own point there
    """
    few = ratios[::4, ::4]
    few = few[np.abs(few - 1.0) < SAME]
    return np.float32(1.0 / np.median(few)) if len(few) >= FEWEST else np.float32(1.0)


def _views(batch: Batch, monitor: Monitor) -> list[View]:
    p = batch.prediction
    assert p.intrinsics is not None and p.extrinsics is not None
    views = []
    for row, index in enumerate(batch.indices):
        monitor.check()
        sky = None if p.sky is None else p.sky[row]
        views.append(reduced(index, p.depth[row], p.conf[row], p.intrinsics[row], p.extrinsics[row], sky))
    return views


def _judge(batch: Batch, own: list[View], further: Sequence[View], settings: Settings, monitor: Monitor) -> bool:
    """Fill in a batch's motion; whether enough views could be asked about any of its frames.

    Parameters
    ----------
    own : views of the batch's frames
    further : views of other frames
    """
    shape = batch.prediction.depth.shape
    motion, moving, judged = np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape, bool)
    candidates = in_time([*own, *further])
    asked = False
    for row, view in enumerate(own):
        monitor.progress(STAGE, row / len(own))
        others = chosen(view, candidates)
        asked |= len(others) >= LEAST_VOTES
        found = votes(view, others, settings.motion_threshold)
        region = moving_regions(found.empty, found.seen, found.beyond, view.depth, settings.motion_threshold)
        motion[row] = enlarged(found.empty / np.maximum(found.seen, 1).astype(np.float32), view.step, shape[1:])
        judged[row] = enlarged(found.seen >= LEAST_VOTES, view.step, shape[1:])
        moving[row] = snapped(region, _known_depth(batch.prediction, row), view.step)
    if batch.prediction.object_id is not None:
        moving = by_object(moving, judged, batch.prediction.object_id)
    batch.motion, batch.moving = motion, moving
    monitor.progress(STAGE, 1.0)
    return asked


def _known_depth(prediction: Prediction, row: int) -> np.ndarray:
    depth = prediction.depth[row]
    return depth if prediction.sky is None else np.where(prediction.sky[row], np.float32(0.0), depth)
