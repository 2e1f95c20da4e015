"""Depth and confidence of every view, from cameras that are known.

Confidence tells what a depth rests on: from ``MEASURED`` on two other views have the same (or the only other one); from
``GUESSED`` up to it one other view has; below that nothing was measured, and a surface was continued from around.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ....errors import BadInput
from ....monitor import Monitor
from ....prediction.sky import find as find_sky
from ..sfm.reconstruction import MODELS_HINT, SfmResult
from .consistency import Agreement, check, unknown_elsewhere
from .edges import trim, without_islands
from .filling import SPREAD, fill
from .ground.parts import Parts
from .ground.pictures import Pictures
from .ground.plane import clear_of_things, find, sampled
from .ground.search import agreed
from .parallel import run_all
from .plane_sweep import Matcher, Ray, relative
from .regions import planes, regions
from .view_depth import Stereo
from .view_selection import BEYOND, CHECKED, MATCHED, View, inverse_depths, plan

SWEPT, ADOPTED, CONFIRMED, COMPLETED, CUT = 0.6, 0.74, 0.82, 0.91, 0.98  # of the time for depth, where each stage ends
TOP_CONFIDENCE = 10.0  # DA3's confidences go about as far
FULL_QUALITY = 6.0  # agreement that earns it
GUESSED, MEASURED = 1.5, 2.0
OF_A_REGION = 1.2  # confidence of a plane that is continued within a region of one colour
OF_THE_GROUND = 1.1  # confidence of the plane that everything stands on
SOFT = 1.0  # pixels, blur of the pictures whose colours are compared
ISLAND, ISLAND_OF_ONE = 20, 60  # pixels; smaller patches with nothing known around them are chance
TRUSTED = 0.1  # correlation by which another view's surface may be worse than the own: it is known to be there
ALIKE = 0.3  # correlation it must have
BESIDE, BEHIND = np.ones((21, 21), np.uint8), 1.1  # pixels around; times a filled depth
SILENT = 0.4  # correlation below which a match means nothing


@dataclass
class Scene:
    """The views as all stages see them. Depths are (N, H, W) float32, 0 where nothing is known."""

    canvas: np.ndarray  # (N, H, W, 3) uint8
    valid: np.ndarray  # (N, H, W) bool
    gray: np.ndarray  # (N, H, W) float32, 0 to 1
    intrinsics: np.ndarray  # (N, 3, 3), pixels of the canvas
    extrinsics: np.ndarray  # (N, 3, 4)
    views: list[View]
    monitor: Monitor

    def each(self, work: Callable[[View, Monitor], None], begin: float, end: float) -> None:
        """Do it for every view, some side by side."""
        run_all([functools.partial(work, view) for view in self.views], self.monitor, "depth", begin, end)

    def colour(self, view: View) -> np.ndarray:
        """(H, W, 3) float32, 0 to 1."""
        return self.canvas[view.index].astype(np.float32) / 255.0

    def agreement(self, depth: np.ndarray, view: View, asked: int, own: np.ndarray | None = None) -> Agreement:
        """What a view's best neighbours say to its depths; beyond what is known of theirs they say nothing against, unless to ``own``."""
        heard = {one.index: one.farthest for one in self.views} if own is None else None
        return check(depth, self.intrinsics, self.extrinsics, view.index, view.neighbours[:asked], own, heard)


def dense(
    canvas: np.ndarray, valid: np.ndarray, intrinsics: np.ndarray, sfm: SfmResult, monitor: Monitor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth and confidence of every view, and where it shows the sky.

    Parameters
    ----------
    canvas : (N, H, W, 3) uint8
    valid : (N, H, W) bool
    intrinsics : (N, 3, 3), pixels of the canvas

    Returns
    -------
    depth, conf : (N, H, W) float32, 0 where nothing can be said
    sky : (N, H, W) bool

    Raises
    ------
    BadInput
        No two views share enough points.
    """
    views = plan(sfm)
    if not views:
        raise BadInput(
            f"The model classic found too little that two images share; add images in between, or {MODELS_HINT}"
        )
    gray = np.stack([cv2.cvtColor(c, cv2.COLOR_RGB2GRAY) for c in canvas]).astype(np.float32) / np.float32(255.0)
    scene = Scene(canvas, valid, gray, intrinsics, sfm.extrinsics, views, monitor)
    return finish(scene, sweep_all(scene))


def finish(scene: Scene, swept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``dense`` from the views' own depths on."""
    swept, silent = adopt(scene, swept)
    depth, conf = confirm(scene, swept)
    sky = find_sky(scene.canvas, conf >= MEASURED, scene.valid, scene.extrinsics, scene.intrinsics)
    wall = sky | ~scene.valid
    complete(scene, depth, conf, swept, silent, wall)
    soft = [cv2.GaussianBlur(picture, (0, 0), SOFT).astype(np.float32) for picture in scene.canvas]
    complete_regions(scene, depth, conf, wall, soft)
    complete_ground(scene, depth, conf, wall, soft)
    return depth, conf, sky


def sweep_all(scene: Scene) -> np.ndarray:
    """Depth of every view by itself, right or wrong; 0 where it is much farther than anything known."""
    depth = np.zeros(scene.valid.shape, np.float32)
    stereo = Stereo(scene.gray, scene.intrinsics, scene.extrinsics)
    height, width = scene.valid.shape[1:]
    ratio = np.diag([stereo.swept_size[1] / width, stereo.swept_size[0] / height, 1.0])

    def sweep(view: View, inner: Monitor) -> None:
        planes = inverse_depths(view, ratio @ scene.intrinsics, scene.extrinsics, stereo.swept_size)
        surface = stereo.inverse_depth(view.index, view.neighbours[:MATCHED], planes, inner)
        near_enough = (surface > 1.0 / (BEYOND * view.farthest)) & scene.valid[view.index]
        depth[view.index] = np.where(near_enough, inverse(surface), 0.0)

    scene.each(sweep, 0.0, SWEPT)
    return depth


def adopt(scene: Scene, swept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A view takes the surfaces that others are sure of where its own are not, and the images agree about as well there.

    Returns
    -------
    (N, H, W) float32 depth, and bool: where the images agree nowhere well, so that the depth means nothing
    """
    sure = np.zeros_like(swept)

    def find_sure(view: View, _watch: Monitor) -> None:
        found = scene.agreement(swept, view, MATCHED)
        sure[view.index] = np.where(is_kept(found, min(2, len(view.neighbours))), found.depth, 0.0)

    middle = (SWEPT + ADOPTED) / 2.0
    scene.each(find_sure, SWEPT, middle)
    out, silent = swept.copy(), np.zeros(swept.shape, bool)
    k, e = scene.intrinsics, scene.extrinsics

    def take(view: View, inner: Monitor) -> None:
        i, others = view.index, view.neighbours[:MATCHED]
        candidate = seen_from(sure, k, e, i, others)
        matcher = Matcher(scene.gray, i, others, [Ray.between(k, e, i, other, swept.shape[1:]) for other in others])
        inner.check()
        here, there = matcher.similarity(inverse(swept[i])), matcher.similarity(candidate)
        taken = (candidate > 0.0) & (sure[i] <= 0.0) & (there > here - TRUSTED) & (there > ALIKE)
        out[i] = np.where(taken, inverse(candidate), swept[i])
        silent[i] = np.where(taken, there, here) < SILENT

    scene.each(take, middle, ADOPTED)
    return out, silent


def seen_from(depth: np.ndarray, k: np.ndarray, e: np.ndarray, view: int, others: Sequence[int]) -> np.ndarray:
    """(H, W) inverse depth in a view of the nearest of what the others' depths (0 where unknown) show there, else 0."""
    height, width = depth.shape[1:]
    out = np.zeros((height, width), np.float32)
    for other in others:
        rows, columns = np.nonzero(depth[other] > 0.0)
        turn, shift = relative(k, e, other, view)
        pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
        x, y, z = (turn @ pixels) * depth[other][rows, columns] + shift[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = x / z, y / z
        seen = (z > 0.0) & (u >= 0.0) & (u < width) & (v >= 0.0) & (v < height)
        index = v[seen].astype(np.int64) * width + u[seen].astype(np.int64)
        near = (1.0 / z[seen]).astype(np.float32)
        np.maximum.at(out.reshape(-1), index, near)
    closed = cv2.morphologyEx(out, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.where(out > 0.0, out, closed)


def confirm(scene: Scene, swept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth averaged over the views that agree, and confidence; both 0 where none does, and beyond what is known where only one does."""
    depth, conf = np.zeros_like(swept), np.zeros_like(swept)

    def compare(view: View, _watch: Monitor) -> None:
        found = scene.agreement(swept, view, CHECKED)
        kept = trim(is_kept(found, 1), scene.colour(view))
        sure = kept & (found.count >= min(2, len(view.neighbours)))
        keep = without_islands(sure, ISLAND) | without_islands(kept, ISLAND_OF_ONE)
        keep &= (found.count >= 2) | (found.depth <= view.farthest)
        depth[view.index] = np.where(keep, found.depth, 0.0)
        conf[view.index] = np.where(keep, confidence(found, sure), 0.0)

    scene.each(compare, ADOPTED, CONFIRMED)
    return depth, conf


def is_kept(found: Agreement, needed: int) -> np.ndarray:
    """(H, W) bool: confirmed by enough views, and by more than see through the point."""
    return (found.count >= needed) & (found.count > found.against)


def confidence(found: Agreement, sure: np.ndarray) -> np.ndarray:
    """(H, W) ``MEASURED`` to ``TOP_CONFIDENCE`` where sure, by how many views agree and how well; less where one does."""
    many = MEASURED + (TOP_CONFIDENCE - MEASURED) * np.minimum(found.quality / FULL_QUALITY, 1.0)
    one = GUESSED + (MEASURED - GUESSED - 0.01) * np.minimum(found.quality, 1.0)
    return np.where(sure, many, one)


def complete(
    scene: Scene, depth: np.ndarray, conf: np.ndarray, swept: np.ndarray, silent: np.ndarray, wall: np.ndarray
) -> None:
    """Continue smooth surfaces into what no view confirms, in place, at a confidence of 1 to ``GUESSED``.

    Where another view sees through to something behind, or a thing that is known lies far behind close by, nothing is filled: there a
    surface ends, and whether before or after the pixel nobody has seen.
    """
    measured = depth.copy()
    sure = np.where(conf >= MEASURED, depth, np.float32(0.0))

    def continue_surfaces(view: View, _watch: Monitor) -> None:
        i = view.index
        known = (conf[i] > 0.0) & ~wall[i]
        weight = np.where(known, np.minimum(conf[i] / MEASURED, 1.0) ** 2, 0.0).astype(np.float32)
        value, deviation = fill(
            np.where(known, inverse(measured[i]), np.float32(0.0)), weight, inverse(swept[i]), silent[i],
            scene.colour(view), wall[i],
        )  # fmt: skip
        new = (value > 0.0) & ~known & ~wall[i]
        guess = np.where(new, inverse(value), np.float32(0.0))
        found = scene.agreement(sure, view, MATCHED, guess)
        new &= found.against <= found.count
        new &= cv2.dilate(np.where(known, measured[i], np.float32(0.0)), BESIDE) <= BEHIND * guess
        depth[i] = np.where(new, guess, depth[i])
        conf[i] = np.where(new, 1.0 + (GUESSED - 1.0) * (1.0 - deviation / SPREAD), conf[i])

    scene.each(continue_surfaces, CONFIRMED, COMPLETED)


def complete_regions(
    scene: Scene, depth: np.ndarray, conf: np.ndarray, wall: np.ndarray, soft: Sequence[np.ndarray]
) -> None:
    """Continue planes within regions of one colour, in place, at a confidence of ``OF_A_REGION``.

    Only where another view shows the same colour at the same place, knows nothing there either, and none sees through it.
    """
    before, sure = depth.copy(), np.where(conf >= MEASURED, depth, np.float32(0.0))

    def continue_planes(view: View, watch: Monitor) -> None:
        i, others = view.index, view.neighbours[:CHECKED]
        measured, unknown = (conf[i] >= GUESSED) & ~wall[i], (conf[i] <= 0.0) & ~wall[i]
        labels = regions(scene.canvas[i])
        watch.check()
        guess = inverse(planes(labels, inverse(before[i]), measured, unknown))
        watch.check()
        new = unknown_elsewhere(before, sure, wall, soft, scene.intrinsics, scene.extrinsics, i, others, guess)
        depth[i] = np.where(new, guess, depth[i])
        conf[i] = np.where(new, np.float32(OF_A_REGION), conf[i])

    scene.each(continue_planes, COMPLETED, CUT)


def complete_ground(
    scene: Scene, depth: np.ndarray, conf: np.ndarray, wall: np.ndarray, soft: Sequence[np.ndarray]
) -> None:
    """Continue the ground into what is unknown, in place, at a confidence of ``OF_THE_GROUND``, by the rules of the regions."""
    index, k, e = [view.index for view in scene.views], scene.intrinsics, scene.extrinsics
    before, sure = depth.copy(), np.where((conf >= MEASURED) & ~wall, depth, np.float32(0.0))
    known, unknown = sampled(sure[index], sure[index] > 0.0, k[index], e[index]), (conf <= 0.0) & ~wall
    ground, parts = find(known, e[index]), None
    pictures = Pictures(scene.gray, unknown, k, e, scene.views)
    if ground is None or not pictures.show(ground):
        instead = agreed(pictures, known, scene.monitor.check)
        parts = Parts(scene.gray, unknown, k, e) if ground is not None and instead is None else None
        ground = instead or ground
    if ground is None:
        return

    def continue_ground(view: View, _watch: Monitor) -> None:
        i = view.index
        there = ground.inverse_depth(k[i], e[i], before.shape[1:])
        guess = inverse(np.where(unknown[i] & (there > 1.0 / view.farthest), there, np.float32(0.0)))
        new = unknown_elsewhere(before, sure, wall, soft, k, e, i, view.neighbours[:CHECKED], guess, one_surface=True)
        seen = np.where(wall[i], np.float32(0.0), before[i])
        new &= clear_of_things(seen, there)
        new = new if parts is None else parts.of(ground, view, seen, new)
        depth[i] = np.where(new, guess, depth[i])
        conf[i] = np.where(new, np.float32(OF_THE_GROUND), conf[i])

    scene.each(continue_ground, CUT, 1.0)


def inverse(x: np.ndarray) -> np.ndarray:
    """float32 1 / x, 0 where x is 0 or less."""
    return np.where(x > 0.0, 1.0 / np.maximum(x, 1e-9), 0.0).astype(np.float32)
