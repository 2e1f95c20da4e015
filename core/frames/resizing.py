"""From originals to the processed size, as DA3's own input processor does it, but without losing a pixel.

Images of one aspect ratio all become one size. Where they differ, DA3 crops every image of a pass to the smallest; here
the smaller ones are centred on a canvas of the largest, and ``valid`` says which pixels are real.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import BadInput
from ..settings import PATCH, ResizeMethod
from .frame import LazyImages


@dataclass(frozen=True)
class Placement:
    """Where one original lies on the processed canvas, in pixels."""

    left: int
    top: int
    width: int
    height: int
    original_width: int
    original_height: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)

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


def layout(sizes: Sequence[tuple[int, int]], resolution: int, method: ResizeMethod) -> tuple[int, int, list[Placement]]:
    """Canvas width and height for originals of these (width, height), and where each of them lies on it."""
    reduced = [processed_size(w, h, resolution, method) for w, h in sizes]
    width = max(w for w, _ in reduced)
    height = max(h for _, h in reduced)
    placements = [
        Placement((width - w) // 2, (height - h) // 2, w, h, *original)
        for (w, h), original in zip(reduced, sizes, strict=True)
    ]
    return width, height, placements


def on_canvas(
    shape: tuple[int, int], sizes: Sequence[tuple[int, int]], resolution: int, method: ResizeMethod
) -> list[Placement]:
    """Where originals of these (width, height) lie on a prediction of ``shape`` (height, width).

    That is ``layout``'s canvas, but for a predictor that keeps a size of its own.
    """
    width, height, placements = layout(sizes, resolution, method)
    sx, sy = shape[1] / width, shape[0] / height
    return [
        Placement(
            round(p.left * sx), round(p.top * sy), round(p.width * sx), round(p.height * sy),
            p.original_width, p.original_height,
        )
        for p in placements
    ]  # fmt: skip


def place(
    images: Iterable[np.ndarray], resolution: int, method: ResizeMethod
) -> tuple[np.ndarray, np.ndarray, list[Placement]]:
    """Images resized onto one canvas.

    Parameters
    ----------
    images : N arrays (h, w, 3) uint8; each is asked for once
    resolution : pixels, a multiple of 14

    Returns
    -------
    canvas : (N, H, W, 3) uint8, black outside an image
    valid : (N, H, W) bool, where the canvas shows the image
    placements : N
    """
    if isinstance(images, LazyImages):
        pairs = list(images.in_size(resolution, method))
    else:
        pairs = [(resized(image, resolution, method), (image.shape[1], image.shape[0])) for image in images]
    made, sizes = [small for small, _ in pairs], [size for _, size in pairs]
    width, height, placements = layout(sizes, resolution, method)
    canvas = np.zeros((len(made), height, width, 3), np.uint8)
    valid = np.zeros((len(made), height, width), bool)
    for i, (small, at) in enumerate(zip(made, placements, strict=True)):
        canvas[i, at.rows, at.columns] = small
        valid[i, at.rows, at.columns] = True
    return canvas, valid, placements


def _bounded(width: int, height: int, resolution: int, method: ResizeMethod) -> tuple[int, int]:
    side = max(width, height) if method is ResizeMethod.UPPER_BOUND else min(width, height)
    scale = resolution / side
    return max(1, round(width * scale)), max(1, round(height * scale))


def _nearest_multiple(pixels: int) -> int:
    down = pixels // PATCH * PATCH
    return down + PATCH if down + PATCH - pixels <= pixels - down else down  # a tie goes up, as in DA3


def resized(image: np.ndarray, resolution: int, method: ResizeMethod) -> np.ndarray:
    """(h, w, 3) uint8 in a model's size, in two steps like DA3's input processor, so that the network sees the very same
    pixels; raises BadInput where the image is too narrow."""
    height, width = image.shape[:2]
    final = processed_size(width, height, resolution, method)
    for size in (_bounded(width, height, resolution, method), final):
        height, width = image.shape[:2]
        if size != (width, height):
            larger = size[0] > width or size[1] > height
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    return image
