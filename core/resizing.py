"""From originals to the processed size, as DA3's own input processor does it, but without losing a pixel.

Images of one aspect ratio all become one size. Where they differ, DA3 crops every image of a pass to the smallest; here
the smaller ones are centred on a canvas of the largest, and ``valid`` says which pixels are real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .errors import BadInput
from .settings import PATCH, ResizeMethod


@dataclass(frozen=True)
class Placement:
    """Where one original lies on the processed canvas, in pixels."""

    left: int
    top: int
    width: int
    height: int
    original_width: int
    original_height: int

    def to_processed(self, intrinsics: np.ndarray) -> np.ndarray:
        """(3, 3) intrinsics in pixels of the original, in pixels of the canvas."""
        sx, sy = self.width / self.original_width, self.height / self.original_height
        return np.array([[sx, 0.0, self.left], [0.0, sy, self.top], [0.0, 0.0, 1.0]]) @ intrinsics


def processed_size(width: int, height: int, resolution: int, method: ResizeMethod) -> tuple[int, int]:
    """(width, height) in whole patches for an original of that size.

    Raises
    ------
    BadInput
        The image is so narrow that less than half a patch would be left of it.
    """
    bounded_width, bounded_height = _bounded(width, height, resolution, method)
    size = _nearest_multiple(bounded_width), _nearest_multiple(bounded_height)
    if min(size) < PATCH:
        raise BadInput(
            f"An image of {width} x {height} pixels is too narrow: at a process resolution of {resolution} its short "
            f"side has {min(bounded_width, bounded_height)} pixels, and a model needs at least {PATCH}. Crop it, or raise the resolution"
        )
    return size


def place(
    images: Sequence[np.ndarray], resolution: int, method: ResizeMethod
) -> tuple[np.ndarray, np.ndarray, list[Placement]]:
    """Images resized onto one canvas.

    Parameters
    ----------
    images : N arrays (h, w, 3) uint8
    resolution : pixels, a multiple of 14

    Returns
    -------
    canvas : (N, H, W, 3) uint8, black outside an image
    valid : (N, H, W) bool, where the canvas shows the image
    placements : N
    """
    resized = [_resize(image, resolution, method) for image in images]
    height = max(r.shape[0] for r in resized)
    width = max(r.shape[1] for r in resized)
    canvas = np.zeros((len(images), height, width, 3), np.uint8)
    valid = np.zeros((len(images), height, width), bool)
    placements = []
    for i, (image, small) in enumerate(zip(images, resized, strict=True)):
        h, w = small.shape[:2]
        top, left = (height - h) // 2, (width - w) // 2
        canvas[i, top : top + h, left : left + w] = small
        valid[i, top : top + h, left : left + w] = True
        placements.append(Placement(left, top, w, h, image.shape[1], image.shape[0]))
    return canvas, valid, placements


def _bounded(width: int, height: int, resolution: int, method: ResizeMethod) -> tuple[int, int]:
    side = max(width, height) if method is ResizeMethod.UPPER_BOUND else min(width, height)
    scale = resolution / side
    return max(1, round(width * scale)), max(1, round(height * scale))


def _nearest_multiple(pixels: int) -> int:
    down = pixels // PATCH * PATCH
    return down + PATCH if down + PATCH - pixels <= pixels - down else down  # a tie goes up, as in DA3


def _resize(image: np.ndarray, resolution: int, method: ResizeMethod) -> np.ndarray:
    """In two steps like DA3's input processor, so that the network sees the very same pixels."""
    height, width = image.shape[:2]
    final = processed_size(width, height, resolution, method)
    for size in (_bounded(width, height, resolution, method), final):
        height, width = image.shape[:2]
        if size != (width, height):
            larger = size[0] > width or size[1] > height
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    return image
