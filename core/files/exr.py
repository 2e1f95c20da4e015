"""OpenEXR files of plain float channels, written by hand: one part, scan lines, ZIP compression.

The format is OpenEXR's own (its documentation, "OpenEXR File Layout"). Values are 32 bit floats, as Blender and Nuke read them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MAGIC = struct.pack("<ii", 20000630, 2)
FLOAT, ZIP, INCREASING = 2, 3, 0
LINES = 16  # in a block of ZIP
LEVEL = 4  # of zlib: OpenEXR's own default


def encode(channels: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The content of a file.

    Parameters
    ----------
    channels : by name, such as "Z" or "confidence.V"; each (H, W) float32, the first row on top
    """
    names = sorted(channels)
    height, width = channels[names[0]].shape
    stacked = np.stack([np.ascontiguousarray(channels[name], "<f4") for name in names], axis=1)  # (H, C, W)
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", FLOAT, 0, 1, 1) for name in names) + b"\0"
    header = MAGIC + b"".join([
        _attribute("channels", "chlist", listed),
        _attribute("compression", "compression", bytes([ZIP])),
        _attribute("dataWindow", "box2i", box),
        _attribute("displayWindow", "box2i", box),
        _attribute("lineOrder", "lineOrder", bytes([INCREASING])),
        _attribute("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        _attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        _attribute("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    ]) + b"\0"  # fmt: skip
    blocks = []
    for top in range(0, height, LINES):
        packed = _packed(stacked[top : top + LINES].tobytes())
        blocks.append(struct.pack("<ii", top, len(packed)) + packed)
    first = len(header) + 8 * len(blocks)
    offsets = first + np.cumsum([0, *map(len, blocks[:-1])])
    return header + offsets.astype("<u8").tobytes() + b"".join(blocks)


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def _packed(raw: bytes) -> bytes:
    """Even bytes before odd ones, each as its difference from the one before, deflated; as it is where that is shorter."""
    data = np.frombuffer(raw, np.uint8)
    parted = np.concatenate([data[::2], data[1::2]])
    steps = parted.copy()
    steps[1:] = parted[1:] - parted[:-1] + np.uint8(128)
    packed = zlib.compress(steps.tobytes(), LEVEL)
    return packed if len(packed) < len(raw) else raw
