"""Cameras of hard versions of the sample sets against their truth, by Feature Matching: SIFT, learned, automatic.

    cameras.py [SET ...]     sets: walk, courtyard, walk-dim, courtyard-dim, zoomed, cropped, enlarged; the first four by default

Few views: every fourth image of the walk, every third of the courtyard. Dim: with 60 % less contrast, and noise. The others are
the courtyard's first six: two of them zoomed by 2 without EXIF, one cut at the right and below, and that one enlarged to the size
of the others, without EXIF. Run it with the worker's Python.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import cv2
import numpy as np
import truth as truths
from da3_blender.core.errors import BadInput
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.settings import FeatureMatching
from evo.core import metrics
from evo.core.trajectory import PosePath3D
from figures import AT_LEAST, AT_MOST, record

STRIDE = {"walk": 4, "courtyard": 3}
OTHER_LENSES = {"zoomed": (1, 3), "cropped": (2,), "enlarged": (2,)}  # which of the six images
SIX = 6
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


def images_of(name: str) -> tuple[Any, list[np.ndarray], list[int], list[float | None]]:
    """The truth of the set, the images, which of the set's they are, and what EXIF says of their focal lengths."""
    if name in OTHER_LENSES:
        truth = truths.load("courtyard")
        images = list(truth.images[:SIX])
        for i in OTHER_LENSES[name]:
            images[i] = other_lens(images[i], name)
        focal = float(truth.intrinsics[0, 0, 0]) if name == "cropped" else None
        return truth, images, list(range(SIX)), [focal] * SIX
    base = name.removesuffix("-dim")
    truth = truths.load(base)
    chosen = list(range(0, len(truth), STRIDE[base]))
    images = [truth.images[i] for i in chosen]
    if name.endswith("-dim"):
        random = np.random.default_rng(0)
        images = [dim(image, random) for image in images]
    return truth, images, chosen, [float(truth.intrinsics[i, 0, 0]) for i in chosen]


def other_lens(image: np.ndarray, name: str) -> np.ndarray:
    """The middle of a picture at its full size, or what is left of it without its right and lower fifth."""
    height, width = image.shape[:2]
    if name == "zoomed":
        part = image[height // 4 : height - height // 4, width // 4 : width - width // 4]
    else:
        part = image[: 4 * height // 5, : 4 * width // 5]
    return part.copy() if name == "cropped" else cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)


def dim(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(h, w, 3) uint8 with less contrast around its mean, and noise of the sensor."""
    mean = image.mean()
    noisy = mean + CONTRAST * (image - mean) + random.normal(0.0, NOISE, image.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def measure(name: str, matching: Any) -> Row:
    """Structure from motion on one set."""
    truth, images, chosen, focals = images_of(name)
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
    path = truth.camera_to_world[chosen if name in OTHER_LENSES else slice(None), :3, 3]
    extent = float(np.linalg.norm(np.ptp(path, axis=0)))
    focal = float(np.median(found.intrinsics[rows, 0, 0]) / truth.intrinsics[0, 0, 0]) - 1.0
    return Row(len(rows), len(images), errors[0] / extent, errors[1], abs(focal), found.way, seconds)


def main() -> None:
    options = measuring.options(__doc__, sets=["courtyard", "courtyard-dim", "walk", "walk-dim"])
    print("| set | matching | registered | position | rotation | focal length | way | time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        for matching in (FeatureMatching.SIFT, FeatureMatching.LEARNED, FeatureMatching.AUTOMATIC):
            row = measure(name, matching)
            record(f"{name}, {matching.label}: registered", row.registered, AT_LEAST)
            record(f"{name}, {matching.label}: position, % of the extent", 100 * row.position, AT_MOST)
            print(
                f"| {name} | {matching.label} | {row.registered} of {row.count} | {row.position:.3%} | {row.rotation:.3f} deg "
                f"| {row.focal:.2%} | {row.way} | {row.seconds:.0f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
