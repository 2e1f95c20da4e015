"""How a known lens bends, in OpenCV's two families of models, which are COLMAP's too. Imports nothing but numpy: Blender's side
uses it too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..pixels import orientation

Floats = NDArray[np.float64]

#: COLMAP's models that are undone, and where their parameters after the centre stand among OpenCV's (k1, k2, p1, p2, k3 ...;
#: of fisheyes k1 to k4).
PERSPECTIVE = {"SIMPLE_RADIAL": 1, "RADIAL": 2, "OPENCV": 4, "FULL_OPENCV": 8}
FISHEYE = {"SIMPLE_RADIAL_FISHEYE": 1, "RADIAL_FISHEYE": 2, "OPENCV_FISHEYE": 4, "SIMPLE_FISHEYE": 0, "FISHEYE": 0}
STEPS = 2000  # at which it is looked how far out a lens still spreads its picture
WIDEST = 4.0  # of image coordinates at depth 1: beyond 76 degrees off the axis nothing is straight any more


@dataclass(frozen=True)
class Lens:
    """``coefficients``: k1, k2, p1, p2[, k3, k4, k5, k6] of OpenCV's perspective model, or k1 to k4 of its fisheye.

    ``orientation`` is EXIF's: the coefficients go with the axes of the picture as it is stored, all else is upright.
    """

    is_fisheye: bool
    coefficients: tuple[float, ...]
    orientation: int = orientation.UPRIGHT

    @classmethod
    def of_colmap(cls, model: str, bending: list[float]) -> Lens | None:
        """Of a COLMAP camera; ``bending``: its parameters after focal lengths and centre. None where it bends nothing."""
        if model in FISHEYE:
            return cls(True, (*bending, *[0.0] * (4 - len(bending))))
        return cls(False, (*bending, *[0.0] * (4 - len(bending)))) if any(bending) else None

    def turned(self, how: int) -> Lens:
        """The lens of the upright picture, from that of the stored one."""
        return replace(self, orientation=how)

    def bend(self, flat: Floats) -> Floats:
        """Image coordinates at depth 1, (N, 2), of where the lens puts what a pinhole would have at ``flat``."""
        own = np.ascontiguousarray(flat @ self.axes)
        if self.is_fisheye:
            far = np.linalg.norm(own, axis=1)
            bent = own * (self._angle(np.arctan(far)) / np.maximum(far, 1e-12))[:, None]
        else:  # OpenCV's documentation, "Detailed Description" of calib3d
            (x, y), (_, _, p1, p2, *_) = own.T, self.coefficients
            squared = x * x + y * y
            spread = self._spread(squared)
            bent = np.stack([
                x * spread + 2.0 * p1 * x * y + p2 * (squared + 2.0 * x * x),
                y * spread + p1 * (squared + 2.0 * y * y) + 2.0 * p2 * x * y,
            ], axis=-1)  # fmt: skip
        upright: Floats = bent @ self.axes.T
        upright[np.linalg.norm(own, axis=1) >= self.reach] = np.inf
        return upright

    @property
    def reach(self) -> float:
        """How far from the axis, in image coordinates at depth 1, its polynomial still spreads the picture outwards."""
        r = np.linspace(0.0, WIDEST, STEPS)
        if self.is_fisheye:
            bent = self._angle(np.arctan(r))
        else:
            bent = r * self._spread(r**2)
        folds = np.flatnonzero(np.diff(bent) <= 0)
        return float(r[folds[0]]) if len(folds) else WIDEST

    def _angle(self, angle: Floats) -> Floats:
        """How far from the middle a fisheye puts a ray, by its angle (radians) to the axis."""
        return angle * (1.0 + sum(k * angle ** (2 * i + 2) for i, k in enumerate(self.coefficients)))

    def _spread(self, squared: Floats) -> Floats:
        """By how much a perspective lens moves a place outwards, by the square of its distance from the axis."""
        k1, k2, _, _, k3, k4, k5, k6 = (*self.coefficients, *[0.0] * (8 - len(self.coefficients)))
        above = 1.0 + squared * (k1 + squared * (k2 + squared * k3))
        return above / (1.0 + squared * (k4 + squared * (k5 + squared * k6)))

    @property
    def axes(self) -> Floats:
        """(2, 2), from the stored picture's axes to the upright one's."""
        return orientation.turn_of(self.orientation)
