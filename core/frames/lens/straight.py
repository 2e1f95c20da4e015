"""An input whose known lens distortion is undone, and the maps by which that is done."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...files import exr
from ..frame import Frame, FrameReader
from ..source import FrameSource
from .bending import Floats, Lens

BAND = 256  # rows
HELD = 2  # maps that are kept: 8 bytes a pixel


@dataclass(frozen=True, eq=False)
class Bent:
    """A frame's lens, with the camera matrix (3, 3) and the size (pixels) of the upright picture, which both stay."""

    lens: Lens
    intrinsics: Floats
    width: int
    height: int

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for frames of one camera."""
        return self.lens, self.intrinsics.tobytes(), self.width, self.height

    def source_of_straight(self) -> Floats:
        """(H, W, 2), where in the picture as it was taken each pixel of the straight one lies; infinite where nowhere."""
        return self._each(self.lens.bend)

    def source_of_bent(self) -> Floats:
        """(H, W, 2), the other way: where in the straight picture each pixel of the one that was taken lies."""
        return self._each(functools.partial(_straight, self.lens))

    def _each(self, way: Callable[[Floats], Floats]) -> Floats:
        """(H, W, 2) pixels, of the centres of all pixels; in bands, for OpenCV takes 100 bytes for each."""
        focal, centre = self.intrinsics[[0, 1], [0, 1]], self.intrinsics[:2, 2]
        bands = []
        for top in range(0, self.height, BAND):
            v, u = np.mgrid[top + 0.5 : min(top + BAND, self.height), 0.5 : self.width]
            flat = (np.stack([u, v], axis=-1) - centre) / focal
            bands.append((way(flat.reshape(-1, 2)) * focal + centre).reshape(flat.shape))
        return np.concatenate(bands)


def _straight(lens: Lens, bent: Floats) -> Floats:
    """The inverse of ``Lens.bend``, (N, 2)."""
    own, coefficients = np.ascontiguousarray(bent @ lens.axes)[:, None], np.array(lens.coefficients)
    if lens.is_fisheye:
        flat = cv2.fisheye.undistortPoints(own, np.eye(3), coefficients)
    else:
        rule = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-8)
        flat = cv2.undistortPoints(own, np.eye(3), coefficients, None, None, None, rule)
    straight: Floats = flat.reshape(-1, 2) @ lens.axes.T
    return straight


def straightened(frames: FrameSource, bent: Mapping[int, Bent]) -> FrameSource:
    """The input with the distortion of these frames undone. What the lens did not see is transparent in them."""
    headers = {
        index: replace(header, has_alpha=True, is_plain=False) if index in bent else header
        for index, header in frames.headers.items()
    }
    pictures = {**frames.pictures, **dict.fromkeys(bent, "")}  # the file is bent: it fits no camera
    reader = StraightReader(frames.reader, bent)
    return replace(frames, headers=headers, reader=reader, pictures=pictures, _decoding=None)


class StraightReader:
    """Straight pictures out of those that another reader decodes; see ``FrameReader``. ``bent``: which, and how, by frame."""

    def __init__(self, inner: FrameReader, bent: Mapping[int, Bent]):
        self.threads = inner.threads
        self._inner, self.bent = inner, bent
        self._maps: dict[tuple[object, ...], tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def read(self, index: int, ahead: Sequence[int] = ()) -> Frame:
        frame = self._inner.read(index, ahead)
        bent = self.bent.get(index)
        if bent is None:
            return frame
        where, inside = self._map(bent)
        opaque = inside
        if frame.opaque is not None:
            shown = cv2.remap(
                frame.opaque.astype(np.uint8), where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
            )
            opaque = inside & (shown > 0)
        # Beyond its border the picture goes on in its last colour: a black rim would be an edge to every model.
        return Frame(cv2.remap(frame.image, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), opaque)

    def close(self) -> None:
        with self._lock:
            self._maps.clear()
        self._inner.close()

    def _map(self, bent: Bent) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 2) float32 for OpenCV, which counts from the first pixel's centre; (H, W) bool, where there is a picture."""
        with self._lock:
            if bent.key not in self._maps:
                source = bent.source_of_straight()
                inside = ((source >= 0) & (source <= (bent.width, bent.height))).all(axis=-1)
                where = np.nan_to_num(source - 0.5, posinf=-1.0, neginf=-1.0).clip(-1e4, 1e5).astype(np.float32)
                self._maps[bent.key] = where, inside
                for old in list(self._maps)[:-HELD]:
                    del self._maps[old]
            return self._maps[bent.key]


def stmap(source: Floats) -> bytes:
    """An EXR file as compositors want a distortion map: red and green say where a pixel comes from, 0 to 1 from the lower left.

    ``source`` (H, W, 2): pixels, from the upper left; infinite where nowhere, which becomes -1.
    """
    height, width = source.shape[:2]
    known = np.isfinite(source).all(axis=-1)
    where = source / (width, height)
    red, green = where[..., 0], 1.0 - where[..., 1]
    planes = {"R": np.where(known, red, -1.0), "G": np.where(known, green, -1.0), "B": np.zeros((height, width))}
    return exr.encode({name: plane.astype(np.float32) for name, plane in planes.items()})
