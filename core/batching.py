"""Which frames go into which pass of the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .settings import BatchMode, Settings


def plan(indices: Sequence[int], settings: Settings) -> list[list[int]]:
    """The passes, each a list of frame indices in ascending order.

    ``ignore_batch_size``: one pass with all. ``skip_frames``: one pass with ``batch_size`` evenly spaced frames, the
    first and the last among them.
    """
    indices = list(indices)
    if settings.batch_mode is BatchMode.IGNORE_BATCH_SIZE or len(indices) <= settings.batch_size:
        return [indices]
    spaced = np.linspace(0, len(indices) - 1, settings.batch_size).round().astype(int)
    return [[indices[i] for i in spaced]]
