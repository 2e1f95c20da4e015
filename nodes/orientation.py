"""How a photo must be turned to be upright. Blender shows pixels as they are stored; a telephone stores them lying."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

#: By the value of EXIF's tag Orientation (EXIF 2.32, 4.6.4 A): mirror left to right first, then turn clockwise, radians.
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
TAG = 0x0112


def read(path: Path) -> int:
    """EXIF orientation of a JPEG, 1 to 8; 1 for any other file and where it says nothing that can be read."""
    try:
        with path.open("rb") as file:
            return _from_exif(_exif(file))
    except (OSError, struct.error):
        return 1


def _exif(file: BinaryIO) -> bytes:
    """The TIFF block inside a JPEG's APP1 segment; empty without one."""
    if file.read(2) != b"\xff\xd8":
        return b""
    while True:
        marker, length = struct.unpack(">HH", file.read(4))
        if not 0xFFE0 <= marker <= 0xFFEF:  # the picture itself begins: EXIF stands among the segments before it
            return b""
        body = file.read(length - 2) if length >= 2 else b""
        if marker == 0xFFE1 and body.startswith(b"Exif\0\0"):
            return body[6:]


def _from_exif(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, start)
    for i in range(entries):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * i)
        if (tag, kind, count) == (TAG, 3, 1) and value in MIRROR_AND_TURN:
            return value
    return 1
