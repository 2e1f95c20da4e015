"""Which pixels show the sky: by colour, by evenness, by where they are, and by what is known to be near.

No network: what a person goes by. Sky is even and blue, or even and bright; it begins at the upper edge of the picture and lies
above the horizon; nothing in it has parallax.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.projection import invert_rigid

UNEVEN = 7.0  # grey values, deviation within 5 x 5 pixels, from which a place is no seed
BRIGHT = 150  # least grey value of a sky that is not blue
COLOURLESS = 30  # most difference between its channels
BLUER = 8  # how much more blue than red a blue sky has at least
DARKEST = 60  # grey value; a darker blue is a thing in the shade
LEAST = 0.01  # of the picture; a smaller seed is a window or a lamp
TOP_BLUE, TOP_PALE = 0.3, 0.04  # of the height, how near to the upper edge a sky begins, with branches before it
WIDE = 0.05  # of the width, how much of it does
# Share of a seed's pixels that are known to be near, from which it is no sky. Matching carries the depth of roofs some way
# into an even sky, so that a few say little.
MEASURED_BLUE, MEASURED_PALE, MEASURED_BLOWN_OUT = 0.6, 0.4, 0.9
BLOWN_OUT = 250  # grey value
LEVELS = 16  # of each colour channel in the table of what sky and other things look like
SURE, DOUBT = 0.6, 0.25  # probability that makes a pixel sky, and beside the sky
TURNED = 0.06  # mean square of the cameras' x axes along the second direction; 0.06 is about 15 degrees
BELOW = np.radians(-3.0)  # elevation; what is lower is no sky, with room for how well "up" is known
RARE = 0.02  # of all pictures; a sky without blue that is rarer than this is a wall or a ceiling
RADIUS, SOFT = 6, 1e-3  # pixels and variance (0 to 1) of the guided filter that draws the outline
HALO = 2  # pixels beside the sky whose colour is mixed with it


@dataclass
class _Look:
    """One picture's candidates."""

    probability: NDArray[Any]  # (H, W) float32
    seed: NDArray[Any]  # (H, W) bool
    solid: NDArray[Any]  # (H, W) bool, near, and uneven enough for that to be sure
    is_blue: bool


def find(
    images: NDArray[Any],
    near: NDArray[Any],
    valid: NDArray[Any] | None = None,
    extrinsics: NDArray[Any] | None = None,
    intrinsics: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """(N, H, W) bool, where upright pictures of one scene show the sky.

    Parameters
    ----------
    images : (N, H, W, 3) uint8, RGB
    near : (N, H, W) bool, what is known not to be sky: it has parallax
    valid : (N, H, W) bool, pixels of the pictures, not of the canvas around them
    extrinsics, intrinsics : (N, 3, 4) and (N, 3, 3), where known: the sky is above the horizon
    """
    if valid is None:
        valid = (images[..., 0] | images[..., 1] | images[..., 2] > 0) | near
    above = _above_horizon(extrinsics, intrinsics, images.shape[:3])
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy and OpenCV let go of the interpreter
        looks = list(threads.map(_look, images, near, (v & a for v, a in zip(valid, above, strict=True))))
        grey = float(np.mean([look.seed.mean() for look in looks if not look.is_blue] or [0.0]))
        believed = any(look.is_blue for look in looks) or grey > RARE
        out = np.zeros(near.shape, bool)
        shown = [k for k, look in enumerate(looks) if look.seed.any() and (look.is_blue or believed)]
        outlines = threads.map(lambda k: _outline(images[k], looks[k], valid[k] & above[k]), shown)
        for k, outline in zip(shown, outlines, strict=True):
            out[k] = outline
    return out


def _look(image: NDArray[Any], near: NDArray[Any], allowed: NDArray[Any]) -> _Look:
    r, g, b = cv2.split(image)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    even = _variance(gray) < UNEVEN * UNEVEN
    blue = (cv2.subtract(b, r) > BLUER) & (cv2.subtract(g, b) <= 4) & (gray > DARKEST)
    spread = np.maximum(np.maximum(r, g), b) - np.minimum(np.minimum(r, g), b)
    pale = (gray > BRIGHT) & (spread < COLOURLESS)
    seed, blue_pixels = np.zeros(near.shape, bool), 0
    candidates = ((blue | pale) & even & allowed).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    first = _first_rows(allowed)
    for label in range(1, count):
        left, top, width, height, area = stats[label]
        if area < LEAST * near.size:
            continue
        box = np.s_[top : top + height, left : left + width]  # of the part
        part = labels[box] == label
        is_blue = blue[box][part].mean() > 0.5
        reach, most = (TOP_BLUE, MEASURED_BLUE) if is_blue else (TOP_PALE, MEASURED_PALE)
        if (gray[box][part] >= BLOWN_OUT).mean() > 0.3:  # nothing can be matched there
            most = MEASURED_BLOWN_OUT
        if near[box][part].mean() < most and _begins_at_top(part, left, top, first, reach * len(near)):
            seed[box] |= part
            blue_pixels += int((part & blue[box]).sum())
    solid = near & ~even
    probability = _probability(image, seed, (near & ~seed) | (allowed & ~seed & ~even))
    return _Look(probability, seed, solid, blue_pixels > 0.5 * seed.sum() and bool(seed.any()))


def _variance(gray: NDArray[Any]) -> NDArray[Any]:
    """(H, W) float32 of the grey values within 5 x 5 pixels."""
    values = gray.astype(np.float32)
    mean = cv2.blur(values, (5, 5))
    return np.asarray(cv2.blur(values * values, (5, 5)) - mean * mean, np.float32)


def _first_rows(allowed: NDArray[Any]) -> NDArray[Any]:
    """(W,) the first row that a column has; -1 where it has none."""
    return np.asarray(np.where(allowed.any(axis=0), allowed.argmax(axis=0), -1))


def _begins_at_top(part: NDArray[Any], left: int, top: int, first: NDArray[Any], reach: float) -> bool:
    """Whether a part reaches near the first pixels that a column has (``reach`` rows), in enough columns.

    Parameters
    ----------
    part : (h, w) bool, of the box whose upper left corner is (``left``, ``top``)
    first : as ``_first_rows`` has it
    """
    own = first[left : left + part.shape[1]]
    near = part.any(axis=0) & (own >= 0) & (part.argmax(axis=0) + top <= own + reach)
    return bool(near.sum() > WIDE * (first >= 0).sum())


def _probability(image: NDArray[Any], seed: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """How much more a pixel's colour is that of the seed than that of the rest, 0 to 1."""
    if not seed.any():
        return np.zeros(seed.shape, np.float32)
    r, g, b = ((channel // (256 // LEVELS)).astype(np.uint16) for channel in cv2.split(image))
    index = (r * LEVELS + g) * LEVELS + b
    tables = []
    for mask in (seed, other & ~seed):
        table = np.bincount(index[mask], minlength=LEVELS**3).astype(np.float32).reshape((LEVELS,) * 3)
        for axis in range(3):  # neighbouring colours are alike
            along = np.moveaxis(0.5 * table, axis, 0)
            quarter = np.moveaxis(0.25 * table, axis, 0)
            along[1:] += quarter[:-1]
            along[:-1] += quarter[1:]
            table = np.moveaxis(along, 0, axis)
        tables.append(table.ravel())
    share = tables[0] / (tables[0] + tables[1] + 0.5)
    return np.asarray(share.take(index), np.float32)


def _outline(image: NDArray[Any], look: _Look, allowed: NDArray[Any]) -> NDArray[Any]:
    """The seed, grown over what looks like it and lies beside it, to the edges of colour."""
    like = (look.seed | (look.probability > SURE)) & allowed & ~look.solid
    grown = cv2.dilate(look.seed.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0  # between branches, over wires
    count, labels = cv2.connectedComponents(like.astype(np.uint8), connectivity=8)
    touched = np.zeros(count, bool)
    touched[labels[grown]] = True
    touched[0] = False  # all that is not like it
    kept = touched.take(labels)
    soft = _guided(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0, kept.astype(np.float32))
    sky = ((soft > 0.5) | kept) & allowed
    beside = cv2.dilate(sky.astype(np.uint8), np.ones((2 * HALO + 1,) * 2, np.uint8)) > 0
    return np.asarray(sky | (beside & allowed & (look.probability > DOUBT)), bool)


def _guided(guide: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Guided filter (He et al., PAMI 2013): ``x`` smoothed, with the edges of ``guide``."""
    size = (2 * RADIUS + 1,) * 2
    mean_g, mean_x = cv2.blur(guide, size), cv2.blur(x, size)
    a = (cv2.blur(guide * x, size) - mean_g * mean_x) / (cv2.blur(guide * guide, size) - mean_g * mean_g + SOFT)
    b = mean_x - a * mean_g
    return np.asarray(cv2.blur(a, size) * guide + cv2.blur(b, size), np.float32)


def _above_horizon(
    extrinsics: NDArray[Any] | None, intrinsics: NDArray[Any] | None, shape: tuple[int, ...]
) -> Sequence[NDArray[Any]]:
    """(N, H, W) bool; all where the cameras do not tell which way is up."""
    count, height, width = shape
    size = height, width
    if extrinsics is None or intrinsics is None or count < 3:
        return [np.ones(size, bool)] * count
    to_world = invert_rigid(extrinsics)[:, :, :3]
    sides, mean = to_world[:, :, 0], -to_world[:, :, 1].mean(axis=0)
    if np.linalg.norm(mean) < 0.3:
        return [np.ones(size, bool)] * count
    mean /= np.linalg.norm(mean)
    spread = sides.T @ sides / count + 0.02 * (np.eye(3) - np.outer(mean, mean))  # people hold cameras level
    values, vectors = np.linalg.eigh(spread)
    if values[1] < TURNED:  # all looked the same way: what is at right angles to their x axes is not one direction
        return [np.ones(size, bool)] * count
    up = vectors[:, 0]
    up = up if up @ mean > 0 else -up
    u, v = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    masks = []
    for rotation, k in zip(to_world, intrinsics, strict=True):
        to_ray = np.linalg.inv(k)
        a, b, c = up @ rotation @ to_ray
        x, y, z = (row[0] * u + row[1] * v + row[2] for row in to_ray)
        masks.append(a * u + b * v + c > np.sin(BELOW) * np.sqrt(x * x + y * y + z * z))
    return masks
