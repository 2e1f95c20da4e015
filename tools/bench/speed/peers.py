"""Ours beside what others have, on the same input in turns: the package's own ``inference()``, and plain pycolmap.

    python tools/bench/speed/peers.py [package] [pycolmap] [--frames 8] [--resolution 280] [--turns 3]

* package: da3-small's own architecture with random weights, one pass over photographs of courtyard: processor time and peak memory of a
  process each; depths must be equal to the last bit
* pycolmap: cameras of courtyard by ``classic`` and by pycolmap's own three calls: how many, how far off, processor time

Runs in the worker's environment.
"""

from __future__ import annotations

import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import numpy as np
import tiny_da3
import torch
import truth
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.models import catalogue
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic.sfm.reconstruction import structure_from_motion
from da3_blender.core.predictors.da3 import DA3Predictor
from da3_blender.core.predictors.da3.predictor import SEED
from da3_blender.core.settings import Settings
from safetensors.torch import save_file

SLOWER, LARGER = 1.1, 1.1  # times the package's time and memory, at most
FURTHER = 1.1  # times plain pycolmap's error of the positions, at most


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        who, folder, frames, resolution = sys.argv[2:]
        return child(who, Path(folder), int(frames), int(resolution))
    given = measuring.options(__doc__, peers=("package", "pycolmap"), frames=8, resolution=280, turns=3)
    claims = measuring.Claims()
    if "package" in given.peers:
        package(claims, given.frames, given.resolution, given.turns)
    if "pycolmap" in given.peers:
        pycolmap(claims)
    return claims.verdict()


def package(claims: measuring.Claims, frames: int, resolution: int, turns: int) -> None:
    """A pass by our predictor and by the package, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = catalogue.find("da3-small")
        save_file(tiny_da3.random_weights(info), folder / f"{info.name}.safetensors")
        found: dict[str, list[dict[str, Any]]] = {"ours": [], "package": []}
        for _ in range(turns):
            for who, runs in found.items():
                command = [sys.executable, __file__, "--child", who, str(folder), str(frames), str(resolution)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    assert len({run["depths"] for runs in found.values() for run in runs}) == 1, "the depths are not the same"
    middle = {
        who: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "bytes")}
        for who, runs in found.items()
    }
    ours, theirs = middle["ours"], middle["package"]
    print(
        f"da3-small, {frames} photographs at {resolution}: ours {ours['seconds']:.1f} s of processor time, {ours['bytes'] / 1e9:.2f} GB; "
        f"inference() {theirs['seconds']:.1f} s, {theirs['bytes'] / 1e9:.2f} GB; medians of {turns}, the same depths\n  times its time: "
        f"{claims.at_most('time beside inference()', ours['seconds'] / theirs['seconds'], SLOWER, '.2f')}; times its memory: "
        f"{claims.at_most('memory beside inference()', ours['bytes'] / theirs['bytes'], LARGER, '.2f')}",
        flush=True,
    )


def child(who: str, folder: Path, count: int, resolution: int) -> int:
    """One pass; prints seconds of processor time, the peak of memory and a digest of the depths as JSON."""
    info, settings = catalogue.find("da3-small"), Settings(process_resolution=resolution)
    file = folder / f"{info.name}.safetensors"
    frames = FrameSource.open(truth.load("courtyard").folder, end=count - 1)
    images = [frames.load(index).image for index in frames.selected]
    if who == "ours":
        predictor = DA3Predictor(info, file, device="cpu")
        started = time.process_time()
        depth = predictor.predict(images, list(range(count)), settings).depth
    else:
        reference = tiny_da3.reference(info, file)
        started = time.process_time()
        torch.manual_seed(SEED)
        depth = reference.inference(
            images,
            ref_view_strategy=settings.ref_view_strategy.value,
            process_res=settings.resolution,
            process_res_method=settings.resize_method.value,
        ).depth
    seconds = time.process_time() - started
    digest = hashlib.sha256(np.ascontiguousarray(depth, np.float32)).hexdigest()
    print(json.dumps({"seconds": seconds, "bytes": measuring.peak_memory(), "depths": digest}))
    return 0


def pycolmap(claims: measuring.Claims) -> None:
    """Cameras of courtyard."""
    import pycolmap as colmap

    colmap.logging.minloglevel = colmap.logging.Level.WARNING.value
    known = truth.load("courtyard")
    frames = FrameSource.open(known.folder)
    images = [frames.load(index).image for index in frames.selected]
    started = processor_seconds()
    found = structure_from_motion(images, [frames.focals[i] for i in frames.selected], Monitor())
    ours = processor_seconds() - started
    own_error = off(known, {int(i): found.extrinsics[i] for i in np.flatnonzero(found.registered)})
    with tempfile.TemporaryDirectory() as name:
        database = Path(name) / "database.db"
        started = processor_seconds()
        colmap.extract_features(database, known.folder, device=colmap.Device.cpu)
        colmap.match_exhaustive(database, device=colmap.Device.cpu)
        models = colmap.incremental_mapping(database, known.folder, Path(name))
        theirs = processor_seconds() - started
    best = max(models.values(), key=lambda model: model.num_reg_images())
    numbers = {path.name: index for index, path in enumerate(frames.paths)}
    poses = {
        numbers[image.name]: image.cam_from_world().matrix() for image in best.images.values() if image.name in numbers
    }
    their_error = off(known, poses)
    count = int(found.registered.sum())
    print(
        f"courtyard's cameras: ours {count} of {len(images)}, {own_error:.3%} of the path, {ours:.0f} s of processor time; plain pycolmap "
        f"{len(poses)}, {their_error:.3%}, {theirs:.0f} s\n  images: "
        f"{claims.at_least('images beside plain pycolmap', count / len(poses), 1.0, '.2f')}; times its error: "
        f"{claims.at_most('error beside plain pycolmap', own_error / their_error, FURTHER, '.2f')}",
        flush=True,
    )


def off(known: truth.Truth, poses: dict[int, np.ndarray]) -> float:
    """Root mean square of the positions after a similarity, as a share of the path's extent."""
    order = sorted(poses)
    own = invert_rigid(np.stack([poses[i] for i in order]))[:, :, 3]
    true = invert_rigid(known.extrinsics[order])[:, :, 3]
    fit = umeyama(own, true)
    moved = fit.scale * own @ fit.rotation.T + fit.translation
    return float(np.sqrt(((moved - true) ** 2).sum(axis=1).mean()) / np.linalg.norm(np.ptp(true, axis=0)))


def processor_seconds() -> float:
    """Of this process and those it has started, which have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    sys.exit(main())
