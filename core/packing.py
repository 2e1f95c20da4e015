"""A prediction as small arrays, and back."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from .prediction import Prediction

LEVELS = 65535  # of 16 bits, but for 0


def packed(prediction: Prediction) -> dict[str, np.ndarray]:
    """All but the images, and what is one value for all frames.

    Depth and confidence are 16 bit logarithms between a frame's least and greatest value: a relative step of 1e-4 or so.
    What frames look like is kept to 1e-3.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in ("depth", "conf"):
        arrays[name], arrays[f"{name}_range"] = _logarithms(getattr(prediction, name))
    for name in ("extrinsics", "intrinsics"):
        if (value := getattr(prediction, name)) is not None:
            arrays[name] = value.astype(np.float64)
    for name in ("sky", "people"):
        if (value := getattr(prediction, name)) is not None:
            arrays[name] = _squeezed(np.packbits(value))
    if prediction.object_id is not None:
        arrays["object_id"] = _squeezed(prediction.object_id.astype(np.int32))
    if prediction.looks is not None:
        arrays["looks"] = prediction.looks.astype(np.float16)
    return arrays


def unpacked(arrays: Mapping[str, np.ndarray], images: np.ndarray) -> Prediction:
    """What ``packed`` packed, with its images (N, H, W, 3).

    Raises
    ------
    KeyError, ValueError, zlib.error
        Something is missing, or broken.
    """
    depth = _values(arrays["depth"], arrays["depth_range"])
    conf = _values(arrays["conf"], arrays["conf_range"])
    prediction = Prediction(depth, conf, arrays.get("extrinsics"), arrays.get("intrinsics"), images)
    if "sky" in arrays:
        prediction.sky = _mask(arrays["sky"], depth.shape)
    if "people" in arrays:
        prediction.people = _mask(arrays["people"], depth.shape)
    if "object_id" in arrays:
        prediction.object_id = np.frombuffer(bytearray(_loose(arrays["object_id"])), np.int32).reshape(depth.shape)
    if "looks" in arrays:
        prediction.looks = arrays["looks"].astype(np.float32)
    return prediction


def _logarithms(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) >= 0 as uint16 of the logarithm, 0 for 0, and each frame's range (N, 2)."""
    codes = np.zeros(values.shape, np.uint16)
    ranges = np.zeros((len(values), 2))
    for i, image in enumerate(values):
        known = image > 0
        if known.any():
            logs = np.log(image, out=np.zeros(image.shape, np.float32), where=known)
            low, high = float(logs[known].min()), float(logs[known].max())
            ranges[i] = low, high
            step = max(high - low, 1e-12) / (LEVELS - 1)
            codes[i] = np.where(known, np.rint((logs - low) / step) + 1, 0).astype(np.uint16)
    return codes, ranges


def _values(codes: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    values = np.zeros(codes.shape, np.float32)
    for i, (low, high) in enumerate(ranges):
        logs = low + max(high - low, 1e-12) / (LEVELS - 1) * np.arange(-1, LEVELS)
        table = np.exp(logs.astype(np.float32))  # a fifth of the time of 64 bits, and far finer than a level still
        table[0] = 0.0
        values[i] = table[codes[i]]
    return values


def _squeezed(array: np.ndarray) -> np.ndarray:
    """Masks and ids are large areas of one value: deflate makes a tenth of them, or less."""
    return np.frombuffer(zlib.compress(array.tobytes(), 1), np.uint8)


def _loose(array: np.ndarray) -> bytes:
    return zlib.decompress(array.tobytes())


def _mask(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    bits = np.frombuffer(_loose(array), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
