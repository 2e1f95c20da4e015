"""Opens a model by its name. Stands above all predictors, the only place that knows them all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..models import catalogue
from ..monitor import Monitor
from ..prediction.predictor import Predictor

if TYPE_CHECKING:
    from ..frames.source import FrameSource


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
        from .classic import ClassicPredictor

        return ClassicPredictor(frames.focals, monitor, device)
    # Read when torch is imported: some linear algebra of ray-based poses does not exist on Apple's GPUs.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    from .da3 import DA3Predictor

    return DA3Predictor(model, file, monitor, fp16=fp16, device=device)
