"""Cameras that are known: whether a model can be conditioned on them, and a lens that a person knows."""

from __future__ import annotations

import numpy as np

from ..errors import BadInput
from ..frames.source import FrameSource
from ..geometry.projection import invert_rigid
from ..settings import Lens, Settings
from .prediction import Cameras

FEWEST = 3
SAME_PLACE = 1e-12  # spread of the centres over their distance from the origin; float64 keeps sixteen digits
# Spread across the longest direction over the spread along it. The network and the alignment work in float32, which
# keeps about seven digits; below a hundred times that the roll around the line is noise.
ON_A_LINE = 1e-5


def problem(extrinsics: np.ndarray) -> str | None:
    """Why a model cannot be conditioned on (N, 3, 4) cameras, in words; None where it can."""
    if len(extrinsics) < FEWEST:
        return f"Known cameras need at least {FEWEST} frames in a pass, and this one has {len(extrinsics)}"
    centres = invert_rigid(extrinsics)[:, :, 3]
    spread = np.linalg.svd(centres - centres.mean(axis=0), compute_uv=False)
    if spread[0] <= SAME_PLACE * np.abs(centres).max():
        return "The known cameras all stand in one place; the model needs cameras that move"
    if spread[1] <= ON_A_LINE * spread[0]:
        return "The known cameras all stand on one straight line; the model needs cameras that leave it"
    return None


def check(cameras: Cameras, count: int) -> None:
    """Whether a pass can be conditioned on these cameras.

    Raises
    ------
    BadInput
        Not one for each of ``count`` frames, not numbers, fewer than three, all in one place or on one line.
    """
    if len(cameras.extrinsics) != count or len(cameras.intrinsics) != count:
        raise BadInput(f"{count} frames came with {len(cameras.extrinsics)} known cameras; each frame needs its own")
    if not (np.isfinite(cameras.extrinsics).all() and np.isfinite(cameras.intrinsics).all()):
        raise BadInput("The known cameras hold values that are not numbers")
    words = problem(cameras.extrinsics)
    if words:
        raise BadInput(words)


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
