"""OpenEXR files of plain float channels, written by hand: one part, scan lines, ZIP compression.

The format is OpenEXR's own (its documentation, "OpenEXR File Layout"). Values are 32 bit floats, as Blender and Nuke read them. Which
thing a pixel shows is told as Cryptomatte does (Psyop, "Cryptomatte specification", 1.2.0): each thing's name as a hash, with how
much of the pixel it covers, and the names in the header.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MAGIC = struct.pack("<ii", 20000630, 2)
FLOAT, ZIP, INCREASING = 2, 3, 0
LINES = 16  # in a block of ZIP
CRYPTOMATTE = "CryptoObject"  # name of its channels
LEVEL = 4  # of zlib: OpenEXR's own default


def encode(channels: Mapping[str, NDArray[np.float32]], texts: Mapping[str, str] | None = None) -> bytes:
    """The content of a file.

    Parameters
    ----------
    channels : by name, such as "Z" or "confidence.V"; each (H, W) float32, the first row on top
    texts : of the header, by their names
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
        *(_attribute(name, "string", text.encode()) for name, text in sorted((texts or {}).items())),
    ]) + b"\0"  # fmt: skip
    blocks = []
    for top in range(0, height, LINES):
        packed = _packed(stacked[top : top + LINES].tobytes())
        blocks.append(struct.pack("<ii", top, len(packed)) + packed)
    first = len(header) + 8 * len(blocks)
    offsets = first + np.cumsum([0, *map(len, blocks[:-1])])
    return header + offsets.astype("<u8").tobytes() + b"".join(blocks)


def cryptomatte(
    object_id: NDArray[np.int32], things: Mapping[int, str]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Channels and texts for ``encode``, of the thing that each pixel shows.

    Parameters
    ----------
    object_id : (H, W), 0 is none
    things : their names by id; of one that is not among them the number is the name
    """
    shown = [int(number) for number in np.unique(object_id) if number]
    hashes = {number: _hash(things.get(number, str(number)).encode()) for number in shown}
    identity = np.zeros(object_id.shape, np.float32)
    for number, value in hashes.items():
        identity[object_id == number] = np.array(value, np.uint32).view(np.float32)
    covered = (object_id != 0).astype(np.float32)
    nothing = np.zeros_like(covered)
    planes = dict(zip("RGBA", (identity, covered, nothing, nothing), strict=True))
    about = {
        "name": CRYPTOMATTE,
        "hash": "MurmurHash3_32",
        "conversion": "uint32_to_float32",
        "manifest": json.dumps({things.get(number, str(number)): f"{value:08x}" for number, value in hashes.items()}),
    }
    key = f"cryptomatte/{_hash(CRYPTOMATTE.encode()):08x}"[: len("cryptomatte/") + 7]
    return (
        {f"{CRYPTOMATTE}00.{channel}": plane for channel, plane in planes.items()},
        {f"{key}/{word}": text for word, text in about.items()},
    )


def _hash(name: bytes) -> int:
    """MurmurHash3, 32 bits, seed 0 (Appleby 2011, public domain); no infinity, NaN or denormal as a float, as Cryptomatte wants."""
    value, whole = 0, len(name) // 4 * 4
    for start in range(0, len(name), 4):
        part = int.from_bytes(name[start : start + 4], "little") * 0xCC9E2D51 & 0xFFFFFFFF
        value ^= ((part << 15 | part >> 17) & 0xFFFFFFFF) * 0x1B873593 & 0xFFFFFFFF
        if start < whole:
            value = ((value << 13 | value >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
    value ^= len(name)
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        value = (value ^ value >> shift) * factor & 0xFFFFFFFF
    value ^= value >> 16
    return value ^ 1 << 23 if value >> 23 & 255 in (0, 255) else value


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
