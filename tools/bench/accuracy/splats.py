"""Measures dots, splats and refined splats of the same points: held-out views of `courtyard`, rendered by Blender 5.3.

    python tools/bench/accuracy/splats.py [truth] [disturbed] [classic] [--samples 16] [--pictures FOLDER]

Every fourth photograph is left out and rendered from the others' points through its true camera. PSNR counts the pixels that
some other photograph sees (by the true depth), over black; coverage the same pixels, where the picture is opaque by half.
Two million splats go into Blender, and the file's way through its importer is in tests/blender/nodes/test_splats.py. Runs in
the worker's environment; without Blender 5.3 (`make test-versions` sets it up) it says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import numpy as np
import truth as truths
from da3_blender.core.frames.pixels.colour import srgb
from da3_blender.core.frames.resizing import Placement
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import invert_rigid, project, unproject
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.monitor import Monitor
from da3_blender.core.output.blender_arrays import cameras, linear_from_srgb
from da3_blender.core.output.payload import CameraRecord, Part, split
from da3_blender.core.pipeline import deliver, reconstruct
from da3_blender.core.prediction import filters
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.predictors.classic import ClassicPredictor
from da3_blender.core.settings import Settings
from da3_blender.core.splats.run import refined, views_of
from disturbed_predictor import Disturbance, DisturbedPredictor
from PIL import Image

sys.path.insert(0, str(measuring.ROOT / "tools"))
import paths

SET, STEP, FIRST = "courtyard", 4, 2
BETTER, REFINED, COVERED = 3.0, 2.0, 0.97
SECONDS, LONGEST, POINTS = 0.3, 0.05, 1_900_000
SAME = 0.02  # of the depth: a photograph sees a place at so nearly its true depth
SETTINGS = Settings(splats=True)


def predicted(known: truths.Truth, kept: list[int], kind: str) -> tuple[list[int], Prediction]:
    """What is known of the kept photographs, filtered, brought to the truth's frame by its camera centres."""
    if kind == "classic":
        frames = FrameSource.open(known.folder)
        frames.selected = kept
        way = reconstruct(frames, SETTINGS, ClassicPredictor(frames.focals, Monitor()), on_progress=lambda *_: None,
                          cancelled=lambda: False)  # fmt: skip
        (batch,) = way
        indices, prediction = list(batch.indices), batch.prediction
    else:
        predictor = DisturbedPredictor(known, 0, Disturbance.none() if kind == "truth" else None)
        indices, prediction = kept, predictor.predict([known.images[i] for i in kept], kept, SETTINGS)
        filters.apply(prediction, SETTINGS)
    own = invert_rigid(prediction.extrinsics)[:, :, 3]
    fitted = umeyama(own, invert_rigid(known.extrinsics[indices])[:, :, 3])
    rotations = prediction.extrinsics[:, :, :3] @ fitted.rotation.T
    shifts = fitted.scale * prediction.extrinsics[:, :, 3] - rotations @ fitted.translation
    prediction.extrinsics = np.concatenate([rotations, shifts[:, :, None]], axis=-1)
    prediction.depth = (prediction.depth * fitted.scale).astype(np.float32)
    return indices, prediction


def records(prediction: Prediction, indices: list[int]) -> list[CameraRecord]:
    """A camera for each frame, named by its number, whose image fills its canvas."""
    height, width = prediction.depth.shape[1:]
    places = [Placement(0, 0, width, height, width, height)] * len(indices)
    return cameras(prediction, indices, [f"{i:03d}" for i in indices], [""] * len(indices), places)


def seen(known: truths.Truth, view: int, kept: list[int]) -> np.ndarray:
    """(H, W) bool, the view's pixels that some kept photograph sees."""
    height, width = known.depth[view].shape
    one = slice(view, view + 1)
    world = unproject(known.depth[one], known.intrinsics[one], known.extrinsics[one])[0]
    out = np.zeros((height, width), bool)
    for i in kept:
        pixels, depth = project(world, known.intrinsics[i], known.extrinsics[i])
        u, v = (np.nan_to_num(pixels[..., axis], nan=-1.0, posinf=-1.0, neginf=-1.0) for axis in (0, 1))
        inside = (depth > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        at = known.depth[i][v[inside].astype(int), u[inside].astype(int)]
        out[inside] |= np.abs(at - depth[inside]) < SAME * depth[inside]
    return out & (known.depth[view] > 0)


def rendered(
    folder: Path, clouds: list[Any], views: list[Any], samples: int, python: Path, shown: list[str]
) -> dict[str, Any]:
    """What ``splats_render.py`` says of the clouds ``shown`` as dots or splats, its pictures in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [Part(f"_Points_{k}", cloud).save(folder, str(k)) for k, cloud in enumerate(clouds)]
    job = {"parts": parts, "views": [view.to_json() for view in views], "samples": samples, "shown": shown}
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    program = Path(__file__).with_name("splats_render.py")
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(python), str(program), str(folder)], env=environ, capture_output=True, text=True)
    if not (folder / "told.json").exists():
        raise SystemExit(f"Blender ended with {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads((folder / "told.json").read_text("utf-8")))


def judged(file: Path, photo: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """PSNR (dB) over black, laid over it in linear light as Blender does, and coverage, of the pixels ``where``."""
    picture = np.asarray(Image.open(file).convert("RGBA"))
    alpha = picture[..., 3] / 255.0
    over_black = srgb(linear_from_srgb(picture[..., :3]) * alpha[..., None])
    error = np.square(over_black - photo / 255.0)[where].mean()
    return float(-10.0 * np.log10(error)), float((alpha[where] >= 0.5).mean())


def main() -> int:
    options = measuring.options(__doc__, kinds=["truth", "disturbed"], samples=16, pictures=Path)
    python = paths.executable(paths.other_environment("5.3"), "python")
    if not python.exists():
        print("SKIPPED: Blender 5.3 is not set up (tools/versions.py 5.3)")
        return 0
    known, claims = truths.load(SET), measuring.Claims()
    held = list(range(FIRST, len(known), STEP))
    kept = [i for i in range(len(known)) if i not in held]
    views = records(
        Prediction(
            known.depth[held], known.depth[held], known.extrinsics[held], known.intrinsics[held], known.images[held]
        ),
        held,
    )
    for kind in options.kinds:
        indices, prediction = predicted(known, kept, kind)
        cloud = deliver(Batch(indices, prediction), records(prediction, indices), SETTINGS).clouds[0]
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.pictures or Path(temporary)) / kind
            told = rendered(folder, list(split(cloud)), views, options.samples, python, ["dots", "splats"])
            since = time.monotonic()
            photos = views_of(Batch(indices, prediction), indices)
            fitted = refined([[Part("_Points", cloud)]], photos, Monitor(), "cpu")
            took, better = time.monotonic() - since, fitted.parts[0][0].arrays
            rendered(folder, list(split(better)), views, options.samples, python, ["refined"])
            gains, covers, more = [], [], []
            assert cloud.scale is not None
            print(f"{kind}: {len(cloud):,} points, {(cloud.scale[:, 0] > 0).mean():.0%} of them drawn as splats")
            for i in held:
                where = seen(known, i, kept)
                (dots, dots_cover), (splats, cover) = (
                    judged(folder / f"{i:03d}_{name}.png", known.images[i], where) for name in ("dots", "splats")
                )
                refined_db, _ = judged(folder / f"{i:03d}_refined.png", known.images[i], where)
                gains.append(splats - dots)
                more.append(refined_db - splats)
                covers.append(cover)
                times = [told["seconds"][f"{i:03d} {name}"] for name in ("dots", "splats")]
                print(
                    f"  view {i}: dots {dots:.2f} dB, {dots_cover:.2%}, {times[0]:.0f} s; splats {splats:.2f} dB, {cover:.2%}, "
                    f"{times[1]:.0f} s; refined {refined_db:.2f} dB",
                    flush=True,
                )
        print(f"  splats better by {claims.at_least(f'{kind}: dB', float(np.mean(gains)), BETTER, '.2f')} dB")
        print(f"  refined in {fitted.found.steps} steps, {took:.0f} s; better again by ", end="")
        print(f"{claims.at_least(f'{kind}: refined', float(np.mean(more)), REFINED, '.2f')} dB")
        print(f"  coverage {claims.at_least(f'{kind}: coverage', float(np.mean(covers)), COVERED, '.4f')}")
        per = told["build"] / told["points"] * POINTS
        print(f"  {POINTS:,} splats into Blender: {claims.at_most('seconds', per, SECONDS)} s, ", end="")
        print(f"longest step {claims.at_most('step', told['longest'], LONGEST)} s", flush=True)
    return claims.verdict()


if __name__ == "__main__":
    sys.exit(main())
