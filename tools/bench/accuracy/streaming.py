"""DA3 Streaming against the official method: drift, loops, doubled surfaces; and the graph of chunks by itself.

    python tools/bench/accuracy/streaming.py [--seeds 8] [--first 0] [--frames 2000] [--size 4] [walk long noisy graph]

walk   the sample set, chunks of 20: path, with loops and false candidates, doubling
long   a path of 2,000 frames of 48 x 36 times ``--size``, the same
noisy  `walk` with ten times the noise of cameras: 3 degrees, 1 %
graph  2,000 chunks, 200 loops, then 86 wrong ones beside them

What every figure means, and what it was, is in docs/streaming.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import long_walk
import numpy as np
import official_streaming
import truth
from alignment import Scene, doubling
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.geometry.projection import homogeneous, invert_rigid
from da3_blender.core.prediction import filters
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.streaming import chunk_alignment, pipeline
from da3_blender.streaming.registration import loop_detection, sim3
from da3_blender.streaming.registration.loop_detection import Candidate
from da3_blender.streaming.registration.pose_graph import chain, solve
from disturbed_predictor import Disturbance, DisturbedPredictor
from figures import AT_MOST, record
from scipy.spatial.transform import Rotation

PARTS = ("walk", "long", "noisy", "graph")
CHUNK = 20
FALSE = 0.2  # false candidates that are added, of the joint passes there may be
SAME_PLACE = 0.2  # of the pixels of a joint pass's first side that the second truly sees
DRIFT, CLOSED, DOUBLED = (
    0.45,
    0.6,
    1 / 3,
)  # claims: of the official's path, of our own without loops, of the official's copies
SEEDS = 8  # that the claim about loops is the median of
GRAPH_SECONDS, GRAPH_WRONG = 10.0, 1.2
SHIFT = 0.02  # metres that a camera of the long path is off along each axis, as on `walk` (docs/streaming.md)


class Model:
    """The disturbed predictor; where both sides of a joint pass truly show two places, the second is put anywhere.

    Every chunk is handed to the official method too, so that it gets the very same.
    """

    def __init__(self, truth: Any, predictor: Any, official: Any):
        self._truth, self._predictor, self._official = truth, predictor, official
        self.false = 0

    def predict(self, images: Any, indices: Any, settings: Any, cameras: Any = None) -> Any:
        made = self._predictor.predict(images, indices, settings, cameras)
        jump = next((k for k in range(1, len(indices)) if indices[k] != indices[k - 1] + 1), None)
        if jump is None:
            self._official.add(indices, deepcopy(made))
        elif not self.same_place(indices[:jump], indices[jump:]):
            self.false += 1
            turn = np.eye(4)
            turn[:3, :3] = Rotation.random(random_state=int(indices[0] * 100003 + indices[-1])).as_matrix()
            first, second = homogeneous(made.extrinsics[:1])[0], homogeneous(made.extrinsics[jump:])
            made.extrinsics[jump:] = (second @ np.linalg.inv(second[0]) @ turn @ first)[:, :3]
        return made

    def same_place(self, one: Any, other: Any) -> bool:
        t, seen, total = self._truth, 0, 0
        height, width = t.depth.shape[1:]
        for i in one[:: max(1, len(one) // 3)]:
            world = projection.unproject(t.depth[i : i + 1], t.intrinsics[i : i + 1], t.extrinsics[i : i + 1])[0]
            world = world[t.depth[i] > 0][::23].astype(np.float64)
            best = np.zeros(len(world), bool)
            for j in other[:: max(1, len(other) // 3)]:
                pixels, z = projection.project(world, t.intrinsics[j], t.extrinsics[j])
                with np.errstate(invalid="ignore"):
                    ok = (z > 0) & (pixels >= 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
                u, v = pixels[ok].astype(int).T
                best[np.flatnonzero(ok)[np.abs(t.depth[j, v, u] / z[ok] - 1) < 0.05]] = True
            seen, total = seen + int(best.sum()), total + len(best)
        return seen >= SAME_PLACE * total


def with_false(by_descriptors: Any, seed: int, same_place: Any) -> Any:
    """``loop_detection.by_descriptors`` with false candidates, two frames of two places: a fifth of as many as there may be."""

    def candidates(descriptors: np.ndarray, apart: int, most: int) -> list[Any]:
        found = by_descriptors(descriptors, apart, most)
        random, count, added = np.random.default_rng(seed), len(descriptors), 0
        while added < int(np.ceil(FALSE * most)):
            first, second = np.sort(random.choice(count, 2, replace=False))
            sides = [range(max(0, f - CHUNK // 4), min(count, f + CHUNK // 4)) for f in (first, second)]
            if second - first >= CHUNK and not same_place(*sides):
                found.append(Candidate(int(first), int(second), 0.0))
                added += 1
        return found

    return candidates


def run(truth: Any, folder: Any, seed: int, noise: float, metres: float | None, far: bool) -> dict[str, Any]:
    """Poses (by frame, (3, 4) camera to world) and surfaces of the official way, of ours without loops and with them."""
    predictor = DisturbedPredictor(truth, seed)
    shift = 0.001 if metres is None else metres / predictor.path_length
    predictor.disturbance = Disturbance(pose_degrees=0.3 * noise, pose_shift=shift * noise)
    official = official_streaming.Official(surfaces=far)
    model = Model(truth, predictor, official)
    settings = Settings(
        input=str(folder),
        model="classic",
        batch_mode=BatchMode.DA3_STREAMING,
        batch_size=CHUNK,
        process_resolution=252,
        conf_threshold_coef=0.0,  # the official one shows all points too
    )
    without, closed, given = {}, {}, []
    surfaces: dict[str, dict[int, Any]] = {"official": official.surfaces, "ours": {}, "loops": {}}
    plain = loop_detection.by_descriptors
    loop_detection.by_descriptors = with_false(plain, seed, model.same_place)
    try:
        with tempfile.TemporaryDirectory() as store:
            for item in pipeline.reconstruct(
                FrameSource.open(folder), settings, model, on_progress=lambda *_: None, cancelled=lambda: False,
                folder=Path(store) / "store",
            ):  # fmt: skip
                if isinstance(item, pipeline.Settled):
                    settled = item
                    continue
                p = item.prediction
                given.append((item.indices, invert_rigid(p.extrinsics), (p.depth, p.conf) if far else None))
    finally:
        loop_detection.by_descriptors = plain
    for (indices, cameras, pixels), move in zip(given, settled.moves, strict=True):
        for k, i in enumerate(indices):
            without[i], closed[i] = cameras[k], chunk_alignment.moved_camera(cameras[k], move)
            if pixels is not None:
                depth, conf = pixels
                surfaces["ours"][i] = depth[k], conf[k]
                surfaces["loops"][i] = float(sim3.scale_of(move)) * depth[k], conf[k]
    return {
        "poses": {"official": official.poses, "ours": without, "loops": closed},
        "surfaces": surfaces,
        "loops": (settled.accepted, settled.refused, model.false),
    }


def ate(poses: dict[int, np.ndarray], truth: Any) -> float:
    """Root mean square distance of the camera centres after the best similarity (Umeyama), in metres."""
    order = sorted(poses)
    a, b = np.array([poses[i][:, 3] for i in order]), truth.camera_to_world[order][:, :3, 3]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.linalg.det(u @ vt)])
    return float(np.sqrt((((d * sign).sum() / (a**2).sum() * a @ (u * sign @ vt).T - b) ** 2).sum(axis=1).mean()))


def copies(truth: Any, poses: dict[int, np.ndarray], surfaces: dict[int, Any], reach: int | None) -> float:
    """``bench_alignment.doubling``; frames whose last chunk differs are of different passes, for every method alike."""
    order = sorted(poses)
    depth, conf = (np.stack([surfaces[i][n] for i in order]).astype(np.float32) for n in (0, 1))
    conf[filters.edges(depth)] = 0.0  # ours lacks them anyway
    last = np.maximum(np.array(order) // (CHUNK // 2), 0)
    last = np.minimum(last, max(0, (len(order) - 1) // (CHUNK // 2) - 1))  # the last chunk emits all that it has
    return doubling(truth, Scene(invert_rigid(np.stack([poses[i] for i in order])), depth, conf, last), reach)


def compare(
    name: str, truth: Any, folder: Any, seeds: range, noise: float = 1.0, metres: float | None = None, far: bool = True
) -> bool:  # fmt: skip
    """Prints every seed and the medians; whether they reach the claims. ``far``: doubling is measured too."""
    rows = []
    for seed in seeds:
        started = time.monotonic()
        found = run(truth, folder, seed, noise, metres, far)
        errors = [ate(found["poses"][way], truth) for way in ("official", "ours", "loops")]
        apart = []
        if far:
            apart = [
                copies(truth, found["poses"][way], found["surfaces"][way], reach)
                for reach in (None, 12)
                for way in ("official", "ours", "loops")
            ]
        rows.append(errors + apart)
        accepted, refused, false = found["loops"]
        print(f"  seed {seed}: ATE official {errors[0]:.4f} ours {errors[1]:.4f} ({errors[1] / errors[0]:.2f}x) loops {errors[2]:.4f} m"
              f" ({errors[2] / errors[1]:.2f}x; {accepted} accepted, {refused} refused, {false} were false);"
              f" copies % {' '.join(f'{100 * a:.2f}' for a in apart)}; {time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
    m = np.median(rows, axis=0)
    allowed = DRIFT if noise == 1.0 else 1.0
    print(f"{name}, median of {len(rows)} seeds: ATE official {m[0]:.4f}, ours {m[1]:.4f} m ({m[1] / m[0]:.2f}x; wanted {allowed}), with"
          f" loops and false candidates {m[2]:.4f} m ({m[2] / m[1]:.2f}x; wanted {CLOSED})", flush=True)  # fmt: skip
    good = record(f"{name}: ATE, of the official", m[1] / m[0], AT_MOST, allowed).held
    whole = noise == 1.0 and len(seeds) >= SEEDS  # from seed to seed it is 0.4 to 0.9
    closed = record(f"{name}: ATE with loops, of that without", m[2] / m[1], AT_MOST, CLOSED if whole else None)
    good &= closed.held
    if far:
        for at, label in ((3, "all pairs"), (6, "pairs up to 12 frames apart")):
            print(f"  doubled surfaces, {label}: official {m[at]:.3%} of the extent, ours {m[at + 1] / m[at]:.2f}x, with loops"
                  f" {m[at + 2] / m[at]:.2f}x (wanted {DOUBLED:.2f})", flush=True)  # fmt: skip
        doubled = record(f"{name}: doubling, of the official", m[4] / m[3], AT_MOST, DOUBLED if noise == 1.0 else None)
        good &= doubled.held
    return bool(good)


def walk(given: argparse.Namespace) -> bool:
    scene = truth.load("walk")
    return compare("walk, chunks of 20", scene, scene.folder, given.seeds)


def long(given: argparse.Namespace) -> bool:
    scene = long_walk.make(given.frames, size=given.size)
    with tempfile.TemporaryDirectory() as folder:
        scene.save(folder)
        name = f"{given.frames} frames of {scene.depth.shape[2]} x {scene.depth.shape[1]}, chunks of 20"
        return compare(name, scene, folder, given.seeds, metres=SHIFT, far=False)


def noisy(given: argparse.Namespace) -> bool:
    scene = truth.load("walk")
    return compare("walk, camera noise of 3 degrees and 1 %", scene, scene.folder, given.seeds, noise=10.0)


def graph(given: argparse.Namespace) -> bool:
    sys.path.insert(0, str(measuring.ROOT / "tests" / "streaming" / "registration"))
    from test_pose_graph import Laps

    laps = Laps(2000)
    right, wrong = laps.loops(200), laps.wrong(86)
    started = time.process_time()
    alone = laps.error(solve(laps.path, right).poses)
    first = time.process_time() - started
    both = laps.error(solve(laps.path, right + wrong).poses)
    seconds = time.process_time() - started - first
    print(f"graph of 2,000 chunks, 200 loops: {first:.1f} s of processor (wanted {GRAPH_SECONDS:.0f}), ATE {laps.error(chain(laps.path)):.3f}"
          f" -> {alone:.3f}; 86 wrong ones beside them: {seconds:.1f} s, {both / alone:.3f}x (wanted {GRAPH_WRONG})")  # fmt: skip
    quick = record("graph of 2,000 chunks, s", max(first, seconds), AT_MOST, GRAPH_SECONDS)
    right_still = record("graph with wrong loops, ATE of that without", both / alone, AT_MOST, GRAPH_WRONG)
    return quick.held and right_still.held


def main() -> int:
    given = measuring.options(__doc__, parts=PARTS, seeds=SEEDS, first=0, frames=2000, size=4)
    given.seeds = range(given.first, given.first + given.seeds)
    parts = {"walk": walk, "long": long, "noisy": noisy, "graph": graph}
    missed = [part for part in given.parts if not parts[part](given)]
    if missed:
        print(f"claims not reached: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
