"""The lens that a person knows."""

from __future__ import annotations

import numpy as np

from ..errors import BadInput
from ..frames.source import FrameSource
from ..settings import Lens, Settings


def longest_side(frames: FrameSource, index: int) -> int:
    """Of a frame's original, in pixels."""
    return max(frames.headers[index].width, frames.headers[index].height)


def fixed_focal(settings: Settings, frames: FrameSource) -> float | None:
    """The focal length that the setting Lens fixes, in lengths of the original's longest side; None where it fixes none.

    Raises
    ------
    BadInput
        It is to come from EXIF, and no image tells one.
    """
    if settings.lens is not Lens.FIXED:
        return None
    if settings.lens_focal:
        return settings.lens_focal / settings.lens_sensor
    told = [focal / longest_side(frames, i) for i in frames.selected if (focal := frames.focals[i])]
    if not told:
        raise BadInput("Lens is Fixed with the focal length of the files, and none of them tells it: type it in")
    return float(np.median(told))
