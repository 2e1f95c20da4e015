"""An origin near the cameras, for worlds whose coordinates are too large for the 32 bits that points have (UTM: millions)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .projection import invert_rigid

# 32 bits have steps of 2^-23 of the number; coordinates count as too large where such a step is more than this part of
# what the cameras span, or of a unit: a millimetre where the unit is a metre.
STEP = 2.0**-23
FINEST = 1e-3


def find(extrinsics: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Where the origin should be; None where it is well where it is.

    Parameters
    ----------
    extrinsics : N of (3, 4), world to camera, at least one

    Returns
    -------
    (3,) float64, whole numbers, in the world that the cameras have now
    """
    centres = invert_rigid(np.stack(extrinsics).astype(np.float64))[:, :, 3]
    middle: NDArray[np.float64] = np.median(centres, axis=0)
    spread = float(np.linalg.norm(centres - middle, axis=1).max())
    if float(np.abs(middle).max()) * STEP <= FINEST * min(1.0, spread or 1.0):
        return None
    return np.round(middle) if spread >= 1.0 else middle  # whole ones are easier to type in elsewhere


def moved(extrinsics: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3, 4) world to camera, float64, of the world whose origin is ``origin`` (3,) in the one they have now."""
    shift = np.einsum("...ij,j->...i", extrinsics[..., :3], origin)
    result = np.array(extrinsics, np.float64)
    result[..., 3] += shift
    return result


def comment(origin: NDArray[np.float64]) -> str:
    """Of a PLY file: what to add to its points, (3,) in its axes."""
    return "origin " + " ".join(repr(float(value)) for value in origin)
