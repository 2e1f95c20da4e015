"""What every model looks like from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..settings import Settings
from .prediction import Cameras, Prediction


class Predictor(Protocol):
    """Depth and cameras from images: DA3, ``classic``, or a test's ground truth."""

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
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
