"""One frame from two passes that both saw it, and frames picked and put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..devices.compiled import compiled
from ..geometry.projection import invert_rigid
from ..geometry.similarity import mean_rotation
from ..prediction.prediction import SAME_SURFACE, Prediction

_ARRAYS = (
    "depth",
    "conf",
    "extrinsics",
    "intrinsics",
    "images",
    "sky",
    "object_id",
    "people",
    "unfiltered",
    "descriptors",
    "distortion",
    "reprojection_error",
    "gaussians",
)


def select(prediction: Prediction, rows: Sequence[int] | np.ndarray) -> Prediction:
    """Those frames of a prediction; ``rows``: indices, or (N,) bool."""
    rows = np.asarray(rows) if len(rows) else np.zeros(0, int)
    given: dict[str, Any] = {name: value[rows] for name in _ARRAYS if (value := getattr(prediction, name)) is not None}
    return replace(prediction, **given)


def join(first: Prediction, second: Prediction) -> Prediction:
    """The frames of both, which are of one size; what one of them lacks, the result lacks."""
    if len(second) == 0:
        return first
    given: dict[str, Any] = {}
    for name in _ARRAYS:
        a, b = getattr(first, name), getattr(second, name)
        given[name] = None if a is None or b is None else np.concatenate([a, b])
    return replace(first, **given)


def blend_into(target: Prediction, row: int, other: Prediction, other_row: int) -> None:
    """Frame ``row`` of ``target`` becomes the blend of both passes' views of it, which are in one world.

    Depths are averaged by confidence; where they are too far apart, the surer one counts alone. Cameras are averaged.
    """
    assert target.extrinsics is not None and other.extrinsics is not None
    assert target.intrinsics is not None and other.intrinsics is not None
    _blend(target.depth[row], target.conf[row], other.depth[other_row], other.conf[other_row], SAME_SURFACE)
    if target.unfiltered is not None and other.unfiltered is not None:
        target.unfiltered[row] = np.maximum(target.unfiltered[row], other.unfiltered[other_row])

    if target.reprojection_error is not None and other.reprojection_error is not None:
        known = [e for e in (target.reprojection_error[row], other.reprojection_error[other_row]) if e > 0.0]
        target.reprojection_error[row] = np.mean(known) if known else 0.0

    poses = invert_rigid(np.stack([target.extrinsics[row], other.extrinsics[other_row]]))
    rotation = mean_rotation(poses[:, :, :3])
    centre = poses[:, :, 3].mean(axis=0)
    target.extrinsics[row] = np.concatenate([rotation.T, -rotation.T @ centre[:, None]], axis=1)
    target.intrinsics[row] = (target.intrinsics[row] + other.intrinsics[other_row]) / 2.0


@compiled
def _blend(depth: np.ndarray, conf: np.ndarray, other_depth: np.ndarray, other_conf: np.ndarray, same: float) -> None:
    """The depths and confidences (H, W) float32 of ``blend_into``; the first two are changed."""
    none, least = np.float32(0), np.float32(1e-12)
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            here, there = depth[row, column], other_depth[row, column]
            sure, other_sure = conf[row, column], other_conf[row, column]
            weight = sure if here > none else none
            other_weight = other_sure if there > none else none
            if abs(here - there) > np.float32(same) * min(here, there):
                if weight < other_weight:
                    weight = none
                elif other_weight < weight:
                    other_weight = none
            total = weight + other_weight
            if total > none:
                depth[row, column] = (weight * here + other_weight * there) / max(total, least)
            conf[row, column] = (weight * sure + other_weight * other_sure) / max(total, least)
