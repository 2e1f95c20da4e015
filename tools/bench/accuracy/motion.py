"""Measures how well and how fast moving things are found, against the original add-on's vote. Exits 1 where a claim is missed.

    python tools/bench/accuracy/motion.py [passer_by] [scenes] [speed] [--seeds 6] [--pictures FOLDER]

The sample set `passer_by` goes through the whole pipeline with a predictor that errs like a model: in one pass, and in
passes of 8 frames. Other scenes, into which figures are drawn, tell whether what holds on one holds on others. Runs in
the worker's environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import cv2
import numpy as np
import truth as truths
from crossing import Walker, crossed, part
from da3_blender.core import pipeline
from da3_blender.core.alignment.blending import join, select
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.motion import detection
from da3_blender.core.prediction import filters
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.settings import BatchMode, Settings
from disturbed_predictor import Disturbance, DisturbedPredictor
from figures import AT_LEAST, AT_MOST, record
from original_motion import original_moving

SIZE = (504, 280)  # of the frames whose time is taken: width, height
THRESHOLD = 0.1


def found(truth: Any, predictor: Any, mode: str = "ignore_batch_size") -> tuple[Any, np.ndarray]:
    """The whole run's prediction and moving mask, in the order of the frames, with passes of 8 where the mode has any."""
    settings = Settings(
        batch_mode=BatchMode(mode), batch_size=8, process_resolution=336, detect_motion=True, motion_threshold=THRESHOLD
    )
    frames = FrameSource.open(truth.folder)
    way = pipeline.reconstruct(frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False)
    batches = list(detection.detect(way, settings, Monitor()))
    whole, indices, moving = batches[0].prediction, list(batches[0].indices), [batches[0].moving]
    for batch in batches[1:]:
        whole = join(whole, batch.prediction)
        indices += batch.indices
        moving.append(batch.moving)
    order = np.argsort(indices)
    return select(whole, order), np.concatenate(moving)[order]


def judged(mask: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Intersection over union of a mask and the truth, and the share of static pixels that it calls moving."""
    return (mask & true).sum() / (mask | true).sum(), (mask & ~true).sum() / (~true).sum()


def original(prediction: Any) -> np.ndarray:
    """The original's mask."""
    return original_moving(prediction.depth, prediction.intrinsics, prediction.extrinsics, THRESHOLD)


def passer_by(seeds: range, pictures: Path | None) -> bool:
    """The claims of accuracy; whether they hold."""
    known = truths.load("passer_by")
    true = np.isin(known.ids, known.moving)
    rows = (
        ("clean, one pass", Disturbance.none(), "ignore_batch_size", 0.85, None),
        ("disturbed, one pass", None, "ignore_batch_size", 0.70, 0.35),
        ("disturbed, passes of 8", None, "last_frame_overlap", 0.70, 0.35),
    )
    kept = True
    print(f"passer_by, median of {len(seeds)} seeds: IoU, static pixels called moving")
    for label, disturbance, mode, least, better in rows:
        ours, theirs = [], []
        for seed in seeds:
            prediction, moving = found(known, DisturbedPredictor(known, seed, disturbance), mode)
            ours.append(judged(moving, true))
            theirs.append(judged(original(prediction), true))
            if pictures and seed == seeds[0]:
                save(pictures / f"{label.replace(', ', '_').replace(' ', '_')}.png", prediction.images, moving, true)
        (iou, wrong), (other, other_wrong) = np.median(ours, axis=0), np.median(theirs, axis=0)
        fine = iou >= least and wrong < 0.005 and (better is None or iou >= other + better)
        kept &= bool(fine)
        low = min(o[0] for o in ours)
        record(f"passer_by, {label}: IoU", iou, AT_LEAST)
        print(
            f"  {label:24s} {iou:.3f} (lowest {low:.3f}), {wrong:.2%}; the original's vote {other:.3f}, {other_wrong:.1%}"
            f"{'' if fine else '   MISSED'}",
            flush=True,
        )
    return kept


def scenes() -> dict[str, tuple[Any, np.ndarray]]:
    """Other scenes, looked at while the constants were chosen: truth and images by what is special about them."""
    courtyard = truths.load("courtyard")
    two = [Walker((-3.0, -1.0), (3.0, -0.5)), Walker((2.5, 1.5), (-2.0, 1.0), 0.7, ball=True)]
    walk = part(truths.load("walk"), range(8, 28))
    ahead = [camera[:2, 3] + 3.0 * camera[:2, 2] for camera in walk.camera_to_world[[0, -1]]]
    return {
        "two figures, wide arc": crossed(courtyard, two),
        "camera that stands still": crossed(courtyard, [Walker((-3.0, -1.0), (-0.5, 3.0))], still=True),
        "walking behind someone": crossed(walk, [Walker(tuple(ahead[0]), tuple(ahead[1]), 1.7)]),
    }


def other_scenes(seeds: range, pictures: Path | None) -> None:
    """The same on the other scenes; no claim is made of them."""
    print("other scenes, one pass, clean and disturbed")
    for label, (known, images) in scenes().items():
        true = np.isin(known.ids, known.moving)
        line = []
        for kind, disturbance in (("clean", Disturbance.none()), ("disturbed", None)):
            ours, theirs = [], []
            for seed in seeds:
                prediction = DisturbedPredictor(known, seed, disturbance).predict(
                    images, range(len(images)), Settings()
                )
                prediction.conf[filters.edges(prediction.depth)] = 0.0
                moving = detection.find(prediction, THRESHOLD)[1]
                ours.append(judged(moving, true))
                theirs.append(judged(original(prediction), true))
                if pictures and seed == seeds[0]:
                    save(pictures / f"{label.replace(', ', '_').replace(' ', '_')}_{kind}.png", images, moving, true)
            (iou, wrong), other = np.median(ours, axis=0), np.median(theirs, axis=0)[0]
            line.append(f"{kind} {iou:.3f}, {wrong:.2%} (original {other:.3f})")
        print(f"  {label:26s} {'; '.join(line)}", flush=True)


def sequence(count: int) -> Any:
    """A disturbed prediction of ``count`` frames of ``SIZE``: the courtyard with two figures, over and over."""
    known, images = scenes()["two figures, wide arc"]
    given = DisturbedPredictor(known).predict(images, range(len(images)), Settings())
    scale = np.array([[SIZE[0] / known.depth.shape[2]], [SIZE[1] / known.depth.shape[1]], [1.0]])
    depth, conf = (
        np.stack([cv2.resize(one, SIZE, interpolation=cv2.INTER_NEAREST) for one in values])
        for values in (given.depth, given.conf)
    )
    pictures = np.zeros((*depth.shape, 3), np.uint8)
    small = replace(given, depth=depth, conf=conf, intrinsics=given.intrinsics * scale, images=pictures)
    return select(small, np.arange(count) % len(known))


def timed(prediction: Any, size: int) -> float:
    """Seconds that ``detect`` takes for a prediction in batches of ``size``; the better of two runs."""
    best = np.inf
    for _ in range(2):
        rows = [list(range(start, min(start + size, len(prediction)))) for start in range(0, len(prediction), size)]
        batches = [Batch(part, select(prediction, part)) for part in rows]
        started = time.perf_counter()
        for _batch in detection.detect(
            iter(batches), Settings(detect_motion=True, motion_threshold=THRESHOLD), Monitor()
        ):
            pass
        best = min(best, time.perf_counter() - started)
    return best


def speed() -> bool:
    """The claims of speed, in a process whose libraries have one thread each; whether they hold.

    The original's way hands its many small matrix products to all cores, where they can take twenty times as long while
    another program is busy: that would not be its arithmetic.
    """
    return subprocess.call([sys.executable, __file__, "--here"], env={**os.environ, **measuring.ONE_THREAD}) == 0


def speed_here() -> bool:
    """The claims of speed in this process."""
    cv2.setNumThreads(1)
    forty = sequence(40)
    theirs = measuring.seconds(lambda: original(forty))
    ours, batched = timed(forty, 40), timed(forty, 10)
    print(
        f"40 frames of {SIZE[0]}x{SIZE[1]}: {ours:.2f} s in one batch, {batched:.2f} s in batches of 10; the original's way "
        f"{theirs:.1f} s ({theirs / 1560 * 1000:.1f} ms a pair), {theirs / ours:.0f} and {theirs / batched:.0f} times longer"
    )
    many = sequence(160)
    growth = timed(many, 160) / ours, timed(many, 10) / batched
    print(f"160 frames take {growth[0]:.1f} times as long in one batch, {growth[1]:.1f} times in batches of 10")
    fine = record("times faster than pairwise", theirs / max(ours, batched), AT_LEAST, 15).held
    fine &= record("160 frames, times 40 frames", max(growth), AT_MOST, 4.5).held
    if not fine:
        print("MISSED: at least 15 times, and at most 4.5 times")
    return fine


def save(path: Path, images: np.ndarray, mask: np.ndarray, true: np.ndarray) -> None:
    """All frames in one picture: green where the mask is right, red where it is too much, blue where it lacks."""
    shown = images.astype(np.float32)
    for where, colour in ((mask & true, (0, 255, 0)), (mask & ~true, (255, 0, 0)), (~mask & true, (0, 0, 255))):
        shown[where] = 0.4 * shown[where] + 0.6 * np.array(colour, np.float32)
    rows = [np.concatenate(list(shown[k : k + 4]), axis=1) for k in range(0, len(shown) - len(shown) % 4, 4)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def main() -> int:
    options = measuring.options(__doc__, parts=("passer_by", "scenes", "speed"), seeds=6, pictures=Path, here=False)
    if options.here:
        return 0 if speed_here() else 1
    kept = True
    if "passer_by" in options.parts:
        kept &= passer_by(range(options.seeds), options.pictures)
    if "scenes" in options.parts:
        other_scenes(range(min(3, options.seeds)), options.pictures)
    if "speed" in options.parts:
        kept &= speed()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
