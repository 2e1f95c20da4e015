"""What every model looks like from outside, and how one is opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..models import catalogue
from ..monitor import Monitor
from ..settings import Settings
from .prediction import Cameras, Prediction

if TYPE_CHECKING:
    from ..frames.source import FrameSource


class Predictor(Protocol):
    """Depth and cameras from images: DA3, ``classic``, or a test's ground truth."""

    def predict(
        self,
        images: Sequence[np.ndarray],
        indices: Sequence[int],
        settings: Settings,
        cameras: Cameras | None = None,
    ) -> Prediction:
        """One pass.

        Parameters
        ----------
        images : N arrays (h, w, 3) uint8, RGB, upright, as large as the files are; sizes may differ
        indices : which frames of the input these are
        settings : resolution, precision and the rest
        cameras : of these frames, where known

        Returns
        -------
        Prediction
            N frames at the processed size
        """
        ...


def open_predictor(
    name: str,
    folder: Path,
    frames: FrameSource,
    monitor: Monitor,
    *,
    fp16: bool = False,
    device: str | None = None,
) -> Predictor:
    """The model of that name, loaded and ready.

    Parameters
    ----------
    folder : where the model files are
    frames : the input, whose focal lengths ``classic`` takes as a first guess
    device : "cuda", "mps", "cpu"; None takes the first of these that is there

    Raises
    ------
    MissingModel
        Unknown, not installed, or its file is wrong.
    BadInput
        There is no such device.
    Cancelled
    """
    model = catalogue.find(name)
    file = catalogue.require(name, folder)
    if file is None:
        from ..predictors.classic import ClassicPredictor

        return ClassicPredictor(frames.focals, monitor)
    # Read when torch is imported: some linear algebra of ray-based poses does not exist on Apple's GPUs.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    from ..predictors.da3 import DA3Predictor

    return DA3Predictor(model, file, monitor, fp16=fp16, device=device)
