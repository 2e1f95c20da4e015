"""The views into one panorama as what they are: a rig of cameras with one centre, whose directions are known.

A model sees each view by itself, gives it a place and a scale of its own, and is least sure at its borders. Here the places
become the rig's, the scales follow from the directions that two views share, and every direction is kept once: by the view
that looks nearest to it, with what its neighbours see there blended in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...frames.panorama import rig
from ...frames.resizing import Placement, on_canvas
from ...frames.source import FrameSource
from ...geometry.projection import invert_rigid, pinhole
from ...geometry.similarity import mean_pose
from ...prediction.prediction import SAME_SURFACE, Cameras, Prediction
from ...prediction.predictor import Predictor
from ...settings import Settings

FEWEST = 60  # pixels that two views share, for their scales to be compared
EVEN = 1e-3  # weight of a view at its border, against 1 in its middle
SMALLEST_ANGLE = 1e-3  # radians; a view that is off by less counts fully
SMALLEST_STEP = 1e-3  # of the median depth, likewise


class RigPredictor:
    """A predictor whose predictions keep the views of each panorama together; all else goes through to ``inner``."""

    def __init__(self, inner: Predictor, frames: FrameSource):
        self.inner = inner
        self._frames = frames

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass; see ``Predictor``."""
        return settle(self.inner.predict(images, indices, settings, cameras), indices, self._frames, settings)


def settle(prediction: Prediction, indices: Sequence[int], frames: FrameSource, settings: Settings) -> Prediction:
    """A prediction with the views of each panorama as one rig; other frames stay as they are.

    A model without cameras gets those of the rig, at the world's origin.
    """
    panoramas: dict[int, list[int]] = {}
    for row, index in enumerate(indices):
        if index in frames.views:
            panoramas.setdefault(frames.views[index].panorama, []).append(row)
    if not panoramas:
        return prediction
    height, width = prediction.depth.shape[1:]
    sizes = [(frames.headers[i].width, frames.headers[i].height) for i in indices]
    places = on_canvas((height, width), sizes, settings.resolution, settings.resize_method)
    prediction = _with_cameras(prediction, indices, frames, places, settings)
    assert prediction.extrinsics is not None
    for panorama, rows in panoramas.items():
        turns = np.stack([frames.views[indices[row]].rotation for row in rows])
        if not prediction.cameras_known:
            prediction.extrinsics[rows] = one_rig(prediction.extrinsics[rows], turns, unit(prediction, rows))
        there = [i for i in frames.selected if i in frames.views and frames.views[i].panorama == panorama]
        axes = np.stack([frames.views[i].rotation[2] for i in there])
        _blend(prediction, rows, turns, [there.index(indices[row]) for row in rows], axes, places[rows[0]])
    return prediction


def one_rig(extrinsics: np.ndarray, turns: np.ndarray, unit: float) -> np.ndarray:
    """Cameras of a rig with one centre that are nearest to those of its views, single bad ones aside.

    Parameters
    ----------
    extrinsics : (V, 3, 4), world to view
    turns : (V, 3, 3), from the rig's axes to each view's
    unit : a length of the scene

    Returns
    -------
    (V, 3, 4), world to view
    """
    rotations, centres = turns.transpose(0, 2, 1) @ extrinsics[:, :, :3], invert_rigid(extrinsics)[:, :, 3]
    rotation, centre = mean_pose(rotations, centres, SMALLEST_ANGLE, SMALLEST_STEP * unit)
    fitted = turns @ rotation
    return np.concatenate([fitted, -(fitted @ centre)[:, :, None]], axis=2)


def _with_cameras(
    prediction: Prediction, indices: Sequence[int], frames: FrameSource, places: Sequence[Placement], settings: Settings
) -> Prediction:
    """The prediction with arrays of its own that can be written, and what is known of its views' cameras in them."""
    depth, is_metric = prediction.depth.copy(), prediction.is_metric
    height, width = depth.shape[1:]
    flat = pinhole(width, height, settings.field_of_view)  # of photographs, by a model without cameras
    intrinsics = (
        np.repeat(flat[None], len(indices), axis=0) if prediction.intrinsics is None else prediction.intrinsics.copy()
    )
    extrinsics = np.repeat(np.eye(4)[None, :3], len(indices), axis=0)
    for row, (index, place) in enumerate(zip(indices, places, strict=True)):
        if index in frames.views:
            intrinsics[row] = place.to_processed(rig.intrinsics(place.original_width))
            extrinsics[row, :, :3] = frames.views[index].rotation
    if prediction.intrinsics is None and prediction.metric_focal is not None:
        depth *= (intrinsics[:, 0, 0] / prediction.metric_focal).astype(np.float32)[:, None, None]
        is_metric = True
    if prediction.extrinsics is not None:
        extrinsics = prediction.extrinsics.copy()
    elif len({frames.place(index) for index in frames.selected}) > 1:
        frames.warnings.append(
            "This model gives no cameras: every panorama stands at the origin. Use one, or a model with cameras"
        )
    return replace(
        prediction,
        depth=depth,
        conf=prediction.conf.copy(),
        intrinsics=intrinsics,
        extrinsics=extrinsics,
        is_metric=is_metric,
    )


def unit(prediction: Prediction, rows: Sequence[int]) -> float:
    """Median depth of these frames."""
    known = prediction.depth[rows][prediction.conf[rows] > 0]
    return float(np.median(known)) if len(known) else 1.0


def _blend(
    prediction: Prediction,
    rows: Sequence[int],
    turns: np.ndarray,
    numbers: Sequence[int],
    axes: np.ndarray,
    place: Placement,
) -> None:
    """Bring the depths of a panorama's views to one scale and each other, and keep each direction in one view only.

    Parameters
    ----------
    rows : V, its views in the prediction, which is changed
    turns : (V, 3, 3), from the panorama's axes to the views'
    numbers : V, of the views among all of the panorama, whose axes are ``axes``, (A, 3)
    place : of each view on the canvas
    """
    assert prediction.intrinsics is not None
    window = place.rows, place.columns
    intrinsics = prediction.intrinsics[rows[0]].copy()
    intrinsics[:2, 2] -= place.left, place.top
    rays = rig.rays(intrinsics, place.height, place.width)
    length = np.linalg.norm(rays, axis=-1).astype(np.float32)
    maps = [_Map.of(prediction, row, window, length) for row in rows]
    directions = [rays @ turn for turn in turns]
    cells = [(d @ axes.T).argmax(axis=-1) == number for d, number in zip(directions, numbers, strict=True)]
    looks: list[list[_Look]] = []
    for own, (seen, cell) in enumerate(zip(directions, cells, strict=True)):
        looks.append([view.at(seen[cell] @ turn.T, intrinsics) for view, turn in zip(maps, turns, strict=True)])
        looks[own][own] = replace(looks[own][own], distance=maps[own].distance[cell], conf=maps[own].conf[cell])
    offsets = _offsets([[look.distance for look in one] for one in looks])
    for own, (row, cell, offset) in enumerate(zip(rows, cells, offsets, strict=True)):
        distance, conf = _mixed(looks[own], own, offsets)
        depth = prediction.depth[row]
        depth *= np.float32(np.exp(offset))
        inner, sure = depth[window], prediction.conf[row][window].copy()
        inner[cell] = np.where(np.isfinite(distance), np.exp(distance) / length[cell], inner[cell])
        sure[cell] = np.where(np.isfinite(distance), conf, sure[cell])
        prediction.conf[row] = 0.0
        prediction.conf[row][window] = np.where(cell, sure, 0.0)


@dataclass(frozen=True)
class _Look:
    """What one view says of directions: logarithm of the distance, NaN where nothing; confidence; how much it counts."""

    distance: np.ndarray  # (n,)
    conf: np.ndarray  # (n,)
    weight: np.ndarray  # (n,)


@dataclass(frozen=True)
class _Map:
    """A view's logarithms of distances, NaN where there is none, and confidences; both (h, w) float32."""

    distance: np.ndarray
    conf: np.ndarray

    @classmethod
    def of(cls, prediction: Prediction, row: int, window: tuple[slice, slice], length: np.ndarray) -> _Map:
        depth, conf = prediction.depth[row][window], prediction.conf[row][window]
        known = (depth > 0) & (conf > 0)
        if prediction.sky is not None:
            known &= ~prediction.sky[row][window]
        return cls(np.log(np.where(known, depth * length, np.nan)), conf)

    def at(self, directions: np.ndarray, intrinsics: np.ndarray) -> _Look:
        """What it says of (n, 3) directions in its own axes, between its four nearest pixels."""
        ahead = directions[:, 2] > 1e-6
        flat = directions[:, :2] / np.where(ahead, directions[:, 2], 1.0)[:, None]
        pixels = flat * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2] - 0.5
        height, width = self.distance.shape
        inside = ahead & (pixels > -0.5).all(axis=1) & (pixels < (width - 0.5, height - 0.5)).all(axis=1)
        pixels = np.where(inside[:, None], pixels, 0.0).clip(0.0, (width - 1.001, height - 1.001))
        column, row = pixels.astype(int).T
        across, down = (pixels - np.floor(pixels)).astype(np.float32).T

        def between(values: np.ndarray) -> np.ndarray:
            above = values[row, column] * (1.0 - across) + values[row, column + 1] * across
            below = values[row + 1, column] * (1.0 - across) + values[row + 1, column + 1] * across
            return above * (1.0 - down) + below * down

        weight = EVEN + np.maximum(0.0, 1.0 - np.abs(flat).max(axis=1) / rig.REACH).astype(np.float32)
        return _Look(np.where(inside, between(self.distance), np.nan), between(self.conf), weight)


def _offsets(distances: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """(V,), what to add to each view's logarithms so that views agree where they share directions; 0 in the mean.

    ``distances[i][j]``: (n,), of the directions that view i keeps, by view j.
    """
    count = len(distances)
    lines, values = [np.zeros(count)], [0.0]
    for i, one in enumerate(distances):
        for j, other in enumerate(one):
            steps = other - one[i]
            steps = steps[np.isfinite(steps)]
            if i != j and len(steps) >= FEWEST:
                line = np.zeros(count)
                line[i], line[j] = 1.0, -1.0
                lines.append(line * np.sqrt(len(steps)))
                values.append(float(np.median(steps)) * np.sqrt(len(steps)))
    return np.linalg.lstsq(np.stack(lines), np.array(values), rcond=None)[0]  # the shortest: nothing moves all


def _mixed(looks: Sequence[_Look], own: int, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) logarithms of distances, NaN where no view knows one, and confidences, of the directions that a view keeps.

    The view's own counts, and what agrees with it; where it knows nothing, the view that looks nearest stands in.
    """
    distances = np.stack([look.distance + offset for look, offset in zip(looks, offsets, strict=True)])
    known = np.isfinite(distances)
    weights = np.where(known, np.stack([look.weight for look in looks]), 0.0)
    best = np.where(known[own], own, weights.argmax(axis=0))
    chosen = np.take_along_axis(distances, best[None], axis=0)[0]
    agree = known & (np.abs(distances - chosen) < SAME_SURFACE)
    weights *= agree
    total = np.where(agree.any(axis=0), weights.sum(axis=0), np.nan)
    conf = np.take_along_axis(np.stack([look.conf for look in looks]), best[None], axis=0)[0]
    return (weights * np.where(known, distances, 0.0)).sum(axis=0) / total, conf
