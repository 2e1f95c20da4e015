"""Cameras of hard versions of the sample sets against their truth, by Feature Matching: SIFT, learned, automatic.

    cameras.py [SET ...]     sets: walk, courtyard, walk-dim, courtyard-dim; all by default

Few views: every fourth image of the walk, every third of the courtyard. Dim: with 60 % less contrast, and noise. Run it
with the worker's Python.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import numpy as np
import truth as truths
from da3_blender.core.errors import BadInput
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.settings import FeatureMatching
from evo.core import metrics
from evo.core.trajectory import PosePath3D

STRIDE = {"walk": 4, "courtyard": 3}
CONTRAST, NOISE = 0.4, 6.0  # of the original's; standard deviation in grey levels of 255


@dataclass(frozen=True)
class Row:
    """One way on one set: registered share, position error of the path's extent, rotation error in degrees."""

    registered: int
    count: int
    position: float
    rotation: float
    focal: float
    way: str
    seconds: float


def images_of(name: str) -> tuple[Any, list[np.ndarray], list[int]]:
    """The truth of the set, the images, and which of the set's they are."""
    base = name.removesuffix("-dim")
    truth = truths.load(base)
    chosen = list(range(0, len(truth), STRIDE[base]))
    images = [truth.images[i] for i in chosen]
    if name.endswith("-dim"):
        random = np.random.default_rng(0)
        images = [dim(image, random) for image in images]
    return truth, images, chosen


def dim(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(h, w, 3) uint8 with less contrast around its mean, and noise of the sensor."""
    mean = image.mean()
    noisy = mean + CONTRAST * (image - mean) + random.normal(0.0, NOISE, image.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def measure(name: str, matching: Any) -> Row:
    """Structure from motion on one set."""
    truth, images, chosen = images_of(name)
    focals = [float(truth.intrinsics[i, 0, 0]) for i in chosen]
    try:
        found, seconds = measuring.timed(lambda: structure_from_motion(images, focals, Monitor(), matching=matching))
    except BadInput as error:
        print(error)
        return Row(0, len(images), np.nan, np.nan, np.nan, "none", np.nan)
    rows = np.flatnonzero(found.registered)
    own = projection.homogeneous(projection.invert_rigid(found.extrinsics[rows]))
    true = truth.camera_to_world[[chosen[i] for i in rows]]
    estimate, reference = PosePath3D(poses_se3=list(own)), PosePath3D(poses_se3=list(true))
    errors = [np.nan, np.nan]
    if len(rows) >= 3:
        estimate.align(reference, correct_scale=True)
        for k, relation in enumerate((metrics.PoseRelation.translation_part, metrics.PoseRelation.rotation_angle_deg)):
            ape = metrics.APE(relation)
            ape.process_data((reference, estimate))
            errors[k] = ape.get_statistic(metrics.StatisticsType.rmse)
    extent = float(np.linalg.norm(np.ptp(truth.camera_to_world[:, :3, 3], axis=0)))
    focal = float(np.median(found.intrinsics[rows, 0, 0]) / np.median(focals)) - 1.0
    return Row(len(rows), len(images), errors[0] / extent, errors[1], abs(focal), found.way, seconds)


def main() -> None:
    options = measuring.options(__doc__, sets=("courtyard", "courtyard-dim", "walk", "walk-dim"))
    print("| set | matching | registered | position | rotation | focal length | way | time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        for matching in (FeatureMatching.SIFT, FeatureMatching.LEARNED, FeatureMatching.AUTOMATIC):
            row = measure(name, matching)
            print(
                f"| {name} | {matching.label} | {row.registered} of {row.count} | {row.position:.3%} | {row.rotation:.3f} deg "
                f"| {row.focal:.2%} | {row.way} | {row.seconds:.0f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
