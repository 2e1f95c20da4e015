"""A lens whose distortion a person has typed in."""

from __future__ import annotations

import math

import numpy as np

from ...errors import BadInput
from ...settings import Distortion, KnownCameras, Settings
from ..source import FrameSource
from .bending import Lens
from .straight import Bent, straightened

#: How many coefficients each model takes at least and at most.
COUNTS = {Distortion.PERSPECTIVE: (1, 8), Distortion.FISHEYE: (1, 4)}


def undo(frames: FrameSource, settings: Settings) -> FrameSource:
    """The input without the distortion that the settings Distortion and Coefficients say; views into panoramas have none.

    The centre of distortion is that of the picture. The focal length is the one that is typed in, or EXIF's.

    Raises
    ------
    BadInput
        The coefficients cannot be read, or an image's focal length is not known.
    """
    if settings.distortion is Distortion.OFF:
        return frames
    if settings.known_cameras is KnownCameras.COLMAP:
        frames.warnings.append("Distortion has no effect: the COLMAP model has its own lenses")
        return frames
    lens = read(settings.distortion, settings.distortion_coefficients)
    flat = [index for index in frames.selected if index not in frames.views]
    bent = {index: _bent(frames, index, lens, settings) for index in flat}
    frames.warnings.append(f"Lens distortion undone, as it was typed in: {len(bent)} images")
    return straightened(frames, bent)


def read(model: Distortion, words: str) -> Lens:
    """The lens of coefficients with spaces, commas or semicolons between; those that are left out are 0."""
    low, high = COUNTS[model]
    try:
        numbers = [float(word) for word in words.replace(",", " ").replace(";", " ").split()]
    except ValueError:
        numbers = []
    if not low <= len(numbers) <= high or not all(map(math.isfinite, numbers)):
        raise BadInput(
            f"Coefficients: '{words}' is not {low} to {high} numbers with spaces between, such as '-0.12 0.03 0 0'"
        )
    count = 4 if len(numbers) <= 4 else high  # OpenCV takes four or eight
    return Lens(model is Distortion.FISHEYE, (*numbers, *[0.0] * (count - len(numbers))))


def _bent(frames: FrameSource, index: int, lens: Lens, settings: Settings) -> Bent:
    header = frames.headers[index]
    typed = settings.lens_focal / settings.lens_sensor * max(header.width, header.height)
    focal = typed or header.focal
    if not focal:
        raise BadInput(
            f"Distortion needs the focal length, and {frames.names[index]} does not tell it: set Lens to Fixed and type "
            "Focal Length and Sensor Size in"
        )
    centre = header.width / 2.0, header.height / 2.0
    intrinsics = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
    return Bent(lens.turned(header.orientation), intrinsics, header.width, header.height)
