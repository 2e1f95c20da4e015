"""The parts of a picture on which others show a plane: for one that does not go on everywhere, a table or a street.

A table's plane is sure, and what is unknown of the pictures is mostly the room behind it. So each place is judged by the pictures
around it, on the plane and on others before and behind it, and is taken only in one piece with what is known to be on the plane.
"""

from __future__ import annotations

import cv2
import numpy as np

from .pictures import FINE, PARTNERS, RIM, SHOWN, Seen, details
from .plane import Plane

WINDOW = (41, 41)  # pixels that are compared around a place,
LEAST = 100  # of them at least; with three other views each counts three times
OTHERS = (0.8, 0.9, 1.11, 1.25)  # times the inverse depth: planes on which the pictures must be less alike,
BETTER = 0.05  # by this much
AS_MANY = 0.5  # of the plane's pixels that another one must compare to be one
ON = 0.02  # relative; what is known is on the plane
PIECE = np.ones((5, 5), np.uint8)  # pixels; what is nearer to each other is one piece
REACH = np.ones((7, 7), np.uint8)  # pixels, how near it has to be to what is known


class Parts:
    """Parameters: ``gray`` (N, H, W) float32, 0 to 1; ``unknown`` (N, H, W) bool; ``intrinsics``, ``extrinsics`` of all views."""

    def __init__(self, gray: np.ndarray, unknown: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray):
        self.intrinsics, self.extrinsics = intrinsics, extrinsics
        rim = np.ones((RIM, RIM), np.uint8)
        usable = [cv2.erode(one.astype(np.uint8), rim).astype(np.float32) for one in unknown]
        self.shown = [np.dstack([details(one)[..., FINE], some]) for one, some in zip(gray, usable, strict=True)]

    def of(self, plane: Plane, view: Seen, depth: np.ndarray, new: np.ndarray) -> np.ndarray:
        """(H, W) bool: those of the ``new`` places that the pictures show on the plane.

        Parameters
        ----------
        depth : (H, W) what is known of the view, 0 where nothing is
        new : (H, W) bool
        """
        if not new.any():
            return new
        there = plane.inverse_depth(self.intrinsics[view.index], self.extrinsics[view.index], new.shape)
        there = np.where(there * view.farthest > 1.0, there, np.float32(0.0))
        like, count = self._likeness(view, there)
        out = new & (like >= SHOWN) & (count >= LEAST)
        for factor in OTHERS:
            if out.any():
                other, compared = self._likeness(view, there * np.float32(factor))
                out &= (compared < AS_MANY * count) | (other + BETTER <= like)
        on_it = (depth > 0.0) & (np.abs(depth * there - 1.0) < ON)
        near = cv2.dilate(on_it.astype(np.uint8), REACH) > 0
        count, pieces = cv2.connectedComponents(cv2.dilate(out.astype(np.uint8), PIECE), connectivity=8)
        touches = np.zeros(count, bool)
        touches[pieces[out & near]] = True
        return out & touches[pieces]

    def _likeness(self, view: Seen, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) correlation around each place with what others show at these inverse depths, and over how many pixels."""
        own, usable = np.moveaxis(self.shown[view.index], -1, 0)
        sums = np.zeros((4, *there.shape), np.float32)
        for other in view.neighbours[:PARTNERS]:
            x, y = self._places(view.index, other, there, usable > 0.0)
            seen, compared = np.moveaxis(cv2.remap(self.shown[other], x, y, cv2.INTER_LINEAR), -1, 0)
            both = (compared > 0.99).astype(np.float32)
            a, b = own * both, seen * both
            sums += np.stack([a * b, a * a, b * b, both])
        product, square, its_square, count = (
            cv2.boxFilter(s, -1, WINDOW, normalize=False, borderType=cv2.BORDER_CONSTANT) for s in sums
        )
        return product / np.sqrt(np.maximum(square * its_square, 1e-12)), count

    def _places(self, view: int, other: int, there: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) float32 x and y in another view, as OpenCV counts them; far outside where there is nothing to compare."""
        k, e = self.intrinsics, self.extrinsics
        turn = e[other, :, :3] @ e[view, :, :3].T
        shift = k[other] @ (e[other, :, 3] - turn @ e[view, :, 3])
        to_pixel = k[other] @ turn @ np.linalg.inv(k[view])
        u, v = np.arange(there.shape[1]) + 0.5, np.arange(there.shape[0])[:, None] + 0.5
        x, y, z = (row[0] * u + row[1] * v + row[2] + there * s for row, s in zip(to_pixel, shift, strict=True))
        ahead = usable & (there > 0.0) & (z > 1e-6)
        at = [np.where(ahead, p / np.maximum(z, 1e-6) - 0.5, -9.0).astype(np.float32) for p in (x, y)]
        return at[0], at[1]
