"""What grows with what: each step of the way at four sizes, and the exponent that fits, 1 where twice as much takes twice as long.

    python tools/bench/speed/growth.py [points] [meshes] [merge] [motion] [fusion] [video] [--frames 96]

Runs in the worker's environment, on one thread, by processor time: what else the machine does counts little. Frames are of the walk
along corridors of ``tests/support/long_walk.py``, at 240 x 180; a video has as many frames of 640 x 480.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import av
import cv2
import long_walk
import numpy as np
import torch
from da3_blender.core.alignment.blending import select
from da3_blender.core.frames.resizing import on_canvas
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.motion import detection
from da3_blender.core.output.blender_arrays import cameras
from da3_blender.core.pipeline import deliver
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import ResizeMethod, Settings
from da3_blender.core.surfaces import fused_surface
from figures import AT_MOST, record

LARGER = 5  # times the walk's own 48 x 36 pixels
SIZES = (1 / 8, 1 / 4, 1 / 2, 1)  # of --frames
LINEAR = 1.15  # the exponent of what should grow linearly, with what the steps at the start hide
PIECE = 8  # frames a batch, as in a long run
VIDEO = 640, 480


def main() -> int:
    names = ("points", "meshes", "merge", "motion", "fusion", "video")
    if os.environ.get("OMP_NUM_THREADS") != "1":
        return subprocess.call([sys.executable, *sys.argv], env={**os.environ, **measuring.ONE_THREAD})
    given = measuring.options(__doc__, steps=names, frames=96)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    walk = long_walk.make(given.frames, LARGER)
    conf = np.where(walk.depth > 0, 5, 0).astype(np.float32)
    whole = Prediction(walk.depth, conf, walk.extrinsics, walk.intrinsics, walk.pictures)
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[int], object]] = {
            "points": lambda count: delivered(whole, count, Settings()),
            "meshes": lambda count: delivered(whole, count, Settings(generate_meshes=True)),
            "merge": lambda count: delivered(whole, count, Settings(merge_points=True)),
            "motion": lambda count: moving(whole, count),
            "fusion": lambda count: fused(whole, count),
            "video": lambda count: decoded(video(Path(folder) / f"{count}.mp4", count), count),
        }
        worst = 0.0
        for name in given.steps:
            counts = [max(PIECE, round(given.frames * size)) for size in SIZES]
            ways[name](counts[0])  # what is made once
            took = [processor_seconds(ways[name], count) for count in counts]
            power = float(np.polyfit(np.log(counts), np.log(took), 1)[0])
            held = record(f"{name}, exponent over frames", power, AT_MOST, LINEAR).held
            worst = max(worst, power)
            each = ", ".join(f"{count}: {seconds:.2f} s" for count, seconds in zip(counts, took, strict=True))
            print(
                f"{name:7} {each}; exponent {power:.2f}{'' if held else f' ({AT_MOST} {LINEAR}, MISSED)'}", flush=True
            )
    return int(worst > LINEAR)


def processor_seconds(way: Callable[[int], object], count: int) -> float:
    """Of this process, the better of two runs."""
    best = np.inf
    for _ in range(2):
        started = time.process_time()
        way(count)
        best = min(best, time.process_time() - started)
    return float(best)


def pieces(whole: Prediction, count: int) -> Iterator[tuple[list[int], Prediction]]:
    for start in range(0, count, PIECE):
        rows = list(range(start, min(start + PIECE, count)))
        yield rows, select(whole, np.array(rows))


def delivered(whole: Prediction, count: int, settings: Settings) -> int:
    """All batches as Blender gets them; how many points or vertices."""
    from da3_blender.core.output.voxel_merging import VoxelMerger

    merger, total = VoxelMerger(settings.merge_voxel_size) if settings.merge_points else None, 0
    height, width = whole.depth.shape[1:]
    for rows, prediction in pieces(whole, count):
        places = on_canvas((height, width), [(width, height)] * len(rows), max(width, height), ResizeMethod.UPPER_BOUND)
        names = [str(row) for row in rows]
        made = deliver(
            Batch(rows, prediction), cameras(prediction, rows, names, [""] * len(rows), places), settings, merger
        )
        total += sum(len(part.arrays) for part in made.parts)
    return total


def moving(whole: Prediction, count: int) -> None:
    batches = (Batch(rows, prediction) for rows, prediction in pieces(whole, count))
    for _ in detection.detect(batches, Settings(detect_motion=True), Monitor()):
        pass


def fused(whole: Prediction, count: int) -> int:
    return len(fused_surface.fuse(lambda: pieces(whole, count), Settings(), Monitor()).faces)


def video(path: Path, count: int) -> Path:
    """A clip of that many frames, a key frame every 12, as phones write them; made once."""
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    still = cv2.resize(coarse, VIDEO, interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"g": "12", "x264-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = *VIDEO, "yuv420p"
        for k in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(still, 3 * k, axis=1), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path, count: int) -> None:
    """Every second frame, in order."""
    frames = FrameSource.open(path, stride=2)
    assert sum(1 for _ in frames.stream(frames.selected)) == (count + 1) // 2
    frames.release()


if __name__ == "__main__":
    sys.exit(main())
