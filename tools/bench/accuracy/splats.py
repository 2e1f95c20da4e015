"""Measures dots, splats and refined splats of the same points: held-out views, rendered by Blender 5.3.

    python tools/bench/accuracy/splats.py [truth] [disturbed] [classic] [castle] [kitchen] [--photos FOLDER] [--samples 16] [--unrefined] [--pictures FOLDER]

Of `courtyard` every fourth photograph is left out and rendered from the others' points through its true camera. PSNR counts
the pixels that some other photograph sees (by the true depth), over black; coverage the same pixels, where the picture is
opaque by half. Of the photographs without truth, `castle` and `kitchen`, all take part in finding the cameras and every fifth
one that has a camera none in the depth stage; counted are the pixels that the others' points reach (as in real.py), PSNR after
one gain per channel.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import numpy as np
import real
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
from da3_blender.core.predictors.classic.stereo.depths import dense
from da3_blender.core.settings import Settings
from da3_blender.core.splats.aligning import align
from da3_blender.core.splats.filling import fill
from da3_blender.core.splats.run import refined, views_of
from disturbed_predictor import Disturbance, DisturbedPredictor
from PIL import Image

sys.path.insert(0, str(measuring.ROOT / "tools"))
import paths

SET, STEP, FIRST = "courtyard", 4, 2
OF_COURTYARD = ("truth", "disturbed", "classic")
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
    bring(prediction, known.extrinsics[indices])
    return indices, prediction


def bring(prediction: Prediction, extrinsics: np.ndarray) -> None:
    """Bring what was predicted to the frame of its true cameras, by their centres and directions.

    The centres alone lie nearly on a line, about which half a millimetre turns the scene by a third of a pixel.
    """
    own, true = (invert_rigid(one)[:, :, 3] for one in (prediction.extrinsics, extrinsics))
    length = float(np.sqrt(np.square(true - true.mean(axis=0)).sum(axis=1).mean()))
    first = umeyama(own, true)
    fitted = umeyama(_stands(prediction.extrinsics, length / first.scale), _stands(extrinsics, length))
    moved = fitted.apply(prediction)
    prediction.extrinsics, prediction.depth = moved.extrinsics, moved.depth


def _stands(extrinsics: np.ndarray, length: float) -> np.ndarray:
    """(4 N, 3), each camera's centre and the ends of its axes."""
    to_world = invert_rigid(extrinsics)
    return np.concatenate([to_world[:, :, 3], *(to_world[:, :, 3] + length * to_world[:, :, k] for k in range(3))])


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


def judged(file: Path, photo: np.ndarray, where: np.ndarray, *, gain: bool) -> tuple[float, float]:
    """PSNR (dB) over black, laid over it in linear light as Blender does, and coverage, of the pixels ``where``; ``gain``: after
    one a channel, as photographs differ in exposure."""
    picture = np.asarray(Image.open(file).convert("RGBA"))
    alpha = picture[..., 3] / 255.0
    over_black = srgb(linear_from_srgb(picture[..., :3]) * alpha[..., None])
    if gain:
        some = where & (alpha >= 0.5)
        over_black *= np.median(photo[some] / 255.0 / np.maximum(over_black[some], 1.0 / 255.0), axis=0)
    error = np.square(over_black - photo / 255.0)[where].mean()
    return float(-10.0 * np.log10(error)), float((alpha[where] >= 0.5).mean())


@dataclass
class Case:
    """Points of some photographs, and others that were held out: by their frames' numbers, ``photos`` (H, W, 3) uint8 and
    ``where`` (H, W) bool, the pixels that count."""

    indices: list[int]
    prediction: Prediction
    views: list[CameraRecord]
    photos: dict[int, np.ndarray]
    where: dict[int, np.ndarray]
    true: np.ndarray | None = None  # (N, 3, 4), the points' cameras, where they are known


def of_courtyard(kind: str) -> Case:
    """The points that ``kind`` gives of `courtyard`."""
    known = truths.load(SET)
    held = list(range(FIRST, len(known), STEP))
    kept = [i for i in range(len(known)) if i not in held]
    true = (known.depth[held], known.depth[held], known.extrinsics[held], known.intrinsics[held], known.images[held])
    where = {i: seen(known, i, kept) for i in held}
    photos = {i: known.images[i] for i in held}
    indices, prediction = predicted(known, kept, kind)
    return Case(indices, prediction, records(Prediction(*true), held), photos, where, known.extrinsics[indices])


def of_photographs(folder: Path) -> Case:
    """What ``classic`` makes of a folder."""
    found = real.photographed(folder, SETTINGS.process_resolution)
    held = np.flatnonzero(found.sfm.registered)[real.HELD]
    fewer = real.without(found.sfm, held)
    depth, conf, sky = dense(found.canvas, found.valid, found.intrinsics, fewer, Monitor())
    conf[sky] = 0.0
    kept = np.flatnonzero(fewer.registered)

    def of(rows: np.ndarray) -> Prediction:
        parts = (depth, conf, found.sfm.extrinsics, found.intrinsics, found.canvas, sky)
        return Prediction(*(part[rows].copy() for part in parts))

    prediction = of(kept)
    filters.apply(prediction, SETTINGS)
    seen_points = prediction.conf > 0
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)[seen_points]
    colors = prediction.images[seen_points].astype(np.float64)
    where = {
        int(i): real.draw(points, colors, found.intrinsics[i], found.sfm.extrinsics[i], depth.shape[1:])[1]
        & found.valid[i]
        for i in held
    }
    photos = {int(i): found.canvas[i] for i in held}
    numbers = [int(i) for i in held]
    return Case([int(i) for i in kept], prediction, records(of(held), numbers), photos, where)


def fitted(case: Case) -> tuple[Any, str]:
    """The case's points as Refine Splats leaves them, and what it says of its work. The case's own are changed."""
    since = time.monotonic()
    batch = Batch(case.indices, case.prediction)
    given = case.prediction.extrinsics
    moved = align([batch], Monitor(), "cpu")
    bring(batch.prediction, given if case.true is None else case.true)
    filled = fill([batch], Monitor()) / batch.prediction.depth.size
    aligned = deliver(batch, records(batch.prediction, case.indices), SETTINGS).clouds[0]
    better = refined([[Part("_Points", aligned)]], views_of(batch, case.indices), Monitor(), "cpu")
    took = time.monotonic() - since
    told = f"{'aligned, ' if moved else ''}{filled:.1%} filled, refined in {better.found.steps} steps, {took:.0f} s"
    return better.parts[0][0].arrays, told


def measure(kind: str, case: Case, claims: measuring.Claims, folder: Path, options: Any, python: Path) -> None:
    """Render the held-out views of a case, and say how good they are."""
    cloud = deliver(Batch(case.indices, case.prediction), records(case.prediction, case.indices), SETTINGS).clouds[0]
    assert cloud.scale is not None
    drawn = (cloud.scale[:, 0] > 0).mean()
    told = rendered(folder, list(split(cloud)), case.views, options.samples, python, ["dots", "splats"])
    found: dict[str, list[tuple[float, float]]] = {"dots": [], "splats": []}
    if not options.unrefined:
        better, work = fitted(case)
        rendered(folder, list(split(better)), case.views, options.samples, python, ["refined"])
        found["refined"] = []
    print(f"{kind}: {len(cloud):,} points, {drawn:.0%} of them drawn as splats")
    for i, photo in case.photos.items():
        for name, figures in found.items():
            file = folder / f"{i:03d}_{name}.png"
            figures.append(judged(file, photo, case.where[i], gain=case.true is None))
        told_of = (
            f"{name} {db:.2f} dB, {cover:.2%}"
            for name, (db, cover) in ((name, all_[-1]) for name, all_ in found.items())
        )
        times = [told["seconds"][f"{i:03d} {name}"] for name in ("dots", "splats")]
        print(f"  view {i}: {'; '.join(told_of)}; dots in {times[0]:.0f} s, splats in {times[1]:.0f} s", flush=True)
    means = {name: np.mean(figures, axis=0) for name, figures in found.items()}
    print("  mean: " + "; ".join(f"{name} {db:.2f} dB, {cover:.2%}" for name, (db, cover) in means.items()))
    if case.true is None:
        print(f"  of their pixels {np.mean([one.mean() for one in case.where.values()]):.1%} count")
    gain = float(means["splats"][0] - means["dots"][0])
    print(f"  splats better by {claims.at_least(f'{kind}: dB', gain, BETTER, '.2f')} dB")
    if "refined" in means:
        more = float(means["refined"][0] - means["splats"][0])
        print(f"  {work}; better again by {claims.at_least(f'{kind}: refined', more, REFINED, '.2f')} dB")
    print(f"  coverage {claims.at_least(f'{kind}: coverage', float(means['splats'][1]), COVERED, '.4f')}")
    per = told["build"] / told["points"] * POINTS
    print(f"  {POINTS:,} splats into Blender: {claims.at_most('seconds', per, SECONDS)} s, ", end="")
    print(f"longest step {claims.at_most('step', told['longest'], LONGEST)} s", flush=True)


def main() -> int:
    options = measuring.options(
        __doc__, kinds=["truth", "disturbed"], photos=str(real.PHOTOS), samples=16, unrefined=False, pictures=Path
    )
    python = paths.executable(paths.other_environment("5.3"), "python")
    if not python.exists():
        print("SKIPPED: Blender 5.3 is not set up (tools/versions.py 5.3)")
        return 0
    claims = measuring.Claims()
    for kind in options.kinds:
        photographs = Path(options.photos) / kind
        if kind not in OF_COURTYARD and not photographs.is_dir():
            print(f"SKIPPED: no photographs in '{photographs}'", flush=True)
            continue
        case = of_courtyard(kind) if kind in OF_COURTYARD else of_photographs(photographs)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.pictures or Path(temporary)) / kind
            measure(kind, case, claims, folder, options, python)
    return claims.verdict()


if __name__ == "__main__":
    sys.exit(main())
