"""Pictures of more than 8 bits a channel that Pillow has no form for: 16 bit and float colour, EXR, DPX, Radiance."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import colour

_ORIENTATION, _SHORT = 274, 3  # tag and type of TIFF 6.0
_LOG = (9, 10)  # transfer characteristics of ITU-T H.273 that film scanners write into DPX
_WHITE_CODE, _PER_CODE, _GAMMA = (
    685.0,
    0.002,
    0.6,
)  # Kodak, "Conversion of 10-bit log film data": white, density, negative


def open_array(path: Path) -> np.ndarray | None:
    """(h, w, 3 or 4) RGB of a PNG or TIFF as it is stored, 16 bit or float; None where OpenCV does not read that."""
    data = _untagged(bytearray(path.read_bytes()))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if image is None or image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype == np.uint8:
        return None
    order = [2, 1, 0] if image.shape[2] == 3 else [2, 1, 0, 3]
    return image[..., order]


def _untagged(data: bytearray) -> bytearray:
    """A TIFF that says nothing of its orientation: OpenCV turns some of them, and fails on others."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return data
    with contextlib.suppress(struct.error):  # cut off: whoever decodes it says so
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from(order + "H", data, at)[0] == _ORIENTATION:
                struct.pack_into(order + "HIHH", data, at + 2, _SHORT, 1, 1, 0)
    return data


def from_array(
    values: np.ndarray, stated: float | None = None, exposure: float = 0.0
) -> tuple[np.ndarray, np.ndarray | None]:
    """What ``open_array`` gives as (h, w, 3) uint8 sRGB, and (h, w) uint8 alpha where there is one."""
    rgb, alpha = values[..., :3], values[..., 3] if values.shape[-1] == 4 else None
    if values.dtype.kind == "f":
        opacity = None if alpha is None else np.round(255 * np.clip(np.nan_to_num(alpha), 0, 1)).astype(np.uint8)
        return float_to_eight_bit(rgb, exposure), opacity
    full = float(np.iinfo(values.dtype).max)
    return colour.eight_bit(rgb, stated), None if alpha is None else np.round(alpha * (255.0 / full)).astype(np.uint8)


def float_to_eight_bit(values: np.ndarray, exposure: float = 0.0) -> np.ndarray:
    """Floats of a file that is no EXR, to uint8: such files hold what is to be shown, from 0 to 1, 255 or 65535.

    Where only some values lie above 1 they are light of a scene, of a render: these are developed, by ``exposure`` (stops).
    """
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    greatest = float(values.max(initial=0.0))
    if greatest > 1.0 and float(np.median(values)) < 1.0:
        return colour.developed(values, exposure)
    top = 1.0 if greatest <= 1.0 else 255.0 if greatest <= 255.0 else 65535.0
    return np.round(np.clip(values / top, 0.0, 1.0) * 255.0).astype(np.uint8)


def size(path: Path) -> tuple[int, int]:
    """(width, height) of an EXR, DPX or Radiance file; raises what PyAV raises, and ValueError."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        if not stream.width or not stream.height:
            raise ValueError("it has no pixels")
        return stream.width, stream.height


def read(path: Path, exposure: float = 0.0) -> np.ndarray:
    """(h, w, 3) uint8 sRGB of an EXR, DPX or Radiance file; raises what PyAV raises, and ValueError.

    EXR and Radiance hold light of a scene, in BT.709's primaries. DPX holds either pictures or a film scan's logarithms.
    """
    with _opened(path) as container:
        frame = next(container.decode(video=0), None)
    if frame is None:
        raise ValueError("it has no pixels")
    if frame.format.name.startswith(("gbrpf", "gbrapf", "grayf", "rgbf", "rgbaf")):
        return colour.developed(_float_planes(frame), exposure)
    values = frame.reformat(format="rgb48le").to_ndarray()
    if path.suffix.lower() == ".dpx" and int(frame.color_trc or 0) in _LOG:
        code = values.astype(np.float32) * (1023.0 / 65535.0)
        light = 10.0 ** ((code - _WHITE_CODE) * _PER_CODE / _GAMMA)
        return colour.developed(light, exposure)
    return np.round(values / 257.0).astype(np.uint8)


def _opened(path: Path) -> Any:
    import av  # late: a folder of JPEGs needs no PyAV

    # FFmpeg is told which of its readers to take: by a name alone it could be led to others
    forms = {"allowed": "exr_pipe,dpx_pipe,hdr_pipe"}
    return av.open(f"file:{path}", options={"format_whitelist": forms["allowed"], "protocol_whitelist": "file"})


def _float_planes(frame: Any) -> np.ndarray:
    """(h, w, 3) float32 of a frame in one of FFmpeg's float formats."""
    name = frame.format.name
    half = "f16" in name
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.float16 if half else np.float32).reshape(plane.height, -1)
        planes.append(rows)
    if name.startswith(("gbrpf", "gbrapf")):
        green, blue, red = (p[:, : frame.width] for p in planes[:3])
        return np.stack([red, green, blue], axis=-1).astype(np.float32)
    if name.startswith("grayf"):
        return np.repeat(planes[0][:, : frame.width, None], 3, axis=-1).astype(np.float32)
    channels = 4 if name.startswith("rgbaf") else 3
    packed = planes[0][:, : frame.width * channels].reshape(frame.height, frame.width, channels)
    return packed[..., :3].astype(np.float32)
