"""Segmentation: what leaving people out of the alignment is worth, and what the small network and the tracker cost.

segmentation.py [--seeds 6] [people time]

`people`: somebody walks along in the sample set `walk`, close to the camera; passes err as a model's do and do not agree on
how far that person is. The same passes are joined without masks and with the true ones. Claim: in batches that share no frame,
where surfaces alone have to fit passes together, the trajectory's error (ATE) is at least 30 % lower with masks.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import alignment as bench_alignment
import companion
import numpy as np
import truth as truths
from da3_blender.core import pipeline
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import batching
from da3_blender.core.segmentation.segmenter import Segmenter, SegmentingPredictor
from da3_blender.core.segmentation.yolo import YoloDetector
from da3_blender.core.settings import BatchMode, Settings
from disturbed_predictor import DisturbedPredictor
from figures import AT_MOST, record
from true_detector import TrueDetector

NEAREST, FARTHEST = 0.7, 1.2  # metres between camera and person
MODES = ("no_overlap", "last_frame_overlap", "first_last_overlap")
CLAIMED = {"no_overlap": 0.7}  # most of the ATE without masks that may be left with them


def people(seeds: int) -> bool:
    """Prints each mode's median ATE; whether the claim holds."""
    empty = truths.load("walk")
    truth = companion.companion(empty, truths.load("passer_by"), NEAREST, FARTHEST)
    share = (truth.ids == companion.PERSON).mean()
    print(f"walk with somebody {NEAREST} to {FARTHEST} m ahead: {share:.0%} of the pixels; median of {seeds} seeds")

    def error(predictor: Any, frames: Any, settings: Any) -> float:
        plan = batching.plan(frames.selected, settings)
        scene = bench_alignment._empty(truth, plan)
        for batch in pipeline.reconstruct(
            frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False
        ):
            bench_alignment._put(scene, batch.indices, batch.prediction)
        return bench_alignment.trajectory_error(truth, scene)

    held = True
    for mode in MODES:
        settings = Settings(batch_mode=BatchMode(mode), batch_size=10, process_resolution=252)
        errors = []
        for seed in range(seeds):
            frames = FrameSource.open(truth.folder)
            passes = bench_alignment.Passes(companion.MisjudgingPredictor(truth, seed))
            order = list(
                dict.fromkeys(i for indices in batching.plan(frames.selected, settings) for i in sorted(indices))
            )
            segmenter = Segmenter(TrueDetector(truth, indices=order), frames, settings, Monitor())
            errors.append(
                (
                    error(passes, frames, settings),
                    error(SegmentingPredictor(passes, segmenter), frames, settings),
                    error(DisturbedPredictor(empty, seed), frames, settings),
                )
            )
        without, with_masks, nobody = np.median(errors, axis=0)
        ratio = np.median([e[1] / e[0] for e in errors])
        fits = record(f"{mode}: ATE with masks, of that without", with_masks / without, AT_MOST, CLAIMED.get(mode)).held
        held &= bool(fits)
        print(
            f"  {mode:19s} ATE without masks {without:.3%} of the extent, with {with_masks:.3%}, with nobody there {nobody:.3%}; "
            f"seed by seed {ratio:.2f}{'' if fits else '  FALLS SHORT'}",
            flush=True,
        )
    return held


def cost() -> bool:
    """Prints the time of a frame by its parts."""
    truth = truths.load("passer_by")
    frames, settings = FrameSource.open(truth.folder), Settings()
    started = time.perf_counter()
    detector = YoloDetector(measuring.ROOT / "tests" / "data" / "tiny-seg.pt", settings.seg_confidence, "cpu")
    opened = time.perf_counter()
    segmenter = Segmenter(detector, frames, settings, Monitor())
    segmenter._look_at(frames.selected)
    done = time.perf_counter()
    kept = sum(len(seen.packed) for found in segmenter._seen.values() for seen in found) / len(truth)
    print(
        f"small network: opened in {opened - started:.1f} s (imports included), {1000 * (done - opened) / len(truth):.0f} ms a "
        f"frame of 336x224 on one thread or more of the CPU; {kept / 1000:.1f} KB kept of each"
    )
    return True


def main() -> int:
    options = measuring.options(__doc__, parts=("people", "time"), seeds=6)
    held = True
    if "people" in options.parts:
        held &= people(options.seeds)
    if "time" in options.parts:
        held &= cost()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
