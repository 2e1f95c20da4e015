"""One surface from many frames: how true it is, how it hangs together, how long it takes beside Open3D.

    python tools/bench/accuracy/fusion.py [quality|classic|speed ...] [--seeds 5] [--cores 2]

Runs in the worker's environment; makes Open3D one of its own (1.4 GB, from tools/requirements/open3d.txt) when it is first
needed, but not where all benchmarks are run: there the speed is left out as long as Open3D is not there. Exits with 1 where a
claim is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import classic as bench_classic
import long_walk
import numpy as np
import surface_score
import truth
from da3_blender.core.geometry.projection import unproject
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings
from da3_blender.core.surfaces import fused_surface
from disturbed_predictor import DisturbedPredictor

sys.path.insert(0, str(measuring.ROOT / "tools"))
import paths

sys.path.insert(0, str(paths.SETUP))
import setup

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT, FRAMES = 504, 280, 200
LARGER = 11  # times the 48 x 36 pixels of tests/support/long_walk.py; the middle 504 x 280 are taken
PIECE = 10  # frames that are in memory at once
ROUNDS = 5  # of the comparison, in turns; the medians count


def quality(claims: measuring.Claims, seeds: int, classic: bool) -> None:
    """On courtyard."""
    known = truth.load("courtyard")
    surface = surface_score.TrueSurface(known)
    rows = list(range(len(known)))
    conf = np.where(known.depth > 0, 5, 0).astype(np.float32)
    exact = Prediction(known.depth, conf, known.extrinsics, known.intrinsics, known.images)
    print(f"courtyard, {len(known)} frames, extent {surface.extent:.2f} m")
    _report(claims, "truth", exact, surface, lambda points: points, 0.99)
    for seed in range(seeds):
        predictor = DisturbedPredictor(known, seed)
        prediction = predictor.predict(known.images, rows, Settings())
        _report(
            claims, f"disturbed, seed {seed}", prediction, surface, surface_score.back_to_truth(predictor, rows), None
        )
    if classic:
        _, prediction, _ = bench_classic.run("courtyard")
        cameras = -np.einsum("nij,ni->nj", prediction.extrinsics[:, :, :3], prediction.extrinsics[:, :, 3])
        found = umeyama(cameras, known.camera_to_world[:, :3, 3])

        def back(points: np.ndarray) -> np.ndarray:
            return found.scale * points @ found.rotation.T + found.translation

        _report(claims, "classic", prediction, surface, back, 0.75)


def _report(
    claims: measuring.Claims,
    name: str,
    prediction: Any,
    surface: Any,
    back: Callable[[np.ndarray], np.ndarray],
    least: float | None,
) -> None:
    cloud = back(unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics))
    clouds = {
        c: surface.score(cloud[prediction.conf > c]).f for c in (0.5, 2, 3, 5, 6, 7) if (prediction.conf > c).any()
    }
    whole = [(range(len(prediction)), prediction)]
    mesh, seconds = measuring.timed(lambda: fused_surface.fuse(lambda: whole, Settings(), Monitor()))
    score = surface.score(back(surface_score.sampled(mesh.vertices, mesh.faces)))
    wanted = max(clouds.values()) if least is None else least
    fewer = surface_score.faces_of_image_meshes(prediction) / len(mesh.faces)
    main = surface_score.main_share(mesh.vertices, mesh.faces)
    crowded = surface_score.crowded_edges(mesh.faces)
    print(
        f"  {name}: F {claims.at_least(f'{name}: F-score', score.f, wanted)}, precision {score.precision:.3f}, "
        f"recall {score.recall:.3f}; cloud, at its best threshold, {max(clouds.values()):.3f}, all of it {clouds[0.5]:.3f}\n"
        f"    main piece {claims.at_least(f'{name}: main piece', main, 0.95)}, "
        f"edges of three faces {claims.at_most(f'{name}: non-manifold edges', crowded, 0, '.0f')}, "
        f"{len(mesh.faces)} faces, {claims.at_least(f'{name}: fewer faces', fewer, 20, '.0f')} times fewer "
        f"than meshes of the images; depths differed by {mesh.noise.before:.2%}, then {mesh.noise.after:.2%}; {seconds:.1f} s",
        flush=True,
    )


def speed(claims: measuring.Claims, cores: int) -> None:
    """200 frames beside Open3D, both in processes of their own; and whether time is linear in the frames."""
    python = _open3d()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_frames(folder)
        own_command = [sys.executable, str(Path(__file__)), "--fuse", str(folder)]
        first = _child(own_command, cores)
        own, other = [], []
        for _ in range(ROUNDS):
            other.append(_child([str(python), str(HERE / "open3d_fusion.py"), str(folder), str(first["voxel"])], cores))
            own.append(_child(own_command, cores))
        halves = [_child([*own_command, "--count", str(FRAMES // 2)], cores) for _ in range(ROUNDS)]
    seconds, theirs, half = (float(np.median([r["seconds"] for r in runs])) for runs in (own, other, halves))
    peak = max(r["bytes"] for r in own)
    print(
        f"{FRAMES} frames of {WIDTH} x {HEIGHT}, {cores} cores, voxel {first['voxel']:.3f}: {seconds:.1f} s "
        f"({own[0]['faces']} faces, {peak / 1e9:.2f} GB), Open3D {theirs:.1f} s ({other[0]['faces']} faces, "
        f"{max(r['bytes'] for r in other) / 1e9:.2f} GB)\n"
        f"  times Open3D: {claims.at_most('time beside Open3D', seconds / theirs, 1.5, '.2f')}; "
        f"GB: {claims.at_most('memory', peak / 1e9, 3.0, '.2f')}; time of {FRAMES} frames over twice that "
        f"of {FRAMES // 2}: {claims.at_most('linear time', seconds / (2 * half), 1.2, '.2f')}"
    )


def fuse_folder(folder: Path, count: int) -> None:
    """What the child process does: like ``open3d_fusion.py``."""
    arrays = [
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("depth", "extrinsics", "intrinsics", "images")
    ]

    def pieces() -> Iterator[tuple[range, Prediction]]:
        for begin in range(0, count, PIECE):
            rows = range(begin, min(begin + PIECE, count))
            depth, extrinsics, intrinsics, images = (np.array(a[rows.start : rows.stop]) for a in arrays)
            yield rows, Prediction(depth, np.where(depth > 0, 5, 0).astype(np.float32), extrinsics, intrinsics, images)

    # Everything is imported, as it is in ``open3d_fusion.py``.
    mesh, seconds = measuring.timed(lambda: fused_surface.fuse(pieces, Settings(), Monitor()))
    print(
        json.dumps(
            {"seconds": seconds, "faces": len(mesh.faces), "bytes": measuring.peak_memory(), "voxel": mesh.voxel}
        )
    )


def _make_frames(folder: Path) -> None:
    """A walk along corridors, ray cast: every frame sees something that none before has seen."""
    walk = long_walk.make(FRAMES, LARGER)
    height, width = walk.depth.shape[1:]
    top, left = (height - HEIGHT) // 2, (width - WIDTH) // 2
    part = np.s_[:, top : top + HEIGHT, left : left + WIDTH]
    intrinsics = walk.intrinsics.copy()
    intrinsics[:, :2, 2] -= left, top
    arrays = {
        "depth": walk.depth[part],
        "images": walk.pictures[part],
        "intrinsics": intrinsics,
        "extrinsics": walk.extrinsics,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array))


def _child(command: list[str], cores: int) -> dict[str, float]:
    """The JSON that a process prints last, run on that many cores where the system can hold it to them."""
    environ = {**os.environ, "OMP_NUM_THREADS": str(cores)}
    if hasattr(os, "sched_getaffinity"):
        chosen = sorted(os.sched_getaffinity(0))[:cores]
        command = ["taskset", "-c", ",".join(map(str, chosen)), *command]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _open3d() -> Path:
    """The interpreter that has Open3D."""

    def make(folder: Path) -> None:
        setup.run([setup.uv(), "venv", "--clear", "--quiet", "--python", paths.BLENDER_PYTHON, str(folder)])
        python = str(paths.executable(folder, "python"))
        setup.run([setup.uv(), "pip", "sync", "--python", python, *setup.HASHED, str(paths.OPEN3D_LOCK)])

    setup.once(paths.open3d_environment(), "Open3D, to compare with (1.4 GB)", make)
    python = paths.executable(paths.open3d_environment(), "python")
    tried = subprocess.run(
        [str(python), "-c", "import open3d"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if tried.returncode:
        if "libusb" in tried.stderr:
            raise SystemExit("Open3D, to compare with, wants the system library libusb: apt-get install libusb-1.0-0")
        raise SystemExit(f"Open3D, to compare with, does not start: {(tried.stderr.strip().splitlines() or ['?'])[-1]}")
    return python


def main() -> int:
    parts = ("quality", "classic", "speed")
    options = measuring.options(__doc__, parts=parts, seeds=5, cores=2, fuse=Path, count=FRAMES)
    if options.fuse:  # a process of ``speed``
        fuse_folder(options.fuse, options.count)
        return 0
    claims = measuring.Claims()
    if "quality" in options.parts:
        quality(claims, options.seeds, "classic" in options.parts)
    if "speed" in options.parts:
        if "DA3_ALL_BENCHMARKS" in os.environ and not (paths.open3d_environment() / setup.COMPLETE).exists():
            print("speed left out: it downloads Open3D (1.4 GB) when it is asked for by name: bench.py fusion")
        else:
            speed(claims, options.cores)
    return claims.verdict()


if __name__ == "__main__":
    sys.exit(main())
