"""Scale, north and up from the positions that photographs carry (GPS), for Use Metric."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..frames.pixels import geotags
from ..frames.source import FrameSource
from ..geometry import geodesy, position_fit, upright
from ..geometry.projection import BLENDER_FROM_OPENCV, cameras_to_blender, invert_rigid, unproject
from ..geometry.similarity import Similarity
from ..prediction.prediction import Cameras, Prediction
from ..prediction.predictor import Predictor
from ..settings import BatchMode, KnownCameras, MetricMode, MetricSource, Settings

# Largest standard deviation of the scale, as a part of it: where the person lets us choose, and where GPS was asked for.
BELIEVED, ENDURED = 0.05, 0.3
# Rows: (x, y, z) of OpenCV's axes from east, north, up; Blender's are then those three.
OPENCV_FROM_MAP = BLENDER_FROM_OPENCV.T


@dataclass(frozen=True)
class Positions:
    """``metres`` (3,) east, north, up of ``origin``, by frame; ``origin``: latitude, longitude, altitude."""

    metres: dict[int, np.ndarray]
    origin: np.ndarray


def find(settings: Settings, frames: FrameSource) -> Positions | None:
    """The positions of the selected photographs; None where they are not wanted, or fewer than three tell one.

    A photograph without an altitude has the median of the others'.
    """
    off = not settings.use_metric or settings.metric_source is MetricSource.MODEL
    if off or frames.is_video or settings.known_cameras is not KnownCameras.OFF:
        return None
    if settings.metric_source is MetricSource.AUTOMATIC and settings.metric_mode is MetricMode.METRIC_DEPTH:
        return None
    pictures = {frames.place(index): index for index in reversed(frames.selected)}  # one of the views of a panorama
    tags = {index: tag for index in sorted(pictures.values()) if (tag := geotags.read(frames.paths[index]))}
    words = ""
    if len(tags) < position_fit.FEWEST:
        words = f"{len(tags)} of {len(pictures)} images tell where they were taken, and it takes three"
    elif settings.batch_mode is BatchMode.DA3_STREAMING:
        words = "DA3 Streaming does not use the positions of the images"
    if words:
        if tags or settings.metric_source is MetricSource.GPS:
            frames.warnings.append(f"No scale and north from GPS: {words}")
        return None
    heights = [tag.altitude for tag in tags.values() if tag.has_altitude]
    usual = float(np.median(heights)) if heights else 0.0
    places = np.array(
        [(tag.latitude, tag.longitude, tag.altitude if tag.has_altitude else usual) for tag in tags.values()]
    )
    origin = np.median(places, axis=0)
    return Positions(dict(zip(tags, geodesy.east_north_up(places, origin), strict=True)), origin)


class PositionedPredictor:
    """A predictor whose predictions lie on the map: metres, x east, y north, z up in Blender.

    The first pass is fitted, and all are moved as it is: passes of one world stay in one, others are aligned to the first.
    All else that one may ask of the predictor goes through.

    Attributes
    ----------
    found : how the first pass fits; None as long as there is none, or where it does not fit
    """

    def __init__(self, predictor: Predictor, positions: Positions, frames: FrameSource, settings: Settings):
        self.inner = predictor
        self.found: position_fit.PositionFit | None = None
        self._positions, self._frames = positions, frames
        self._limit = ENDURED if settings.metric_source is MetricSource.GPS else BELIEVED
        self._tried = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def cameras_fingerprint(self) -> str:
        """Other positions give another world."""
        known = repr(sorted((index, tuple(place)) for index, place in self._positions.metres.items()))
        return str(getattr(self.inner, "cameras_fingerprint", "")) + hashlib.sha256(known.encode()).hexdigest()

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass; see ``Predictor``."""
        prediction = self.inner.predict(images, indices, settings, cameras)
        if not self._tried and prediction.extrinsics is not None:
            self._tried = True
            self.found = self._fit(prediction, indices)
        if self.found is None or prediction.extrinsics is None:
            return prediction
        of_map = self.found.similarity
        to_world = Similarity(of_map.scale, OPENCV_FROM_MAP @ of_map.rotation, OPENCV_FROM_MAP @ of_map.translation)
        return replace(to_world.apply(prediction), is_metric=True)

    def report(self) -> dict[str, Any] | None:
        """What was found, for the job's report; ``origin``: latitude, longitude and altitude of the scene's."""
        if self.found is None:
            return None
        return {
            "origin": [float(value) for value in self._positions.origin],
            "used": int(self.found.used.sum()),
            "positions": len(self.found.used),
            "error": self.found.error,
            "scale_error": self.found.scale_error,
            "north_error": self.found.north_error,
        }

    def _fit(self, prediction: Prediction, indices: Sequence[int]) -> position_fit.PositionFit | None:
        assert prediction.extrinsics is not None
        placed = prediction.conf.any(axis=(1, 2))
        rows = [row for row, index in enumerate(indices) if placed[row] and index in self._positions.metres]
        found = None
        if len(rows) >= position_fit.FEWEST:
            centres = invert_rigid(prediction.extrinsics[rows].astype(np.float64))[:, :, 3]
            positions = np.stack([self._positions.metres[indices[row]] for row in rows])
            found = position_fit.fit(centres, positions, _up(prediction))
        if found is None:
            words = "the images that tell their position could not be placed, or stand in one place"
        elif found.scale_error > self._limit:
            words = (
                f"the positions are {found.error:.2g} m off, too much for so short a way (scale known to "
                f"{100 * found.scale_error:.0f} %)"
            )
        else:
            latitude, longitude, altitude = self._positions.origin
            self._frames.warnings.append(
                f"Scale and north from GPS: {found.used.sum()} of {len(found.used)} positions used, {found.error:.2g} m off "
                f"(root mean square); scale known to {100 * found.scale_error:.1f} %, north to "
                f"{np.degrees(found.north_error):.1f} degrees. x is east, y north; the scene's origin is at "
                f"{latitude:.7f}, {longitude:.7f}, {altitude:.1f} m"
            )
            return found
        self._frames.warnings.append(f"No scale and north from GPS: {words}")
        return None


def _up(prediction: Prediction) -> np.ndarray | None:
    """(3,) up in the prediction's world, as its surfaces and cameras say it."""
    assert prediction.extrinsics is not None
    if prediction.intrinsics is None:
        return None
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)
    seen = (prediction.depth > 0) & (prediction.conf > 0)
    step = max(1, int(np.sqrt(seen.sum() / upright.MOST_POINTS)))
    seen[:, np.arange(seen.shape[1]) % step != 0] = False
    found = upright.find(points[seen] @ BLENDER_FROM_OPENCV.T, cameras_to_blender(prediction.extrinsics))
    return None if found is None else BLENDER_FROM_OPENCV.T @ found.matrix[2, :3]
