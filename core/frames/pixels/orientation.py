"""How a photograph lies in its file, and everything that follows from it: pixels, sizes, cameras, texture coordinates.

Devices write pixels as the sensor gave them, and EXIF's tag Orientation says how they are to be seen (EXIF 2.32, 4.6.4 A).
All of this add-on works on *upright* pictures. Blender and COLMAP show and measure a file's pixels as they are *stored*.
Pixel coordinates are those of the picture's area: the top-left corner is (0, 0), the other one (width, height).

Imports nothing but numpy: Blender's side uses it too.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np

TAG = 0x0112  # EXIF's Orientation
UPRIGHT = 1
#: Where the point (x, y) of the stored picture is seen: the 2 x 2 of the upright (x, y), both from the centre.
_TURNS = {
    1: ((1, 0), (0, 1)), 2: ((-1, 0), (0, 1)), 3: ((-1, 0), (0, -1)), 4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)), 6: ((0, -1), (1, 0)), 7: ((0, -1), (-1, 0)), 8: ((0, 1), (-1, 0)),
}  # fmt: skip
#: Mirror left to right first, then turn clockwise, radians.
MIRROR_AND_TURN = {
    1: (False, 0.0),
    2: (True, 0.0),
    3: (False, math.pi),
    4: (True, math.pi),
    5: (True, -math.pi / 2),
    6: (False, math.pi / 2),
    7: (True, math.pi / 2),
    8: (False, -math.pi / 2),
}
#: Where the pixel seen at (u, v) of the upright picture lies in the file; both from 0 to 1, v down.
STORED_AT: dict[int, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    1: lambda u, v: (u, v), 2: lambda u, v: (1 - u, v), 3: lambda u, v: (1 - u, 1 - v), 4: lambda u, v: (u, 1 - v),
    5: lambda u, v: (v, u), 6: lambda u, v: (v, 1 - u), 7: lambda u, v: (1 - v, 1 - u), 8: lambda u, v: (1 - v, u),
}  # fmt: skip


def known(value: object) -> int:
    """An orientation as a file states it, 1 to 8; 1 where that says nothing."""
    return value if isinstance(value, int) and value in _TURNS else UPRIGHT


def turn_of(orientation: int) -> np.ndarray:
    """(2, 2): where the point (x, y) of the stored picture is seen, both from the centre."""
    return np.array(_TURNS[orientation], float)


def lies(orientation: int) -> bool:
    """Whether the file holds the picture on its side, so that width and height change places."""
    return orientation >= 5


def mirrors(orientation: int) -> bool:
    """Whether the file holds a mirror image of what is to be seen: no camera sees both."""
    return orientation in (2, 4, 5, 7)


def turned_size(orientation: int, width: int, height: int) -> tuple[int, int]:
    """Upright (width, height) of a stored picture, or the other way round."""
    return (height, width) if lies(orientation) else (width, height)


def of_exif(block: bytes) -> int:
    """What an EXIF block states in its first directory, for those who may not have Pillow; 1 where it says nothing.

    Raises
    ------
    struct.error
        It ends too early.
    """
    order = "<" if block.startswith(b"II") else ">"
    start = struct.unpack(order + "I", block[4:8])[0]
    count = struct.unpack(order + "H", block[start : start + 2])[0]
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack(order + "HHIH", block[entry : entry + 10])
        if tag == TAG:
            return known(int(value))
    return UPRIGHT


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(h, w, ...) stored pixels as they are to be seen."""
    if orientation == UPRIGHT:
        return np.ascontiguousarray(pixels)
    if lies(orientation):
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::down, ::across])


def upright_camera(
    orientation: int, intrinsics: np.ndarray, extrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The camera of the upright picture, from that of the stored one.

    Parameters
    ----------
    orientation : one that does not mirror
    intrinsics : (3, 3), pixels of the stored picture
    extrinsics : (3, 4), world to camera, OpenCV axes
    size : width and height of the stored picture
    """
    return _turned(turn_of(orientation), intrinsics, extrinsics, size)


def stored_camera(
    orientation: int, intrinsics: np.ndarray, extrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The other way: the camera of the stored picture from that of the upright one, whose width and height ``size`` is."""
    return _turned(turn_of(orientation).T, intrinsics, extrinsics, size)


def _turned(
    turn: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels x go to turn (x - centre) + new centre, and the camera's axes turn with them."""
    axes = np.eye(3)
    axes[:2, :2] = turn
    pixels = axes.copy()
    centre = np.array(size, float) / 2.0
    pixels[:2, 2] = np.abs(turn) @ centre - turn @ centre
    return pixels @ intrinsics @ axes.T, axes @ extrinsics
