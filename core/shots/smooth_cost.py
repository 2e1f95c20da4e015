"""What Smooth Path costs, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..files.names import readable
from ..output.calibration import smoothed
from ..output.camera_files import numbers_of
from ..output.payload import CameraRecord
from .tracks import Gathered


def sentence(gathered: Gathered, reach: int, moves: Sequence[np.ndarray] = ()) -> str:
    """How well the smoothed way fits what was seen, beside the way that was found; empty where nothing is smoothed.

    Parameters
    ----------
    reach : ``Settings.path_reach``
    moves : as ``Gathered.part`` has them
    """
    cameras = gathered.cameras(moves)
    if not reach or not cameras or any(camera.turn or not all(camera.photo) for camera in cameras):
        return ""
    others = smoothed(cameras, numbers_of(cameras), reach)
    before, after = gathered.errors(cameras, moves), gathered.errors(others, moves)
    told = f"Smooth Path {reach}"
    if before:
        found, now = np.array(list(before.values())), np.array(list(after.values()))
        return (
            f"{told}: reprojection error {np.median(found):.3f} -> {np.median(now):.3f} pixels of the photograph in the "
            f"median, {found.max():.3f} -> {now.max():.3f} at most ({_name(cameras, list(after)[int(now.argmax())])})"
        )
    shifts = gathered.shifts(cameras, others, moves)
    if not shifts:
        return ""
    worst = max(shifts, key=lambda frame: shifts[frame])
    return (
        f"{told}: moves what a frame sees by {np.median(list(shifts.values())):.2f} pixels of the photograph in the median, "
        f"{shifts[worst]:.2f} at most ({_name(cameras, worst)})"
    )


def _name(cameras: Sequence[CameraRecord], frame: int) -> str:
    return readable(next(camera.name for camera in cameras if camera.frame == frame))
