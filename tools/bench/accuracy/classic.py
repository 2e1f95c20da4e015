"""Measures ``classic`` against the sample images' ground truth: the figures that the project claims.

    python tools/bench/accuracy/classic.py [SET ...] [--resolution 504] [--frames N] [--pictures FOLDER] [--json FILE]

Runs in the worker's environment, with evo beside it.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measuring
import cv2
import numpy as np
import truth as truths
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import ClassicPredictor
from da3_blender.core.predictors.classic.stereo.depths import GUESSED
from da3_blender.core.settings import Settings
from evo.core import metrics
from evo.core.geometry import umeyama_alignment
from evo.core.trajectory import PosePath3D
from figures import AT_LEAST, AT_MOST, record
from scipy.spatial import cKDTree


@dataclass
class Figures:
    """What one run measured; shares and relative errors are 0 to 1, lengths relative to the extent named."""

    frames: int
    registered: int
    position_error: float  # APE RMSE after similarity alignment / extent of the camera path
    rotation_error: float  # degrees, RMSE after alignment
    focal_error: float  # of the median focal length, relative
    depth_error: float  # median |depth / truth - 1| where confidence is kept, after one global scale
    kept: float  # share of the pixels with true depth that keep confidence
    sky_kept: float  # share of the pixels without true depth that keep it
    cloud_distance: float  # median distance of the points to the true surface / extent of the true cloud
    seconds: float
    memory: int  # bytes, peak of this process and its children
    within_1_percent: float = 0.0
    within_5_percent: float = 0.0
    filled: float = 0.0  # share of the pixels with true depth where a surface was only continued
    filled_error: float = 0.0  # median there
    filled_within_5_percent: float = 0.0


def off(own: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """RMSE of places and of rotations, degrees, of (N, 4, 4) cameras to world after a similarity; of fewer than three, nothing."""
    if len(own) < 3:
        return np.nan, np.nan
    estimate, reference = PosePath3D(poses_se3=list(own)), PosePath3D(poses_se3=list(true))
    estimate.align(reference, correct_scale=True)
    errors = []
    for relation in (metrics.PoseRelation.translation_part, metrics.PoseRelation.rotation_angle_deg):
        ape = metrics.APE(relation)
        ape.process_data((reference, estimate))
        errors.append(ape.get_statistic(metrics.StatisticsType.rmse))
    return errors[0], errors[1]


def measure(truth: Any, prediction: Any, seconds: float) -> Figures:
    """Compare a prediction at any processed size with a sample set's truth (``tests/support/truth.py``)."""
    count, height, width = prediction.depth.shape
    placed = (prediction.conf > 0).any(axis=(1, 2))
    own = projection.homogeneous(projection.invert_rigid(prediction.extrinsics))[placed]
    true = truth.camera_to_world[placed]
    errors = off(own, true)
    centres = truth.camera_to_world[:, :3, 3]
    extent = float(np.linalg.norm(np.ptp(centres, axis=0)))
    scale_x = width / truth.depth.shape[2]
    focal = np.median(prediction.intrinsics[placed, 0, 0])
    true_focal = np.median(truth.intrinsics[:, 0, 0]) * scale_x

    true_depth = np.stack([cv2.resize(d, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) for d in truth.depth])
    known, keep = true_depth > 0, prediction.conf > 0
    both = known & keep
    scale = float(np.median(true_depth[both] / prediction.depth[both]))
    relative = np.abs(prediction.depth[both] * scale / true_depth[both] - 1.0)
    guessed = relative[prediction.conf[both] < GUESSED]

    rotation, translation, similarity = _alignment(own, true)
    points = projection.unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)[both]
    random = np.random.default_rng(0)
    points = points[random.choice(len(points), min(len(points), 100_000), replace=False)]
    points = similarity * points @ rotation.T + translation
    surface = projection.unproject(truth.depth, truth.intrinsics, truth.extrinsics)[truth.depth > 0]
    size = float(np.linalg.norm(np.subtract(*np.quantile(surface, [0.99, 0.01], axis=0))))
    distance = cKDTree(surface).query(points)[0]
    return Figures(
        frames=count, registered=int(placed.sum()), position_error=errors[0] / extent, rotation_error=errors[1],
        focal_error=abs(float(focal / true_focal) - 1.0), depth_error=float(np.median(relative)),
        kept=float(both.sum() / known.sum()), sky_kept=float((keep & ~known).sum() / max(1, (~known).sum())),
        cloud_distance=float(np.median(distance)) / size, seconds=seconds, memory=measuring.peak_memory(children=True),
        within_1_percent=float((relative < 0.01).mean()), within_5_percent=float((relative < 0.05).mean()),
        filled=float(len(guessed) / known.sum()), filled_error=float(np.median(guessed)) if len(guessed) else 0.0,
        filled_within_5_percent=float((guessed < 0.05).mean()) if len(guessed) else 1.0,
    )  # fmt: skip


def _alignment(own: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Similarity from the own camera positions to the true ones: rotation, translation, scale (Umeyama, by evo)."""
    return umeyama_alignment(own[:, :3, 3].T, true[:, :3, 3].T, with_scale=True)


def run(name: str, resolution: int = 504, frames: int | None = None) -> tuple[Any, Any, float]:
    """``classic`` on a sample set: its truth, the prediction, and the seconds it took.

    ``frames`` : evenly spaced ones of the set; all by default
    """

    truth = truths.load(name)
    if frames is not None and frames < len(truth):
        chosen = np.linspace(0, len(truth) - 1, frames).round().astype(int)
        kept = {
            field: getattr(truth, field)[chosen]
            for field in ("depth", "ids", "intrinsics", "extrinsics", "camera_to_world")
        }
        truth = replace(truth, names=[truth.names[i] for i in chosen], paths=[truth.paths[i] for i in chosen], **kept)
    images = list(truth.images)
    focals = [float(k[0, 0]) for k in truth.intrinsics]  # what the JPEGs' EXIF says, to its rounding
    started = time.perf_counter()
    predictor = ClassicPredictor(focals, Monitor())
    prediction = predictor.predict(images, range(len(images)), Settings(process_resolution=resolution))
    for warning in predictor.warnings:
        print(warning)
    return truth, prediction, time.perf_counter() - started


def pictures(truth: Any, prediction: Any, folder: Path) -> None:
    """One PNG for each of a few frames: image, true depth, depth, error (white is 5 %), confidence."""
    folder.mkdir(parents=True, exist_ok=True)
    count, height, width = prediction.depth.shape
    keep = prediction.conf > 0
    true = np.stack([cv2.resize(d, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) for d in truth.depth])
    both = keep & (true > 0)
    depth = prediction.depth * np.median(true[both] / prediction.depth[both])
    nearest = np.quantile(true[true > 0], 0.01)

    def inverse(d: np.ndarray) -> np.ndarray:
        shade = np.where(d > 0, np.clip(255 * nearest / np.maximum(d, 1e-6), 8, 255), 0).astype(np.uint8)
        return cv2.applyColorMap(shade, cv2.COLORMAP_TURBO) * (d > 0)[..., None]

    for i in sorted({0, count // 3, count // 2, count - 1}):
        error = np.where(both[i], np.abs(depth[i] / np.maximum(true[i], 1e-6) - 1.0) / 0.05, 0.0)
        shown = cv2.applyColorMap((np.clip(error, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        shown[keep[i] & (true[i] <= 0)] = (255, 255, 0)
        sure = cv2.applyColorMap((prediction.conf[i] * 25).clip(0, 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        top = np.hstack([prediction.images[i][..., ::-1], inverse(true[i]), inverse(depth[i])])
        bottom = np.hstack(
            [prediction.images[i][..., ::-1] * keep[i][..., None].astype(np.uint8), shown, sure * keep[i][..., None]]
        )
        cv2.imwrite(str(folder / f"{truth.name}_{i:03d}.png"), np.vstack([top, bottom]))


def describe(name: str, figures: Figures) -> str:
    """The figures of a sample set in four lines."""
    return (
        f"{name}: {figures.registered}/{figures.frames} registered, position {figures.position_error:.2%} of the path, "
        f"rotation {figures.rotation_error:.3f} deg, focal {figures.focal_error:.2%}\n"
        f"  depth median {figures.depth_error:.2%}, within 1 % {figures.within_1_percent:.1%}, within 5 % "
        f"{figures.within_5_percent:.1%}, kept {figures.kept:.1%} (of sky {figures.sky_kept:.1%}), "
        f"cloud {figures.cloud_distance:.3%} of the extent\n"
        f"  filled {figures.filled:.1%}, median {figures.filled_error:.2%}, within 5 % {figures.filled_within_5_percent:.1%}\n"
        f"  {figures.seconds:.0f} s, {figures.memory / 1e9:.2f} GB"
    )


def main() -> None:
    options = measuring.options(__doc__, sets=["courtyard"], resolution=504, frames=int, pictures=Path, json=Path)
    for name in options.sets:
        truth, prediction, seconds = run(name, options.resolution, options.frames)
        figures = measure(truth, prediction, seconds)
        print(describe(name, figures))
        record(f"{name}: registered", figures.registered, AT_LEAST)
        record(f"{name}: median depth error, %", 100 * figures.depth_error, AT_MOST)
        record(f"{name}: pixels kept, %", 100 * figures.kept, AT_LEAST)
        if options.pictures:
            pictures(truth, prediction, options.pictures)
        if options.json:
            options.json.write_text(json.dumps({key: float(value) for key, value in asdict(figures).items()}))


if __name__ == "__main__":
    main()
