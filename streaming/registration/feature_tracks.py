"""Corners of a chunk's pictures, followed from frame to frame.

The other frame is first brought into the corner's own view, by the depths and cameras there are: what is left of the motion is
small, and neither nearness nor slant change how a corner looks (a window that only shifts is pulled towards where it came from).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from ...core.prediction.prediction import Prediction

AHEAD = (1, 3, 7)  # frames later in which a frame's corners are looked for
ACROSS = 3  # frames of a joint pass's other side likewise
COARSE = 4  # pixels between those of a surface that are placed in another view
CORNERS = 120  # of a frame
HALVED = 240  # rows of a picture from which its corners are looked for at half the size, in a quarter of the time
FEWEST = 8  # corners that a pair of frames needs
STRAY = 0.1  # of the image's width: a corner farther from where it was expected is another one
STEEP = 1.2  # ratio of depths around a place beyond which there is more than one surface
ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.02)  # steps of one search, and pixels of the last
RETURN = 0.5  # pixels that a corner may be off when it is followed there and back


@dataclass(frozen=True)
class Correspondences:
    """M corners: seen in ``source`` with a depth, found again in ``target``."""

    source: np.ndarray  # (M,)
    target: np.ndarray
    points: np.ndarray  # (M, 3) in the source's camera
    rays: np.ndarray  # (M, 2) in the target's, at depth 1
    depth: np.ndarray  # (M,) of the target there
    corner: np.ndarray  # (M,) number of the corner, unlike any other's
    pixel: float  # at depth 1


def pairs_ahead(frames: range) -> list[tuple[int, int]]:
    """Each of the frames, which follow one another, with some later ones."""
    return [(i, i + n) for i in frames for n in AHEAD if i + n in frames]


def pairs_across(cameras: np.ndarray, first: int) -> list[tuple[int, int]]:
    """Frames of both sides of a joint pass that see about the same, in both directions.

    Parameters
    ----------
    cameras : (N, 3, 4), camera to world
    first : frames of the first side
    """
    a, b = cameras[:first], cameras[first:]
    apart = np.linalg.norm(a[:, None, :, 3] - b[None, :, :, 3], axis=-1)
    unlike = apart / max(float(np.median(apart)), 1e-12) + 1.0 - np.einsum("ik,jk->ij", a[:, :, 2], b[:, :, 2])
    there = [(i, first + int(j)) for i in range(len(a)) for j in np.argsort(unlike[i])[:ACROSS]]
    back = [(first + j, int(i)) for j in range(len(b)) for i in np.argsort(unlike[:, j])[:ACROSS]]
    return there + back


def follow(prediction: Prediction, cameras: np.ndarray, pairs: Sequence[tuple[int, int]]) -> Correspondences | None:
    """Corners of frames in other ones; None where there are too few.

    Parameters
    ----------
    cameras : (N, 3, 4), camera to world
    pairs : in which frame corners are taken, and in which they are looked for
    """
    intrinsics = prediction.intrinsics
    assert intrinsics is not None
    height, width = prediction.depth.shape[1:]
    grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in prediction.images]
    size = int(np.clip(height // 6, 5, 15)) | 1
    levels = 2 if height >= 150 else 1
    smooth = [cv2.medianBlur(np.ascontiguousarray(d), 3) for d in prediction.depth]
    flat = [_flat(d, c, size) for d, c in zip(smooth, prediction.conf, strict=True)]

    def of_frame(i: int) -> list[tuple[np.ndarray, ...]]:
        parts: list[tuple[np.ndarray, ...]] = []
        corners = _corners(grey[i], flat[i])
        if len(corners) < FEWEST:
            return parts
        column, row = np.rint(corners).astype(int).T
        points = _rays(corners + 0.5, intrinsics[i]) * smooth[i][row, column].astype(np.float64)[:, None]
        surface = _surface(smooth[i], intrinsics[i], cameras[i])
        for j in (other for one, other in pairs if one == i):
            where = _seen_from(surface, cameras[j], intrinsics[j], (height, width))
            expected = _look_up(where, corners)
            rows = np.flatnonzero((expected >= 2).all(axis=1) & (expected < (width - 3, height - 3)).all(axis=1))
            if len(rows) < FEWEST:
                continue
            other = cv2.remap(grey[j], where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            start = corners[rows]
            found, good, _ = cv2.calcOpticalFlowPyrLK(
                grey[i], other, start, start.copy(), winSize=(size, size), maxLevel=levels,
                criteria=ENOUGH, flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-3,
            )  # fmt: skip
            there = _look_up(where, found)
            at = np.rint(np.clip(there, -1, 1e6)).astype(int)
            inside = (at >= 0).all(axis=1) & (at < (width, height)).all(axis=1)
            near = np.linalg.norm(there - expected[rows], axis=1) < STRAY * width
            left = np.flatnonzero(inside & near & (good[:, 0] > 0))
            left = left[flat[j][at[left, 1], at[left, 0]]]
            if len(left) < FEWEST:
                continue
            # What does not find back from close by is not wanted: one level is enough.
            back, returned, _ = cv2.calcOpticalFlowPyrLK(
                other, grey[i], found[left], start[left], winSize=(size, size), maxLevel=0,
                criteria=ENOUGH, flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-3,
            )  # fmt: skip
            same = np.linalg.norm(back - start[left], axis=1) < RETURN
            kept = left[same & (returned[:, 0] > 0)]
            if len(kept) < FEWEST:
                continue
            x, y = at[kept].T
            rays = _rays(there[kept] + 0.5, intrinsics[j])[:, :2]
            number = len(kept)
            depth = smooth[j][y, x].astype(np.float64)
            named = i * CORNERS + rows[kept]
            parts.append((np.full(number, i), np.full(number, j), points[rows[kept]], rays, depth, named))
        return parts

    sources = sorted({i for i, _ in pairs})
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # OpenCV lets go of the interpreter
        parts = [part for found in threads.map(of_frame, sources) for part in found]
    if not parts:
        return None
    source, target, places, rays, depth, corner = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Correspondences(source, target, places, rays, depth, corner, 1.0 / intrinsics[0, 0, 0])


def _corners(grey: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(P, 2) float32, pixels that are found again well; in a picture that is large enough they are looked for at half its size.

    Parameters
    ----------
    usable : (H, W) bool, where they may be
    """
    halved = 2 if len(grey) >= HALVED else 1
    if halved == 2:
        height, width = (n // 2 for n in grey.shape)
        grey = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        usable = usable[: 2 * height : 2, : 2 * width : 2]
    apart = max(3, grey.shape[1] // 40)
    found = cv2.goodFeaturesToTrack(grey, CORNERS, 0.01, apart, mask=usable.astype(np.uint8))
    return np.zeros((0, 2), np.float32) if found is None else halved * found.reshape(-1, 2)


def _surface(depth: np.ndarray, intrinsics: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(3, h, w) world points of every ``COARSE``th pixel or so."""
    height, width = depth.shape
    rows, columns = max(2, height // COARSE), max(2, width // COARSE)
    u, v = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
    near = depth[np.ix_(v.astype(int), u.astype(int))].astype(np.float64)
    x, y = (u - intrinsics[0, 2]) / intrinsics[0, 0], (v - intrinsics[1, 2]) / intrinsics[1, 1]
    # Axis by axis, here and below: a product with a matrix of 3 x 3 takes several times as long.
    return np.stack([(a * x + (b * y + c)[:, None]) * near + d for a, b, c, d in camera])


def _seen_from(surface: np.ndarray, camera: np.ndarray, intrinsics: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 2) float32: where in the camera's image each pixel's surface is seen, integers at pixels' centres."""
    to_image = intrinsics @ camera[:, :3].T
    x, y, z = surface
    u, v, depth = (a * x + b * y + c * z + d for (a, b, c), d in zip(to_image, -to_image @ camera[:, 3], strict=True))
    ahead = depth > 1e-6
    depth[~ahead] = 1.0
    place = np.empty((*ahead.shape, 2), np.float32)
    for axis, along in enumerate((u, v)):
        place[..., axis] = np.where(ahead, along / depth - 0.5, -1e4)
    return cv2.resize(place, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _look_up(where: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(P, 2) of a map at places between its pixels."""
    pixels = np.ascontiguousarray(pixels, np.float32)[:, None]
    return cv2.remap(where, pixels, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]


def _flat(depth: np.ndarray, conf: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool: places with one surface around them. At a step, what is seen slides over what is behind it."""
    kernel = np.ones((min(size, 7), min(size, 7)), np.uint8)
    near, far = cv2.erode(depth, kernel), cv2.dilate(depth, kernel)
    return (conf > 0) & (near > 0) & (far < STEEP * near)


def _rays(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(..., 3) of z = 1."""
    rays = np.ones((*pixels.shape[:-1], 3))
    rays[..., :2] = (pixels - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
    return rays
