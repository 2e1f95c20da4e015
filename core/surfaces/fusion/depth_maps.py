"""One frame at a time: which of its pixels may be fused, and how much each counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from ...errors import DA3Error
from ...prediction.prediction import Prediction
from . import frame_kernels

Pieces = Callable[[], Iterable[tuple[Sequence[int], Prediction]]]

STRAY = 0.03  # relative; a pixel that differs by more from the median of the 5 x 5 around it is a stray one
GRAZING = 0.03  # least ``facing``: below it a depth says little about where the surface is, or it is an edge
WHOLE = (slice(None), slice(None))  # of a picture
AHEAD = 2  # frames that are made ready before they are asked for
MOST_TRUSTED = 2.0  # times the frame's median confidence


@dataclass(frozen=True)
class Frame:
    """What is taken of one frame.

    Attributes
    ----------
    index : of the frame in the input
    depth : (H, W) float32, z-depth, 0 where nothing is taken
    weight : (H, W) float32, by confidence, viewing angle and distance; 1 is a usual pixel of the frame at distance 1
    facing : (H, W) float32, see ``volume.View``
    intrinsics, extrinsics : (3, 3), (3, 4) float64
    image : (H, W, 3) uint8
    """

    index: int
    depth: np.ndarray
    weight: np.ndarray
    facing: np.ndarray
    intrinsics: np.ndarray
    extrinsics: np.ndarray
    image: np.ndarray


def frames(pieces: Pieces, least_confidence: float) -> Iterator[Frame]:
    """All frames, piece by piece; the next ones are made ready on a thread meanwhile.

    Parameters
    ----------
    pieces : gives the predictions anew each time it is called
    least_confidence : pixels below it take no part; nor do people, sky and pixels of confidence 0

    Raises
    ------
    DA3Error
        A prediction has no cameras.
    """
    made = _frames(pieces, least_confidence)
    with ThreadPoolExecutor(1, "frames") as thread:
        ready = deque(thread.submit(next, made, None) for _ in range(AHEAD))
        while frame := ready.popleft().result():
            ready.append(thread.submit(next, made, None))
            yield frame


def _frames(pieces: Pieces, least_confidence: float) -> Iterator[Frame]:
    for indices, prediction in pieces():
        if prediction.extrinsics is None or prediction.intrinsics is None:
            raise DA3Error("Frames without cameras cannot be fused to one surface: choose a model that finds cameras")
        for row, index in enumerate(indices):
            yield _frame(int(index), prediction, row, least_confidence)


def _frame(index: int, prediction: Prediction, row: int, least_confidence: float) -> Frame:
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    conf, intrinsics = prediction.conf[row], np.asarray(prediction.intrinsics[row], np.float64)
    depth, facing = taken(prediction, row, least_confidence)
    seen = conf[depth > 0]
    usual = float(np.median(seen[::5])) if len(seen) else 1.0
    weight = frame_kernels.weights(depth, facing, conf, usual, MOST_TRUSTED)
    extrinsics = np.asarray(prediction.extrinsics[row], np.float64)
    return Frame(index, depth, weight, facing, intrinsics, extrinsics, prediction.images[row])


def taken(
    prediction: Prediction, row: int, least_confidence: float, part: tuple[slice, slice] = WHOLE
) -> tuple[np.ndarray, np.ndarray]:
    """What is taken of the depths of one frame, as ``Frame`` has them: depth, 0 where nothing is, and facing.

    Parameters
    ----------
    part : (h, w) of the pixels that are wanted; what lies around them is looked at all the same
    """
    assert prediction.intrinsics is not None
    conf = prediction.conf[row]
    depth = np.ascontiguousarray(prediction.depth[row], np.float32)
    good = (conf > 0) & (conf >= least_confidence) & (depth > 0) & np.isfinite(depth)
    for mask in (prediction.people, prediction.sky):
        if mask is not None:
            good &= ~mask[row]
    depth = np.where(good, depth, np.float32(0))
    smooth = cv2.medianBlur(depth, 5) if min(depth.shape) >= 5 else depth
    facing = facing_of(smooth, np.asarray(prediction.intrinsics[row], np.float64), part)
    depth, smooth = np.ascontiguousarray(depth[part]), smooth[part]
    frame_kernels.drop_strays(depth, smooth, facing, STRAY, GRAZING)
    return depth, facing


def facing_of(depth: np.ndarray, intrinsics: np.ndarray, part: tuple[slice, slice] = WHOLE) -> np.ndarray:
    """(h, w) float32 of a part of the pixels: the surface's unit normal times the pixel's ray of z = 1; see ``volume.View``.

    With Z the depth and Zu, Zv its change per pixel, the normal of the surface is along
    (fx Zu, fy Zv, -(Z + (u - cx) Zu + (v - cy) Zv)), and that times the ray is -Z.
    """
    height, width = depth.shape
    # An eighth of Sobel's 3 x 3 is the mean change per pixel.
    along_u = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)[part]
    along_v = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)[part]
    depth = depth[part]
    u = np.arange(0.5, width, dtype=np.float32)[part[1]] - np.float32(intrinsics[0, 2])
    v = np.arange(0.5, height, dtype=np.float32)[part[0]] - np.float32(intrinsics[1, 2])
    across = depth + u * along_u + v[:, None] * along_v
    along_u *= np.float32(intrinsics[0, 0])
    along_v *= np.float32(intrinsics[1, 1])
    length = np.sqrt(along_u**2 + along_v**2 + across**2)
    return depth / np.maximum(length, np.float32(1e-12))


def turned(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(P, 3) points times the transpose of a (3, 3) matrix.

    Not by ``@``: for such thin arrays NumPy's BLAS starts threads that wait for each other and take more than twice as long.
    """
    x, y, z = (points[:, n, None] for n in range(3))
    return x * matrix[:, 0] + y * matrix[:, 1] + z * matrix[:, 2]
