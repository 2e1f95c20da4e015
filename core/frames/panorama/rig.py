"""The rig of flat views that a panorama is cut into: which way each looks, and which pixels it sees.

A panorama is equirectangular: its width spans a full turn, its height goes from straight up to straight down. Its axes are
those of a camera that looks at the picture's middle (x right, y down, z ahead). Views are square and share its centre.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ...geometry.projection import pinhole

AROUND = 8  # views along the horizon; one up and one down see the rest
#: Across a view. From 90 degrees on nothing is left out; what neighbours share says how their depths fit.
FIELD_OF_VIEW = math.radians(95.0)
REACH = math.tan(FIELD_OF_VIEW / 2.0)  # of a view, in image coordinates at depth 1
LARGEST = 1600  # pixels of a view's side; classic finds its features in no larger ones
SMALLEST = 56


def rotations() -> NDArray[np.float64]:
    """(V, 3, 3), from the panorama's axes to those of each view: around from the picture's middle to the right, up, down."""
    turns = 2.0 * np.pi * np.arange(AROUND) / AROUND
    zero, one = np.zeros(AROUND), np.ones(AROUND)
    right = np.stack([np.cos(turns), zero, -np.sin(turns)], axis=-1)
    ahead = np.stack([np.sin(turns), zero, np.cos(turns)], axis=-1)
    level = np.stack([right, np.stack([zero, one, zero], axis=-1), ahead], axis=1)
    up = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
    down = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]
    return np.concatenate([level, [up], [down]])


def side(width: int) -> int:
    """Pixels along a view's side: as many in a degree, in its middle, as the panorama of that width has."""
    return int(np.clip(round(width / (2.0 * np.pi) * 2.0 * REACH), SMALLEST, LARGEST))


def intrinsics(pixels: int) -> NDArray[np.float64]:
    """(3, 3) of a view with so many pixels along its side."""
    return pinhole(pixels, pixels, FIELD_OF_VIEW)


def seen_at(
    directions: NDArray[np.float64], width: int, height: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a panorama shows (..., 3) directions of its axes, in pixels: u, v, the centre of the first at (0.5, 0.5)."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return (
        (np.arctan2(x, z) / (2.0 * np.pi) + 0.5) * width,
        (np.arctan2(y, np.hypot(x, z)) / np.pi + 0.5) * height,
    )


def rays(intrinsics: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """(H, W, 3), what the pixels of a view look along, in its axes, at depth 1."""
    v, u = np.mgrid[0.5:height, 0.5:width]
    (fx, _, cx), (_, fy, cy), _ = intrinsics
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones((height, width))], axis=-1)


def reduced(panorama: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """A panorama (H, W) or (H, W, 3) with no more pixels in a degree than views of that side show."""
    width = math.ceil(2.0 * np.pi * pixels / (2.0 * REACH))
    if panorama.shape[1] <= width:
        return panorama
    height = max(2, round(panorama.shape[0] * width / panorama.shape[1]))
    return cv2.resize(panorama, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def view(panorama: NDArray[np.uint8], rotation: NDArray[np.float64], pixels: int) -> NDArray[np.uint8]:
    """What a view of the rig sees of a panorama: (pixels, pixels) or (pixels, pixels, 3).

    Parameters
    ----------
    panorama : (H, W) or (H, W, 3)
    rotation : (3, 3), from the panorama's axes to the view's
    """
    height, width = panorama.shape[:2]
    u, v = seen_at(rays(intrinsics(pixels), pixels, pixels) @ rotation, width, height)
    wide = np.concatenate([panorama[:, -1:], panorama, panorama[:, :1]], axis=1)  # the seam is a place like others
    across, down = (u + 0.5).astype(np.float32), np.clip(v - 0.5, 0.0, height - 1.0).astype(np.float32)
    return cv2.remap(wide, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]
