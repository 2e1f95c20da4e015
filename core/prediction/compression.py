"""A prediction as small arrays, and back."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from .prediction import Prediction, Tracks

LEVELS = 65535  # of 16 bits, but for 0
#: ``Tracks`` on disk, by array.
TRACKS = {
    "number": np.int64, "points": np.float64, "error": np.float32, "length": np.int32, "seen": np.int32,
    "pixels": np.float32,
}  # fmt: skip


def packed(prediction: Prediction) -> dict[str, np.ndarray]:
    """All but the images, and what is one value for all frames.

    Depth and confidence are 16 bit logarithms between a frame's least and greatest value: a relative step of 1e-4 or so.
    What frames look like is kept to 1e-3.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in ("depth", "conf"):
        arrays[name], arrays[f"{name}_range"] = _logarithms(getattr(prediction, name))
    for name in ("extrinsics", "intrinsics", "distortion", "reprojection_error"):
        if (value := getattr(prediction, name)) is not None:
            arrays[name] = value.astype(np.float64)
    for name in ("sky", "people"):
        if (value := getattr(prediction, name)) is not None:
            arrays[name] = _squeezed(np.packbits(value))
    if prediction.object_id is not None:
        arrays["object_id"] = _squeezed(prediction.object_id.astype(np.int32))
    if prediction.descriptors is not None:
        arrays["looks"] = prediction.descriptors.astype(np.float16)
    if prediction.gaussians is not None:
        arrays["gaussians"] = prediction.gaussians
    if prediction.tracks is not None:
        arrays |= {f"track_{name}": getattr(prediction.tracks, name).astype(kind) for name, kind in TRACKS.items()}
    return arrays


def unpacked(
    arrays: Mapping[str, np.ndarray], images: np.ndarray | None, rows: Sequence[int] | slice = slice(None)
) -> Prediction:
    """What ``packed`` packed, or some of its frames.

    Parameters
    ----------
    images : (N, H, W, 3) of the ``rows``; None: black ones, which take no memory
    rows : which frames

    Raises
    ------
    KeyError, ValueError, zlib.error
        Something is missing, or broken.
    """

    def of_frames(name: str) -> np.ndarray | None:
        values = arrays.get(name)
        return None if values is None else values[rows]

    codes = arrays["depth"]
    depth = _values(codes[rows], arrays["depth_range"][rows])
    conf = _values(arrays["conf"][rows], arrays["conf_range"][rows])
    if images is None:
        images = np.broadcast_to(np.uint8(0), (*depth.shape, 3))
    prediction = Prediction(depth, conf, of_frames("extrinsics"), of_frames("intrinsics"), images)
    prediction.distortion, prediction.reprojection_error = of_frames("distortion"), of_frames("reprojection_error")
    if "sky" in arrays:
        prediction.sky = _mask(arrays["sky"], codes.shape)[rows]
    if "people" in arrays:
        prediction.people = _mask(arrays["people"], codes.shape)[rows]
    if "object_id" in arrays:
        objects = np.frombuffer(bytearray(_loose(arrays["object_id"])), np.int32)
        prediction.object_id = objects.reshape(codes.shape)[rows]
    prediction.gaussians = of_frames("gaussians")
    if "track_number" in arrays:  # which name frames of the input
        prediction.tracks = Tracks(**{
            name: arrays[f"track_{name}"].astype(np.int64 if kind in (np.int32, np.int64) else np.float64)
            for name, kind in TRACKS.items()
        })  # fmt: skip
    if (looks := of_frames("looks")) is not None:
        prediction.descriptors = looks.astype(np.float32)
    return prediction


def _logarithms(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) >= 0 as uint16 of the logarithm, 0 for 0, and each frame's range (N, 2)."""
    codes = np.zeros(values.shape, np.uint16)
    ranges = np.zeros((len(values), 2))
    for i, image in enumerate(np.asarray(values, np.float32)):
        known = image > 0
        if not known.any():
            continue
        all_known = bool(known.all())
        least = float(image.min() if all_known else image[known].min())
        logs = cv2.log(image if all_known else np.maximum(image, np.float32(least)))  # NumPy's takes four times as long
        low, high = float(logs.min()), float(logs.max())
        ranges[i] = low, high
        logs -= np.float32(low)
        logs *= np.float32((LEVELS - 1) / max(high - low, 1e-12))
        logs += np.float32(1.5)  # the nearest level, counted from 1
        codes[i] = logs
        if not all_known:
            codes[i] *= known
    return codes, ranges


def _values(codes: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    values = np.empty(codes.shape, np.float32)
    for code, value, (low, high) in zip(codes, values, ranges, strict=True):
        step = max(high - low, 1e-12) / (LEVELS - 1)
        np.multiply(code, np.float32(step), out=value)  # 32 bits are far finer than a level still
        value += np.float32(low - step)
        cv2.exp(value, value)
        value[code == 0] = 0.0
    return values


def _squeezed(array: np.ndarray) -> np.ndarray:
    """Masks and ids are large areas of one value: deflate makes a tenth of them, or less."""
    return np.frombuffer(zlib.compress(array.tobytes(), 1), np.uint8)


def _loose(array: np.ndarray) -> bytes:
    return zlib.decompress(array.tobytes())


def _mask(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    bits = np.frombuffer(_loose(array), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
