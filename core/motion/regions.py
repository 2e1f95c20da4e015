"""From votes to whole regions: what surely moves, what hangs on it, edges where the depth has its edges."""

from __future__ import annotations

import cv2
import numpy as np

LEAST_VOTES = 2
EDGE = 0.08  # relative; neighbouring depths that differ by more belong to two surfaces
WEAK = 0.25  # of the threshold: so much farther than expected is enough beside what surely moves
CALM = 0.4  # of the threshold: less is an error of the depths, not motion
REACH = 12  # a part of the longest side: so far from what surely moves a region may extend
SMOOTH = 8  # a part of the longest side: over so much the errors of a depth are alike
FIRM = 0.4  # of a region's pixels that views could judge: so many must surely move
LEAST_AREA = 1 / 1250  # of the frame; smaller regions are noise
OBJECT = 0.25  # of a tracked thing's pixels that views could judge: so many in moving regions, and all of it moves
_THREE = np.ones((3, 3), np.uint8)


def moving_regions(
    empty: np.ndarray, seen: np.ndarray, beyond: np.ndarray, depth: np.ndarray, threshold: float
) -> np.ndarray:
    """Regions that move, in a reduced view.

    What surely moves: at least two views, and half of those that see the place, see empty space there; and the depth has
    no edge of its own there, where a model smears foreground into background. Around it a pixel at about the same depth
    belongs to the region where views see just a little farther on average, or none sees anything: feet stand on a floor
    that is right behind them.

    Parameters
    ----------
    empty, seen : (h, w) uint8, how many views see empty space there, and how many see the place
    beyond : (h, w) float32, by how much farther they see on average, relative
    depth : (h, w) float32; 0 where nothing is known
    threshold : by how much farther counted as empty, relative

    Returns
    -------
    (h, w) bool
    """
    longest, least = max(depth.shape), LEAST_AREA * depth.size
    judged = seen >= LEAST_VOTES
    sure = (empty >= LEAST_VOTES) & (2 * empty >= seen)
    core = cv2.morphologyEx((sure & ~_edges(depth)).astype(np.uint8), cv2.MORPH_OPEN, _disc(1)) > 0
    core = _large(core, least / 2)
    if not core.any():
        return core
    # What all views see too far or too near alike, over a wide surrounding, is an error of this frame's own depth.
    calm = judged & (np.abs(beyond) < CALM * threshold) & ~_grown(core, 4)
    bias, _ = _mean_around(beyond, calm, longest // SMOOTH)
    reach = longest // REACH
    depth_near, _ = _mean_around(depth, core, 2 * reach)
    alike = _grown(core, reach) & (np.abs(depth - depth_near) < threshold * depth_near)
    hanging = sure | (judged & (beyond - bias > WEAK * threshold)) | ((seen == 0) & (depth > 0))
    return _firm(core | (hanging & alike), sure, judged, core)


def snapped(region: np.ndarray, depth: np.ndarray, step: int) -> np.ndarray:
    """Regions at the frame's size, with their edges where the depth has its edges.

    Near a region's edge a pixel goes to the side whose mean depth nearby is nearer to its own: a smeared edge is cut in
    its middle. Where both sides are at about the same depth, the edge stays.

    Parameters
    ----------
    region : (h, w) bool, of the reduced view
    depth : (H, W) float32, of the frame; 0 where nothing is known
    step : how many pixels of the frame one of ``region`` stands for

    Returns
    -------
    (H, W) bool
    """
    whole = enlarged(region, step, depth.shape)
    if not whole.any():
        return whole
    window = 12 * step + 1
    place = _around(whole, window)
    part, d = whole[place], np.ascontiguousarray(depth[place], np.float32)
    edge = _edges(d)
    inner, has_inner = _mean_around(d, part & ~edge, window)
    outer, has_outer = _mean_around(d, ~_grown(part, 1) & ~edge & (d > 0), window)
    two_sides = has_inner & has_outer & (np.abs(inner - outer) > EDGE * np.minimum(inner, outer))
    open_ = two_sides & _grown(edge, 1) & _grown(part, 3 * step)
    part = np.where(open_, np.abs(d - inner) < np.abs(d - outer), part)
    part = _filled(cv2.morphologyEx(part.astype(np.uint8), cv2.MORPH_CLOSE, _disc(1)) > 0)
    whole[place] = _large(part & (d > 0), LEAST_AREA * depth.size)
    return whole


def by_object(moving: np.ndarray, judged: np.ndarray, object_id: np.ndarray) -> np.ndarray:
    """Regions by tracked things: each moves as a whole, in all these frames, or not at all.

    A region that lies mostly on tracked things gets their edges; what moves and has no name stays as it is.

    Parameters
    ----------
    moving, judged : (N, H, W) bool, regions that move, and where enough views saw the place
    object_id : (N, H, W) int32, 0 where there is no tracked thing

    Returns
    -------
    (N, H, W) bool
    """
    numbers, places = np.unique(object_id, return_inverse=True)
    places = places.reshape(object_id.shape)
    could = np.bincount(places[judged], minlength=len(numbers))
    do = np.bincount(places[judged & moving], minlength=len(numbers))
    moves = (do > OBJECT * could) & (numbers != 0)
    result = moves[places]
    for frame, (region, ids) in enumerate(zip(moving, object_id, strict=True)):
        count, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)
        named = np.bincount(labels[ids != 0], minlength=count)
        nameless = 2 * named < np.bincount(labels.ravel(), minlength=count)
        nameless[0] = False
        result[frame] |= nameless[labels] & (ids == 0)
    return result


def enlarged(values: np.ndarray, step: int, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a reduced view at its frame's size, (h, w) to (H, W)."""
    height, width = shape
    whole = np.repeat(np.repeat(values, step, axis=0), step, axis=1)
    more = ((0, max(0, height - whole.shape[0])), (0, max(0, width - whole.shape[1])))
    return np.pad(whole, more, mode="edge")[:height, :width]


def _edges(depth: np.ndarray) -> np.ndarray:
    """(h, w) bool, where depths in 3x3 pixels are those of two surfaces, or one is not known."""
    return cv2.dilate(depth, _THREE) > (1.0 + EDGE) * cv2.erode(depth, _THREE)


def _firm(mask: np.ndarray, sure: np.ndarray, judged: np.ndarray, core: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that hold some of ``core``, and of whose judged pixels enough are sure."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    right = np.bincount(labels[sure & judged], minlength=count) >= FIRM * np.bincount(labels[judged], minlength=count)
    right &= np.bincount(labels[core], minlength=count) > 0
    right[0] = False
    return right[labels]


def _large(mask: np.ndarray, least: float) -> np.ndarray:
    """Without islands of fewer than ``least`` pixels."""
    _, labels, about, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = about[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return large[labels]


def _filled(mask: np.ndarray) -> np.ndarray:
    """Without holes: parts of the rest that do not reach the border."""
    count, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    outside = np.zeros(count, bool)
    for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[border] = True
    return mask | ~outside[labels]


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a mask, and ``margin`` pixels about them."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)


def _mean_around(values: np.ndarray, where: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the chosen values in a box about ``size`` pixels wide, 0 without one; and whether there is one."""
    box = (size | 1, size | 1)
    weight = where.astype(np.float32)
    count = cv2.boxFilter(weight, -1, box, normalize=False, borderType=cv2.BORDER_CONSTANT)
    total = cv2.boxFilter(weight * values, -1, box, normalize=False, borderType=cv2.BORDER_CONSTANT)
    some = count > 0.5
    return np.where(some, total / np.maximum(count, 1.0), np.float32(0.0)), some


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
