"""Measures how well passes fit together on the sample set `walk`, with a predictor that errs like a model.

    python tools/bench/accuracy/alignment.py [MODE ...] [--seeds 8] [--size 10]

Beside what the pipeline does stand the original add-on's method (median-confidence mask, least-squares scale of depths,
pose of the first shared frame) and an oracle that aligns every pass to the truth. Runs in the worker's environment, with
evo beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from copy import deepcopy

import measuring
import numpy as np
import truth as truths
from da3_blender.core import pipeline
from da3_blender.core.alignment.blending import select
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.core.geometry.similarity import Similarity, umeyama
from da3_blender.core.prediction import batching, filters
from da3_blender.core.settings import BatchMode, Settings
from disturbed_predictor import DisturbedPredictor
from evo.core import metrics
from evo.core.trajectory import PosePath3D
from figures import AT_MOST, record

MODES = ("last_frame_overlap", "first_last_overlap", "no_overlap")
NEAR = 12  # frames: neighbouring passes
LEAST_PAIRED = 500  # places that two frames must share to be compared


@dataclass
class Scene:
    """What a method gave: of every frame once, in one world."""

    extrinsics: np.ndarray  # (N, 3, 4)
    depth: np.ndarray  # (N, H, W)
    conf: np.ndarray  # (N, H, W)
    batch: np.ndarray  # (N,) int, the pass each frame came first in


class Passes:
    """A predictor's answers, kept: every method gets the very same."""

    def __init__(self, predictor: Any):
        self._predictor = predictor
        self._known: dict[tuple[int, ...], Any] = {}

    def predict(self, images: Any, indices: Any, settings: Any, cameras: Any = None) -> Any:
        key = tuple(indices)
        if key not in self._known:
            self._known[key] = self._predictor.predict(images, indices, settings)
        return deepcopy(self._known[key])


def ours(truth: Any, passes: Passes, settings: Any) -> Scene:
    """What ``core.pipeline`` makes of the passes."""
    frames = FrameSource.open(truth.folder)
    scene = _empty(truth, batching.plan(range(len(truth)), settings))
    batches = pipeline.reconstruct(frames, settings, passes, on_progress=lambda *_: None, cancelled=lambda: False)
    for batch in batches:
        _put(scene, batch.indices, batch.prediction)
    return scene


def original(truth: Any, passes: Passes, settings: Any) -> Scene:
    """The original's chain; without a shared frame it leaves passes as they are."""
    before: tuple[list[int], Any] | None = None

    def fit(indices: list[int], prediction: Any) -> Any:
        nonlocal before
        if before is not None and (shared := [i for i in indices if i in before[0]]):
            reference = select(before[1], [before[0].index(i) for i in shared])
            prediction = _original_similarity(reference, select(prediction, [indices.index(i) for i in shared])).apply(
                prediction
            )
        before = indices, prediction
        return prediction

    return _chain(truth, passes, settings, fit)


def oracle(truth: Any, passes: Passes, settings: Any) -> Scene:
    """Every pass by itself aligned to the true centres of its cameras."""

    def fit(indices: list[int], prediction: Any) -> Any:
        own = invert_rigid(prediction.extrinsics)[:, :, 3]
        return umeyama(own, truth.camera_to_world[indices][:, :3, 3]).apply(prediction)

    return _chain(truth, passes, settings, fit)


METHODS: dict[str, Callable[..., Scene]] = {"original": original, "ours": ours, "oracle": oracle}


def _original_similarity(reference: Any, own: Any) -> Any:
    good = (reference.conf > np.median(reference.conf)) & (own.conf > np.median(own.conf))
    good &= (reference.depth > 0) & (own.depth > 0)
    a, b = reference.depth[good].astype(np.float64), own.depth[good].astype(np.float64)
    scale = float((a * b).sum() / (b * b).sum())
    there, here = invert_rigid(reference.extrinsics[0]), invert_rigid(own.extrinsics[0])
    rotation = there[:, :3] @ here[:, :3].T
    return Similarity(scale, rotation, there[:, 3] - scale * rotation @ here[:, 3])


def _chain(truth: Any, passes: Passes, settings: Any, fit: Callable[[list[int], Any], Any]) -> Scene:
    """Passes fitted one by one; of a frame in two of them the first is kept, as the original does."""
    plan = batching.plan(range(len(truth)), settings)
    scene = _empty(truth, plan)
    done: set[int] = set()
    for indices in plan:
        prediction = fit(indices, passes.predict(truth.images[indices], indices, settings))
        prediction.conf[filters.edges(prediction.depth)] = 0
        rows = [row for row, index in enumerate(indices) if index not in done]
        _put(scene, [indices[row] for row in rows], select(prediction, rows))
        done.update(indices)
    return scene


def _empty(truth: Any, plan: list[list[int]]) -> Scene:
    batch = np.zeros(len(truth), int)
    for number, indices in reversed(list(enumerate(plan))):
        batch[indices] = number
    return Scene(np.zeros((len(truth), 3, 4)), np.zeros_like(truth.depth), np.zeros_like(truth.depth), batch)


def _put(scene: Scene, indices: list[int], prediction: Any) -> None:
    scene.extrinsics[indices] = prediction.extrinsics
    scene.depth[indices] = prediction.depth
    scene.conf[indices] = prediction.conf


def trajectory_error(truth: Any, scene: Scene) -> float:
    """APE RMSE (evo) after similarity alignment, relative to the extent of the path."""
    own = projection.homogeneous(projection.invert_rigid(scene.extrinsics))
    estimate, reference = PosePath3D(poses_se3=list(own)), PosePath3D(poses_se3=list(truth.camera_to_world))
    estimate.align(reference, correct_scale=True)
    error = metrics.APE(metrics.PoseRelation.translation_part)
    error.process_data((reference, estimate))
    return float(error.get_statistic(metrics.StatisticsType.rmse)) / extent(truth)


def extent(truth: Any) -> float:
    """Diagonal of the box around the path, metres."""
    return float(np.linalg.norm(np.ptp(truth.camera_to_world[:, :3, 3], axis=0)))


def doubling(truth: Any, scene: Scene, reach: int | None = None) -> float:
    """Median distance between two copies of a place, relative to the extent of the path.

    The copies are those of two frames of different passes that truly show the same place; ``reach``: at most so many
    frames apart.
    """
    own = projection.invert_rigid(scene.extrinsics)
    scale = umeyama(own[:, :, 3], truth.camera_to_world[:, :3, 3]).scale
    distances = [
        d for i, j in _across(scene, reach or len(scene.batch)) if len(d := _apart(truth, scene, i, j)) >= LEAST_PAIRED
    ]
    return float(np.median(np.concatenate(distances))) * scale / extent(truth)


def _across(scene: Scene, reach: int) -> Iterator[tuple[int, int]]:
    for i in range(0, len(scene.batch), 2):
        for j in range(i + 1, min(i + reach + 1, len(scene.batch)), 3):
            if scene.batch[i] != scene.batch[j]:
                yield i, j


def _apart(truth: Any, scene: Scene, i: int, j: int) -> np.ndarray:
    """Distances between frame i's points and frame j's of the same true places, in the scene's unit."""
    height, width = truth.depth.shape[1:]
    true = projection.unproject(truth.depth[i : i + 1], truth.intrinsics[i : i + 1], truth.extrinsics[i : i + 1])[0]
    own = projection.unproject(scene.depth[i : i + 1], truth.intrinsics[i : i + 1], scene.extrinsics[i : i + 1])[0]
    shown = (truth.depth[i] > 0) & (scene.conf[i] > 0)
    true, own = true[shown][::7].astype(np.float64), own[shown][::7].astype(np.float64)
    pixels, z = projection.project(true, truth.intrinsics[j], truth.extrinsics[j])
    inside = (z > 0) & (pixels > 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
    true, own, pixels, z = true[inside], own[inside], pixels[inside], z[inside]
    u, v = pixels.astype(int).T
    there = truth.depth[j, v, u]
    same = (np.abs(there / z - 1) < 0.01) & (scene.conf[j, v, u] > 0)  # the place is seen there, not hidden
    own, pixels, z, u, v = own[same], pixels[same], z[same], u[same], v[same]
    depth = scene.depth[j, v, u] * z / truth.depth[j, v, u]  # at the place itself, not at the pixel's centre
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(truth.intrinsics[j]).T
    camera = projection.invert_rigid(scene.extrinsics[j])
    other = (rays * depth[:, None]) @ camera[:, :3].T + camera[:, 3]
    return np.linalg.norm(own - other, axis=1)


def measure(truth: Any, mode: str, seeds: range, size: int = 10, disturbance: Any = None) -> dict[str, np.ndarray]:
    """(seeds, 3) for each method: trajectory error, distance of copies, the same of neighbouring passes only."""
    settings = Settings(batch_mode=BatchMode(mode), batch_size=size, process_resolution=252)
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in METHODS}
    for seed in seeds:
        passes = Passes(DisturbedPredictor(truth, seed, disturbance))
        for name, method in METHODS.items():
            scene = method(truth, passes, settings)
            found[name].append((trajectory_error(truth, scene), doubling(truth, scene), doubling(truth, scene, NEAR)))
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    options = measuring.options(__doc__, modes=MODES, seeds=8, size=10)
    walk = truths.load("walk")
    for mode in options.modes:
        found = {
            name: np.median(v, axis=0) for name, v in measure(walk, mode, range(options.seeds), options.size).items()
        }
        print(f"{mode}, batches of {options.size}, median of {options.seeds} seeds")
        for name, (error, double, near) in found.items():
            print(
                f"  {name:9s} ATE {error:.3%} of the extent, copies {double:.3%} apart, of neighbouring passes {near:.3%}"
            )
        to_original, to_oracle = found["ours"] / found["original"], found["ours"] / found["oracle"]
        record(f"{mode}: ATE, of the original's", to_original[0], AT_MOST)
        record(f"{mode}: doubling, of the original's", to_original[1], AT_MOST)
        print(
            f"  ours: ATE {to_original[0]:.2f} of the original's, {to_oracle[0]:.2f} of the oracle's; "
            f"doubling {to_original[1]:.2f} of the original's, of neighbouring passes {to_original[2]:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
