"""Where the sun stands, as the sky in the photographs tells it: the one place that is blown out, while the sky around is not."""

from __future__ import annotations

import numpy as np

from ..geometry.projection import BLENDER_FROM_OPENCV, invert_rigid
from ..prediction.prediction import Prediction

STEP = 4  # pixels from one that is looked at to the next
CELLS = 64  # along the edge of each of the six faces of a cube: a direction is known to 2 degrees
FEWEST_PIXELS = 3  # that a cell must have to count
BLOWN_OUT = 245.0  # grey value of the sun and of the glow around it, at least
ABOVE = 40.0  # by which that is brighter than the middle of the sky
SHARE = 0.7  # of the way from the middle of the sky to its brightest, from which a cell belongs to the sun
WIDEST = 15.0  # degrees, of what belongs to it from its middle in the mean; white clouds are all over the sky


class Sky:
    """The sky's brightness by direction, gathered from the batches of a run."""

    def __init__(self) -> None:
        self._sum, self._count = np.zeros(6 * CELLS * CELLS), np.zeros(6 * CELLS * CELLS)

    def add(self, prediction: Prediction) -> None:
        """Take in a batch; one that does not tell its sky adds nothing."""
        if prediction.sky is None or prediction.extrinsics is None or prediction.intrinsics is None:
            return
        to_world = invert_rigid(prediction.extrinsics)[:, :, :3]
        for sky, image, turn, k in zip(prediction.sky, prediction.images, to_world, prediction.intrinsics, strict=True):
            v, u = np.nonzero(sky[::STEP, ::STEP])
            if len(v):
                pixels = np.stack([u * STEP + 0.5, v * STEP + 0.5, np.ones(len(u))], axis=-1)
                cells = _cells(pixels @ np.linalg.inv(k).T @ turn.T)
                grey = image[v * STEP, u * STEP].mean(axis=1)
                self._sum += np.bincount(cells, grey, len(self._sum))
                self._count += np.bincount(cells, minlength=len(self._count))

    def sun(self) -> list[float] | None:
        """The direction to the sun in Blender's axes, of length 1; None where the sky does not tell."""
        known = self._count >= FEWEST_PIXELS
        if not known.any():
            return None
        grey, where = self._sum[known] / self._count[known], _directions()[known]
        middle, most = float(np.median(grey)), float(grey.max())
        if most < BLOWN_OUT or most - middle < ABOVE:
            return None
        bright = where[grey > middle + SHARE * (most - middle)]
        ahead = bright.sum(axis=0)
        ahead /= max(float(np.linalg.norm(ahead)), 1e-9)
        if np.degrees(np.arccos(np.clip(bright @ ahead, -1.0, 1.0))).mean() > WIDEST:
            return None
        return [float(value) for value in BLENDER_FROM_OPENCV @ ahead]


def _cells(rays: np.ndarray) -> np.ndarray:
    """(P,) int, the cell of a cube that each of (P, 3) rays goes through."""
    axis = np.abs(rays).argmax(axis=1)
    row = np.arange(len(rays))
    ahead = rays[row, axis]
    a, b = (rays[row, (axis + k) % 3] / np.abs(ahead) for k in (1, 2))
    i, j = ((np.clip((side + 1.0) / 2.0, 0.0, 1.0 - 1e-9) * CELLS).astype(np.int64) for side in (a, b))
    return ((2 * axis + (ahead < 0)) * CELLS + i) * CELLS + j


def _directions() -> np.ndarray:
    """(6 CELLS^2, 3) of length 1, through the middle of each cell."""
    face, i, j = np.unravel_index(np.arange(6 * CELLS * CELLS), (6, CELLS, CELLS))
    out, row, axis = np.empty((len(face), 3)), np.arange(len(face)), face // 2
    out[row, axis] = 1.0 - 2.0 * (face % 2)
    for k, side in ((1, i), (2, j)):
        out[row, (axis + k) % 3] = 2.0 * (side + 0.5) / CELLS - 1.0
    return out / np.linalg.norm(out, axis=1, keepdims=True)
