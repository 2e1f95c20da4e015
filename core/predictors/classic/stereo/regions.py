"""Surfaces continued within regions of one colour: a picture cut into them, and a plane through what is sure of each.

Superpixels are a watershed (OpenCV's) from the evenest pixel of each cell of a grid; neighbouring ones become one region where their
colours differ little beside how much they differ within each (Felzenszwalb and Huttenlocher, IJCV 2004). A region takes its plane
from its own sure pixels, where most of them lie on one, and it is continued not much farther than they reach.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

CELL = 6  # pixels, of the grid of superpixels
LIKE = 128.0  # how readily regions merge: difference of colour (CIELAB in 8 bits) times the root of the size in pixels
SURE, SHARE = 30, 0.05  # least sure pixels of a region, and of those that are sure or unknown
GAIN = 4  # pixels; fewer unknown ones are not worth a plane
ON_PLANE, MOST = 0.01, 0.85  # relative deviation from the plane; share of the sure pixels that have to have less
REACH = 4.0  # how far from the sure pixels' middle a plane is believed, in their deviations from it
TRIES, LOOKED_AT, ROUNDS = (
    48,
    400,
    3,
)  # planes through three sure pixels, how many each is judged by, and fits to those on it
FIRM = 4.0  # square pixels; what lies on a line says nothing of the slope across it
UNIT = 100.0  # pixels, of the fit's coordinates


def regions(image: np.ndarray) -> np.ndarray:
    """(H, W) int64, 0 or more: the region of each pixel of an image, (H, W, 3) uint8 RGB."""
    soft = cv2.bilateralFilter(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), 5, 20, 3)
    small = _superpixels(soft)
    count = int(small.max()) + 1
    size = np.bincount(small.ravel(), minlength=count).astype(float)
    sums = [np.bincount(small.ravel(), soft[..., k].ravel(), count) for k in range(3)]
    colour = np.stack(sums, axis=1) / np.maximum(size, 1.0)[:, None]
    steps = [(small[:, :-1], small[:, 1:]), (small[:-1], small[1:])]
    both = np.concatenate([(np.minimum(a, b) * count + np.maximum(a, b))[a != b] for a, b in steps])
    one, other = np.divmod(np.unique(both), count)
    return _merged(one, other, np.linalg.norm(colour[one] - colour[other], axis=1), size)[small]


def _superpixels(soft: np.ndarray) -> np.ndarray:
    """(H, W) int64, 0 or more."""
    height, width = soft.shape[:2]
    rows, columns = height // CELL, width // CELL
    change = np.zeros((height, width), np.float32)
    for along in ((1, 0), (0, 1)):
        change += np.abs(cv2.Sobel(soft, cv2.CV_32F, *along)).max(axis=-1)
    cells = change[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)
    evenest = cells.reshape(rows * columns, CELL * CELL).argmin(axis=1)
    cell = np.arange(rows * columns)
    markers = np.zeros((height, width), np.int32)
    markers[cell // columns * CELL + evenest // CELL, cell % columns * CELL + evenest % CELL] = cell + 1
    cv2.watershed(soft, markers)
    labels = np.maximum(markers, 0).astype(np.float32)  # -1 where two meet, and along the image's border
    while (labels == 0.0).any():
        labels = np.where(labels > 0.0, labels, cv2.dilate(labels, np.ones((3, 3), np.uint8)))
    return labels.astype(np.int64) - 1


def _merged(one: np.ndarray, other: np.ndarray, difference: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(S,) the region of each superpixel, by Felzenszwalb and Huttenlocher's rule.

    Parameters
    ----------
    one, other, difference : (P,) superpixels that touch, and how much their colours differ
    size : (S,) pixels
    """
    parent = list(range(len(size)))
    allowed = (LIKE / np.sqrt(np.maximum(size, 1.0))).tolist()  # within a region, beside its largest difference
    pixels = size.tolist()

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    order = np.argsort(difference, kind="stable")
    for a, b, step in zip(one[order].tolist(), other[order].tolist(), difference[order].tolist(), strict=True):
        a, b = root(a), root(b)
        if a != b and step <= min(allowed[a], allowed[b]):
            parent[b] = a
            pixels[a] += pixels[b]
            allowed[a] = step + LIKE / pixels[a] ** 0.5
    return np.unique([root(k) for k in range(len(size))], return_inverse=True)[1]


def planes(labels: np.ndarray, inverse: np.ndarray, sure: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """(H, W) float32 inverse depth that the regions' planes say of unknown pixels; 0 where they say nothing.

    Parameters
    ----------
    labels : (H, W) integer, which region a pixel is in
    inverse : (H, W) float32, inverse depth where ``sure``
    sure, unknown : (H, W) bool
    """
    height, width = labels.shape
    out = np.zeros(height * width, np.float32)
    random = np.random.default_rng(0)
    for inside, outside in _parts(labels, sure, unknown):
        at = np.stack(
            [np.ones(len(inside)), (inside % width - width / 2) / UNIT, (inside // width - height / 2) / UNIT]
        )
        value = inverse.ravel()[inside].astype(float)
        found = _plane(at.T, value, random)
        if found is None or found[1].mean() < MOST:
            continue
        plane, on_it = found
        to = np.stack(
            [np.ones(len(outside)), (outside % width - width / 2) / UNIT, (outside // width - height / 2) / UNIT]
        )
        middle = at[1:, on_it].mean(axis=1, keepdims=True)
        spread = np.cov(at[1:, on_it]) + np.eye(2) * FIRM / UNIT**2
        away = ((to[1:] - middle) * np.linalg.solve(spread, to[1:] - middle)).sum(axis=0)
        guess = plane @ to
        out[outside] = np.where((away < REACH**2) & (guess > 0.0), guess, 0.0)
    return out.reshape(height, width)


def _parts(labels: np.ndarray, sure: np.ndarray, unknown: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each region that is worth it: where its sure and its unknown pixels are in the flattened image."""
    count = int(labels.max()) + 1
    many = [np.bincount(labels[mask], minlength=count) for mask in (sure, unknown)]
    places = []
    for mask in (sure, unknown):
        flat = np.flatnonzero(mask)
        places.append(flat[np.argsort(labels.ravel()[flat], kind="stable")])
    ends = [np.cumsum(number) for number in many]
    worth = (many[0] >= SURE) & (many[1] >= GAIN) & (many[0] >= SHARE * (many[0] + many[1]))
    for region in np.flatnonzero(worth).tolist():
        first, second = (
            place[end[region] - number[region] : end[region]]
            for place, end, number in zip(places, ends, many, strict=True)
        )
        yield first, second


def _plane(at: np.ndarray, value: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """The plane that most pixels lie on (RANSAC, then least squares): (3,), and (P,) bool which do; None where there is none.

    ``at`` : (P, 3), 1, x, y; ``value`` : (P,) inverse depth
    """
    some = random.choice(len(value), LOOKED_AT, replace=False) if len(value) > LOOKED_AT else np.arange(len(value))
    three = some[random.integers(0, len(some), (TRIES, 3))]
    usable = np.abs(np.linalg.det(at[three])) > 1e-3  # square units; not on one line
    if not usable.any():
        return None
    tried = np.linalg.solve(at[three[usable]], value[three[usable]][..., None])[..., 0]
    plane = tried[(np.abs(tried @ at[some].T - value[some]) < ON_PLANE * value[some]).sum(axis=1).argmax()]
    on_it = np.abs(at @ plane - value) < ON_PLANE * value
    for _ in range(ROUNDS):
        if on_it.sum() < 3:
            return None
        plane = np.linalg.lstsq(at[on_it], value[on_it])[0]
        on_it = np.abs(at @ plane - value) < ON_PLANE * value
    return plane, on_it
