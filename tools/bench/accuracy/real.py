"""``classic`` on real photographs, which have no ground truth: registered images, kept pixels, and views that were held out.

    python tools/bench/accuracy/real.py [SET ...] [--photos FOLDER] [--plain] [--resolution 504]

Every fifth registered image takes no part in the depth stage; the points of the others are drawn into its camera. "covered" is
the share of its pixels (sky not counted) that they reach, PSNR compares the colours there after one gain per channel, and
"measured" is both again for points of confidence 2 and more. ``--plain`` counts what plain pycolmap registers at 1600 pixels, the
better of one camera for all and one per image. Runs in the worker's environment.
"""

from __future__ import annotations

import copy
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import cv2
import numpy as np
from da3_blender.core.frames.resizing import place
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic.predictor import covered, undistort
from da3_blender.core.predictors.classic.sfm.reconstruction import SfmResult, structure_from_motion
from da3_blender.core.predictors.classic.stereo.depths import dense
from da3_blender.core.settings import Settings
from figures import AT_LEAST, record

PHOTOS = measuring.ROOT.parent / "shared" / "data" / "photos"
HELD = slice(2, None, 5)  # of the registered images
PLAIN_SIDE = 1600  # pixels
SOFT = 0.5  # pixels, deviation of a point's footprint
FOOTPRINT = 1.2  # pixels, its radius
SAME_SURFACE = 1.03  # a point farther than that times the nearest around it is behind


@dataclass
class Figures:
    """Shares are 0 to 1; seconds are the processor's."""

    images: int
    registered: int
    kept: float
    measured: float
    sfm_seconds: float
    depth_seconds: float
    covered: float = float("nan")
    psnr: float = float("nan")
    measured_covered: float = float("nan")
    measured_psnr: float = float("nan")
    memory: int = 0  # bytes, peak of this process


@dataclass
class Photographed:
    """N photographs with their cameras, ready for the depth stage; ``seconds``: the processor's, for the cameras."""

    canvas: np.ndarray  # (N, H, W, 3) uint8
    valid: np.ndarray  # (N, H, W) bool
    intrinsics: np.ndarray  # (N, 3, 3)
    sfm: SfmResult
    seconds: float


def photographed(folder: Path, resolution: int) -> Photographed:
    """A folder's photographs and the cameras that ``classic`` finds."""
    frames, settings = FrameSource.open(folder), Settings(process_resolution=resolution)
    images = list(frames.images(frames.selected))
    started = _processor_seconds()
    sfm = structure_from_motion(images, [frames.focals[i] for i in frames.selected], Monitor())
    seconds = _processor_seconds() - started
    straight = [undistort(image, sfm, i) for i, image in enumerate(images)]
    canvas, valid, placements = place(straight, settings.resolution, settings.resize_method)
    for i, at in enumerate(placements):
        valid[i, at.rows, at.columns] &= covered(sfm, i, at)
    intrinsics = np.stack([at.to_processed(k) for at, k in zip(placements, sfm.intrinsics, strict=True)])
    return Photographed(canvas, valid, intrinsics, sfm, seconds)


def without(sfm: SfmResult, held: np.ndarray) -> SfmResult:
    """The same cameras, of which the held-out ones take no part in the depth stage."""
    fewer = copy.copy(sfm)
    fewer.registered = sfm.registered.copy()
    fewer.registered[held] = False
    return fewer


def run(folder: Path, resolution: int) -> Figures:
    """Measure one folder of photographs."""
    seen = photographed(folder, resolution)
    canvas, valid, intrinsics, sfm = seen.canvas, seen.valid, seen.intrinsics, seen.sfm
    started = _processor_seconds()
    depth, conf, sky = dense(canvas, valid, intrinsics, sfm, Monitor())
    counted = valid & ~sky & sfm.registered[:, None, None]
    figures = Figures(
        len(canvas), int(sfm.registered.sum()), float((conf > 0)[counted].mean()), float((conf >= 2)[counted].mean()),
        seen.seconds, _processor_seconds() - started,
    )  # fmt: skip
    held = np.flatnonzero(sfm.registered)[HELD]
    if len(held) and figures.registered > 3:
        depth, conf, _ = dense(canvas, valid, intrinsics, without(sfm, held), Monitor())
        conf[sky] = 0.0
        figures.covered, figures.psnr = _held_out(canvas, depth, conf > 0, counted, intrinsics, sfm.extrinsics, held)
        figures.measured_covered, figures.measured_psnr = _held_out(
            canvas, depth, conf >= 2, counted, intrinsics, sfm.extrinsics, held
        )
    figures.memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return figures


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _held_out(
    canvas: np.ndarray,
    depth: np.ndarray,
    kept: np.ndarray,
    counted: np.ndarray,
    k: np.ndarray,
    e: np.ndarray,
    held: np.ndarray,
) -> tuple[float, float]:
    """Means over the held-out views of the share that is covered, and of the PSNR there in decibels."""
    points = projection.unproject(depth, k, e)[kept]
    colours = canvas[kept].astype(np.float64)
    shares, ratios = [], []
    for i in held:
        drawn, seen = draw(points, colours, k[i], e[i], counted.shape[1:])
        seen &= counted[i]
        shares.append(seen[counted[i]].mean())
        if seen.any():
            true = canvas[i].astype(np.float64)
            gain = np.median(true[seen] / np.maximum(drawn[seen], 1.0), axis=0)
            error = ((np.clip(drawn * gain, 0, 255) - true) ** 2)[seen].mean()
            ratios.append(10.0 * np.log10(255.0**2 / error))
    return float(np.mean(shares)), float(np.mean(ratios)) if ratios else float("nan")


def draw(
    points: np.ndarray, colours: np.ndarray, k: np.ndarray, e: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Points as soft dots of a pixel, the nearest surface only: (H, W, 3) colours, and (H, W) bool where there is one."""
    height, width = size
    at = points @ e[:, :3].T + e[:, 3]
    ahead = at[:, 2] > 1e-6
    pixel = at[ahead] @ k.T
    u, v, z = pixel[:, 0] / pixel[:, 2], pixel[:, 1] / pixel[:, 2], at[ahead, 2]
    column, row = np.floor(u).astype(np.int64) + 1, np.floor(v).astype(np.int64) + 1  # with a rim of a pixel
    inside = (column >= 0) & (column < width + 2) & (row >= 0) & (row < height + 2)
    u, v, z, column, row = u[inside], v[inside], z[inside], column[inside], row[inside]
    colours = colours[ahead][inside]
    nearest = np.full((height + 2, width + 2), np.inf, np.float32)
    np.minimum.at(nearest, (row, column), z.astype(np.float32))
    front = z < SAME_SURFACE * cv2.erode(nearest, np.ones((3, 3), np.uint8))[row, column]
    total = np.zeros((4, (height + 2) * (width + 2)))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            x, y = column + dx, row + dy
            square = (x - 0.5 - u) ** 2 + (y - 0.5 - v) ** 2
            near = front & (square < FOOTPRINT**2) & (x >= 0) & (x < width + 2) & (y >= 0) & (y < height + 2)
            weight = np.exp(-square[near] / (2.0 * SOFT**2))
            place = y[near] * (width + 2) + x[near]
            total[3] += np.bincount(place, weight, total.shape[1])
            for channel in range(3):
                total[channel] += np.bincount(place, weight * colours[near, channel], total.shape[1])
    total = total.reshape(4, height + 2, width + 2)[:, 1:-1, 1:-1]
    return np.moveaxis(total[:3] / np.maximum(total[3], 1e-9), 0, -1), total[3] > 0.1


def plain(folder: Path) -> int:
    """Images that pycolmap registers by itself, the better of its two ways to share cameras."""
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.WARNING.value
    best = 0
    for mode in (pycolmap.CameraMode.SINGLE, pycolmap.CameraMode.PER_IMAGE):
        with tempfile.TemporaryDirectory() as name:
            out, small = Path(name), Path(name) / "images"
            small.mkdir()
            for path in sorted(folder.iterdir()):
                image: Any = cv2.imread(str(path))
                if image is not None:
                    scale = min(1.0, PLAIN_SIDE / max(image.shape[:2]))
                    cv2.imwrite(str(small / f"{path.stem}.png"), cv2.resize(image, None, fx=scale, fy=scale))
            database = out / "database.db"
            try:
                pycolmap.extract_features(database, small, camera_mode=mode, device=pycolmap.Device.cpu)
                pycolmap.match_exhaustive(database, device=pycolmap.Device.cpu)
                models = pycolmap.incremental_mapping(database, small, out)
            except ValueError:  # images of different sizes cannot share a camera
                continue
            best = max([best, *(model.num_reg_images() for model in models.values())])
    return best


def main() -> None:
    sets = ["castle", "kitchen", "statue", "street", "sacre_coeur", "tower"]
    options = measuring.options(__doc__, sets=sets, photos=str(PHOTOS), plain=False, resolution=504)
    for name in options.sets:
        folder = Path(options.photos) / name
        if not folder.is_dir():
            print(f"SKIPPED: no photographs in '{folder}'", flush=True)
            continue
        figures = run(folder, options.resolution)
        record(f"{name}: registered", figures.registered, AT_LEAST)
        record(f"{name}: pixels kept, %", 100 * figures.kept, AT_LEAST)
        record(f"{name}: held-out views covered, %", 100 * figures.covered, AT_LEAST)
        record(f"{name}: held-out views, dB", figures.psnr, AT_LEAST)
        against = f" (plain pycolmap {plain(folder)})" if options.plain else ""
        print(
            f"{name}: {figures.registered} of {figures.images} registered{against}, kept {figures.kept:.1%}, measured "
            f"{figures.measured:.1%}; held out: covered {figures.covered:.1%}, PSNR {figures.psnr:.2f} dB, measured "
            f"{figures.measured_covered:.1%}, {figures.measured_psnr:.2f} dB; cameras {figures.sfm_seconds:.0f} s, depth "
            f"{figures.depth_seconds:.0f} s, {figures.memory / 1e9:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
