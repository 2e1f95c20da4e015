"""Cameras of hard versions of the sample sets against their truth, by Feature Matching: SIFT, learned, automatic.

    cameras.py [SET ...]     sets: walk, courtyard, walk-dim, courtyard-dim, zoomed, cropped, enlarged; the first four by default
    cameras.py courtyard-modes walk-modes     batches and streaming against all at once: all images, through the pipeline

Few views: every fourth image of the walk, every third of the courtyard. Dim: with 60 % less contrast, and noise. The others are
the courtyard's first six: two of them zoomed by 2 without EXIF, one cut at the right and below, and that one enlarged to the size
of the others, without EXIF. The modes share what structure from motion finds of the same images: a hundred take minutes. Exits 1 where a batch mode misses its claim. Run it with the worker's Python.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import cv2
import numpy as np
import truth as truths
from classic import off
from da3_blender.core import pipeline
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import ClassicPredictor, structure_from_motion
from da3_blender.core.settings import BatchMode, FeatureMatching, Settings
from da3_blender.streaming import chunk_alignment
from da3_blender.streaming import pipeline as streaming
from figures import AT_LEAST, AT_MOST, record
from sfm_once import sfm_once

STRIDE = {"walk": 4, "courtyard": 3}
OTHER_LENSES = {"zoomed": (1, 3), "cropped": (2,), "enlarged": (2,)}  # which of the six images
SIX = 6
MODES = (BatchMode.IGNORE_BATCH_SIZE, BatchMode.LAST_FRAME_OVERLAP, BatchMode.DA3_STREAMING)  # the first: all at once
BATCH, RESOLUTION = 10, 140
AS_GOOD = 1.05  # claim: times the position error of all at once
ONE_LENS = 1.0 + 1e-6  # claim: the largest focal length over the smallest
OF_MODES = "-modes"
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
    errors = off(own, truth.camera_to_world[[chosen[i] for i in rows]])
    path = truth.camera_to_world[chosen if name in OTHER_LENSES else slice(None), :3, 3]
    extent = float(np.linalg.norm(np.ptp(path, axis=0)))
    focal = float(np.median(found.intrinsics[rows, 0, 0]) / truth.intrinsics[0, 0, 0]) - 1.0
    return Row(len(rows), len(images), errors[0] / extent, errors[1], abs(focal), found.way, seconds)


def whole_run(truth: Any, mode: BatchMode, store: Path) -> tuple[dict[int, np.ndarray], dict[int, float], str]:
    """Each frame's camera to world (3, 4) and focal length, as the run leaves them, and what gave them."""
    settings = Settings(
        input=str(truth.folder), model="classic", batch_mode=mode, batch_size=BATCH, process_resolution=RESOLUTION
    )
    frames = FrameSource.open(truth.folder)
    stream = partial(streaming.reconstruct, folder=store)
    way: Any = stream if mode is BatchMode.DA3_STREAMING else pipeline.reconstruct
    predictor = ClassicPredictor(frames.focals, Monitor())
    batches, moves = [], None
    for found in way(frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False):
        if isinstance(found, streaming.Settled):
            moves = found.moves
            continue
        p = found.prediction
        batches.append((found.indices, projection.invert_rigid(p.extrinsics), p.intrinsics[:, 0, 0]))
    cameras, focals = {}, {}
    for number, (indices, own, lenses) in enumerate(batches):
        move = np.eye(4) if moves is None else moves[number]
        for row, index in enumerate(indices):
            cameras[index], focals[index] = chunk_alignment.moved_camera(own[row], move), float(lenses[row])
    return cameras, focals, frames.cameras_by


def modes(name: str, claims: measuring.Claims) -> None:
    """Whether batches and streaming give cameras as good as all images at once, with one lens."""
    print("| set | mode | cameras | position | rotation | largest focal length over the smallest | way | time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    truth, at_once = truths.load(name), np.nan
    extent = float(np.linalg.norm(np.ptp(truth.camera_to_world[:, :3, 3], axis=0)))
    with sfm_once() as made:
        for mode in MODES:
            with tempfile.TemporaryDirectory() as folder:
                run = partial(whole_run, truth, mode, Path(folder) / "store")
                (cameras, focals, way), seconds = measuring.timed(run)
            order = sorted(cameras)
            own = projection.homogeneous(np.stack([cameras[i] for i in order]))
            position, rotation = off(own, truth.camera_to_world[order])
            position, said, label = position / extent, f"{position / extent:.4%}", f"{name}, {mode.label}"
            if mode is MODES[0]:
                at_once = position
                record(f"{label}: position, % of the extent", 100 * position, AT_MOST)
            else:
                times = claims.at_most(f"{label}: position error, times all at once", position / at_once, AS_GOOD)
                said += f", times all at once: {times}"
            widest = max(focals.values()) / min(focals.values())
            lens = claims.at_most(f"{label}: largest focal length over the smallest", widest, ONE_LENS, ".7f")
            print(
                f"| {name} | {mode.label} | {len(order)} of {len(truth)} | {said} | {rotation:.4f} deg | {lens} | {way} "
                f"| {seconds:.0f} s |",
                flush=True,
            )
    print(f"reconstructions: {claims.at_most(f'{name}: reconstructions for all modes', len(made), 1, '.0f')}")


def main() -> int:
    options = measuring.options(__doc__, sets=["courtyard", "courtyard-dim", "walk", "walk-dim"])
    claims = measuring.Claims()
    for name in (n for n in options.sets if n.endswith(OF_MODES)):
        modes(name.removesuffix(OF_MODES), claims)
    if of_matching := [name for name in options.sets if not name.endswith(OF_MODES)]:
        matchings(of_matching)
    return claims.verdict()


def matchings(sets: list[str]) -> None:
    """SIFT, learned features and both, on each set."""
    print("| set | matching | registered | position | rotation | focal length | way | time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in sets:
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
    sys.exit(main())
