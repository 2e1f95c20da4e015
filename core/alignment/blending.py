"""One frame from two passes that both saw it, and frames picked and put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

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
    depths = np.stack([target.depth[row], other.depth[other_row]])
    confs = np.stack([target.conf[row], other.conf[other_row]])
    weights = np.where(depths > 0, confs, 0.0).astype(np.float32)
    apart = np.abs(depths[0] - depths[1]) > SAME_SURFACE * depths.min(axis=0)
    weights[:, apart] *= weights[:, apart] >= weights[:, apart].max(axis=0)
    total = weights.sum(axis=0)
    some = np.maximum(total, 1e-12)
    target.depth[row] = np.where(total > 0, (weights * depths).sum(axis=0) / some, target.depth[row])
    target.conf[row] = (weights * confs).sum(axis=0) / some
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
