"""Metres from a second model that knows them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..errors import BadInput
from ..frames.source import FrameSource
from ..geometry.similarity import Similarity, weighted_median
from ..monitor import Monitor
from ..prediction import filters
from ..prediction.prediction import Prediction
from ..prediction.predictor import Predictor
from ..settings import MetricMode, Settings


class MetricScaler:
    """Brings a run's passes to metres.

    ``scale_base``: the first pass is scaled by the metric model's depth of its frames; the passes after it are aligned to
    it, so that one scale goes for all. ``metric_depth``: every pass gets the metric model's depths, and its cameras are
    moved apart to match them.
    """

    def __init__(self, predictor: Predictor, frames: FrameSource, settings: Settings, monitor: Monitor):
        self._predictor = predictor
        self._frames = frames
        self._settings = settings
        self._watch = monitor
        self._scale: float | None = None  # of the first pass

    def apply(self, indices: list[int], base: Prediction) -> Prediction:
        """The pass in metres, or, in ``scale_base`` after the first, as it is.

        Raises
        ------
        BadInput
            The metric model gives no metres, or sees nothing that the base model sees.
        """
        if base.is_metric:
            return base
        only_scale = self._settings.metric_mode is MetricMode.SCALE_BASE
        if self._scale is not None and only_scale:
            # Passes in one frame have one scale; others are aligned to the first, which brings theirs.
            return _scaled(base, self._scale) if base.cameras_known else base
        metres, sky = self._metres(indices, base)
        if self._scale is None or not base.cameras_known:
            self._scale = metric_scale(base, metres, sky)
        scaled = _scaled(base, self._scale)
        if only_scale:
            return scaled
        conf = np.where(sky | (metres <= 0), 0.0, base.conf).astype(np.float32)
        return replace(scaled, depth=metres, conf=conf, sky=sky)

    def _metres(self, indices: list[int], base: Prediction) -> tuple[np.ndarray, np.ndarray]:
        """Depth in metres (N, H, W) float32 and sky (N, H, W) bool, in the base model's pixels."""
        assert base.intrinsics is not None
        shape = base.depth.shape
        metres, sky = np.zeros(shape, np.float32), np.zeros(shape, bool)
        sizes = {(self._frames.headers[i].width, self._frames.headers[i].height) for i in indices}
        # One by one needs little memory; images of several sizes must go together, for they share a canvas.
        passes = [[row] for row in range(len(indices))] if len(sizes) == 1 else [list(range(len(indices)))]
        for rows in passes:
            self._watch.progress("metric", rows[0] / len(indices))
            wanted = [indices[row] for row in rows]
            seen = self._predictor.predict(self._frames.images(wanted), wanted, self._settings)
            if seen.metric_focal is None and not seen.is_metric:
                raise BadInput("The model for Use Metric does not measure in metres: DA3 Metric Large is needed")
            for row, depth, above in zip(
                rows, seen.depth, seen.sky if seen.sky is not None else seen.depth <= 0, strict=True
            ):
                focal = base.intrinsics[row, [0, 1], [0, 1]].mean()
                factor = focal / seen.metric_focal if seen.metric_focal is not None else 1.0
                metres[row] = _fit(depth, shape[1:]) * factor
                sky[row] = _fit(above.astype(np.float32), shape[1:]) > 0
        self._watch.progress("metric", 1.0)
        return metres, sky


def _scaled(base: Prediction, scale: float) -> Prediction:
    return replace(Similarity(scale, np.eye(3), np.zeros(3)).apply(base), is_metric=True)


def metric_scale(base: Prediction, metres: np.ndarray, sky: np.ndarray) -> float:
    """Metres per unit of the base model: the median ratio of depths, by confidence, without sky and edges.

    Parameters
    ----------
    base : N frames
    metres : (N, H, W), the metric model's depth
    sky : (N, H, W) bool

    Raises
    ------
    BadInput
        There is no pixel that both models see.
    """
    good = (base.conf > 0) & (base.depth > 0) & (metres > 0) & ~sky
    good &= ~(filters.edges(base.depth) | filters.edges(metres))
    if not good.any():
        raise BadInput("Use Metric found no scale: the metric model sees only sky, or nothing that the base model sees")
    return float(np.exp(weighted_median(np.log(metres[good] / base.depth[good]), base.conf[good])))


def _fit(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """At the base model's size, should the metric model keep one of its own."""
    if image.shape == shape:
        return image
    return cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
