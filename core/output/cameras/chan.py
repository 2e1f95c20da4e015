"""Nuke's .chan: a line for each frame with its number, position, rotation (degrees, order ZXY) and vertical field of view.

The world is y up, the camera looks along its -z. The file knows neither principal point nor pixel aspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...geometry.projection import cameras_from_blender, cameras_to_blender, vertical_pinhole
from .colmap import View

Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # from Blender's axes


@dataclass(frozen=True)
class Line:
    """One frame: its number, (3, 4) world to camera in OpenCV's axes, and the angle from top to bottom (radians)."""

    number: int
    extrinsics: NDArray[np.float64]
    field_of_view: float

    def intrinsics(self, width: int, height: int) -> NDArray[np.float64]:
        """(3, 3) in pixels of a picture of that size."""
        return vertical_pinhole(width, height, self.field_of_view)


def text(views: Sequence[View], numbers: Sequence[int]) -> str:
    """The file's content: N views at N numbered frames."""
    lines = []
    matrices = cameras_to_blender(np.stack([view.extrinsics for view in views]))
    for number, view, matrix in sorted(zip(numbers, views, matrices, strict=True), key=lambda one: one[0]):
        placed = Y_UP @ matrix[:3]
        angle = np.degrees(2.0 * np.arctan(view.height / 2.0 / view.intrinsics[1, 1]))
        lines.append(" ".join([str(number), *(f"{v:.12g}" for v in (*placed[:, 3], *angles(placed[:, :3]), angle))]))
    return "\n".join(lines) + "\n"


def read(path: Path) -> list[Line]:
    """The lines of a file, by number.

    Raises
    ------
    BadInput
        It cannot be read, or a line lacks the field of view.
    """
    try:
        rows = [
            line.split() for line in path.read_text("utf-8").splitlines() if line.strip() and line.strip()[0] != "#"
        ]
        lines = []
        for number, *values in rows:
            x, y, z, *degrees, view = map(float, values[:7])
            matrix = np.concatenate([_rotation(degrees), [[x], [y], [z]]], axis=1)
            (extrinsics,) = cameras_from_blender((Y_UP.T @ matrix)[None])
            lines.append(Line(round(float(number)), extrinsics, float(np.radians(view))))
    except OSError as error:
        raise BadInput(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadInput(
            f"'{path}' is no .chan with eight numbers a line: frame, position, rotation, vertical field of view"
        ) from None
    return sorted(lines, key=lambda line: line.number)


def _rotation(degrees: Sequence[float]) -> NDArray[np.float64]:
    """(3, 3): about z first, then x, then y."""
    x, y, z = degrees
    return np.asarray(about("Y", y) @ about("X", x) @ about("Z", z))


def about(axis: str, degrees: float) -> NDArray[np.float64]:
    """(3, 3), a turn about "X", "Y" or "Z"."""
    s, c, k = np.sin(np.radians(degrees)), np.cos(np.radians(degrees)), "XYZ".index(axis)
    out, (a, b) = np.eye(3), ((k + 1) % 3, (k + 2) % 3)
    out[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
    return out


def angles(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees about x, y and z of a turn about z first, then x, then y; where the camera looks straight up or down, the turn about z is 0."""
    x = np.arcsin(np.clip(-rotation[1, 2], -1.0, 1.0))
    if abs(rotation[1, 2]) > 1.0 - 1e-12:
        return np.degrees([x, np.arctan2(-rotation[2, 0], rotation[0, 0]), 0.0])
    y, z = np.arctan2(rotation[0, 2], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[1, 1])
    return np.degrees([x, y, z])
