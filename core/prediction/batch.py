"""What one pass of a run gives, once it is aligned: what streaming, motion, output and kept runs all take."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .prediction import Prediction


@dataclass
class Batch:
    """What one pass gave, aligned to the first."""

    indices: list[int]  # of the frames in the input
    prediction: Prediction
    motion: np.ndarray | None = None  # (N, H, W) float32, share of the other views that see empty space there
    moving: np.ndarray | None = None  # (N, H, W) bool, the regions that move
    names: dict[int, str] = field(default_factory=dict)  # of the things in ``prediction.object_id``: "person_3"
    warnings: list[str] = field(default_factory=list)
    passes: int = 0  # that the run makes, as planned by now; 0 where nobody has said
