"""The model that stays in the worker's memory between jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ...frames.source import FrameSource
from ...models import catalogue
from ...monitor import Monitor
from ...prediction.predictor import Predictor


class OpenPredictor(Protocol):
    """``core.predictors.opening.open_predictor``, or a test's stand-in."""

    def __call__(
        self,
        name: str,
        folder: Path,
        frames: FrameSource,
        monitor: Monitor,
        *,
        fp16: bool = False,
        device: str | None = None,
    ) -> Predictor: ...


class LoadedModel:
    """The one model that stays in memory between jobs.

    A predictor that has ``unload`` is kept, and gets each job's ``monitor``; one without (``classic``) belongs to its job.
    """

    def __init__(self, open_predictor: OpenPredictor, stand_in: str = ""):
        self._open = open_predictor
        self._stand_in = stand_in
        self._key: tuple[object, ...] | None = None
        self._name: str | None = None
        self._predictor: Any = None
        self._metric: LoadedModel | None = None

    @property
    def name(self) -> str | None:
        """Of the model in memory."""
        return self._name if self._key else None

    def get(
        self, name: str, folder: Path, frames: FrameSource, monitor: Monitor, fp16: bool, device: str | None
    ) -> Predictor:
        """The predictor for a job; opens it where another one, or none, is in memory."""
        key = (name, folder, fp16, device)
        if key == self._key:
            self._predictor.monitor = monitor
            return self._predictor
        return self._keep(key, name, lambda: self._open(name, folder, frames, monitor, fp16=fp16, device=device))

    def get_ray(
        self, name: str, folder: Path, frames: FrameSource, monitor: Monitor, fp16: bool, device: str | None,
        *, address: str, workers: int,
    ) -> Predictor:  # fmt: skip
        """The same with its passes on Ray's actors; see ``cluster.pool.RayPredictor``."""
        key = (name, folder, fp16, device, address, workers)
        if key == self._key:
            self._predictor.attach(frames, monitor)
            return self._predictor
        from ...cluster import host, pool  # late: most runs need none of it

        opening = host.Opening(name, str(folder), fp16, device, self._stand_in)
        return self._keep(key, name, lambda: pool.RayPredictor(opening, frames, monitor, address, workers))

    def _keep(self, key: tuple[object, ...], name: str, opened: Callable[[], Any]) -> Predictor:
        self.unload()
        predictor = opened()
        if hasattr(predictor, "unload"):
            self._key, self._name, self._predictor = key, name, predictor
        return predictor

    def get_metric(
        self, wanted: bool, folder: Path, frames: FrameSource, monitor: Monitor, fp16: bool, device: str | None
    ) -> Predictor | None:
        """The metric model beside it, where it is ``wanted``; else its memory is freed."""
        if not wanted:
            if self._metric is not None:
                self._metric.unload()
            return None
        self._metric = self._metric or LoadedModel(self._open)
        return self._metric.get(catalogue.METRES, folder, frames, monitor, fp16, device)

    def unload(self) -> None:
        """Free the model's memory, if there is one, and the metric model's."""
        if self._metric is not None:
            self._metric.unload()
        predictor, self._predictor, self._key = self._predictor, None, None
        if predictor is not None:
            predictor.unload()
