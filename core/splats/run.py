"""Refine Splats on all of a run: from what Blender would build of its batches, to the same with refined splats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from ..errors import BadInput
from ..geometry.projection import BLENDER_FROM_OPENCV, points_from_blender
from ..monitor import Monitor
from ..output.blender_arrays import linear_from_srgb
from ..output.payload import Part, PointArrays
from ..output.point_clouds import MOVING
from ..output.splats.discs import colors_of, matrices, radiance
from ..prediction.batch import Batch
from .rasterizing import Splats
from .refining import Refined, View, refine

MOST_SPLATS = 6_000_000  # more would not fit beside their pictures


@dataclass(frozen=True)
class RefinedRun:
    """``parts``, a list for each batch, and how good the splats have become."""

    parts: list[list[Part]]
    found: Refined


def views_of(batch: Batch, frames: Sequence[int]) -> list[View]:
    """The photographs of a batch's N frames; ``frames``: the numbers that their points have."""
    p = batch.prediction
    assert p.extrinsics is not None and p.intrinsics is not None
    valid = p.depth > 0 if batch.moving is None else (p.depth > 0) & ~batch.moving
    return [View(p.images[i], p.intrinsics[i], p.extrinsics[i], frame, valid[i]) for i, frame in enumerate(frames)]


def refined(batches: Sequence[Sequence[Part]], views: Sequence[View], monitor: Monitor, device: str) -> RefinedRun:
    """The parts of a run's batches with the splats that stand still refined; all else as it was.

    Raises
    ------
    BadInput, Cancelled
        as ``refine``
    """
    clouds = [cloud for parts in batches for part in parts if (cloud := _still(part)) is not None]
    if not clouds:
        raise BadInput("The run has no points that stand still, so there are no splats to refine")
    drawn = [np.flatnonzero(cloud.given()["scale"][:, 0] > 0) for cloud in clouds]
    if sum(map(len, drawn)) > MOST_SPLATS:
        every = -(-sum(map(len, drawn)) // MOST_SPLATS)
        drawn = [rows[::every] for rows in drawn]

    def gathered(name: str) -> np.ndarray:
        return np.concatenate([getattr(cloud, name)[rows] for cloud, rows in zip(clouds, drawn, strict=True)])

    def sent(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)

    base = gathered("radiance")
    splats = Splats(
        sent(points_from_blender(gathered("position"))), sent(gathered("scale")),
        sent(BLENDER_FROM_OPENCV.T @ matrices(gathered("rotation"))), sent(base[:, 3]),
    )  # fmt: skip
    frames = torch.from_numpy(gathered("frame").astype(np.int64)).to(device)
    found = refine(splats, sent(colors_of(base) / 255.0), frames, views, monitor)
    ends = np.cumsum([len(rows) for rows in drawn])[:-1]
    pieces = iter(
        zip(*(np.split(values, ends) for values in (found.colors, found.opacity, found.size)), drawn, strict=True)
    )

    def changed(part: Part) -> Part:
        cloud = _still(part)
        return part if cloud is None else replace(part, arrays=_changed(cloud, *next(pieces)))

    return RefinedRun([[changed(part) for part in parts] for parts in batches], found)


def _still(part: Part) -> PointArrays | None:
    """Its points, where they have splats that stand still."""
    is_one = isinstance(part.arrays, PointArrays) and part.arrays.scale is not None and part.group != MOVING
    return cast(PointArrays, part.arrays) if is_one else None


def _changed(
    cloud: PointArrays, colors: np.ndarray, opacity: np.ndarray, size: np.ndarray, rows: np.ndarray
) -> PointArrays:
    """The cloud with new values of the splats ``rows``; its dots get the colours too."""
    assert cloud.scale is not None and cloud.radiance is not None
    levels = np.round(colors * 255.0).astype(np.uint8)
    scale, base, shown = cloud.scale.copy(), cloud.radiance.copy(), cloud.point_color.copy()
    scale[rows] *= size[:, None]
    base[rows] = radiance(levels, opacity)
    shown[rows, :3] = linear_from_srgb(levels)
    return replace(cloud, scale=scale, radiance=base, point_color=shown)
