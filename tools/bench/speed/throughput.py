"""Whether a card waits for us: a model that takes a fixed time a frame, and all that a run does beside it.

    python tools/bench/speed/throughput.py [batches streaming meshes motion merge] [--frames 300] [--milliseconds 20]
        [--video] [--cores 2] [--turns 3] [--older TREE]

By default ``batches`` and ``streaming``. The pictures are of 1920 x 1080, JPEG or one video. Frames a second of a whole job through
the worker's own code (points for Blender and the kept run written), and for how much of the time from the first pass to the last the
model had nothing to do. ``--older``: another checkout's code is measured in turns with this one's (``git worktree add``). Each run
is a process of its own; medians of ``--turns``. With the time of a frame 0 it tells what all of it takes without a model.
"""

from __future__ import annotations

import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import av
import long_walk
import numpy as np
import throughput_run
from figures import AT_LEAST, AT_MOST, record
from PIL import Image

WIDTH, HEIGHT, RATE = 1920, 1080, 30
QUALITY = 92
MANY_CORES = 4  # that the claim of frames a second is made for
FRAMES_A_SECOND, MOST_WAITING, TIMES_FASTER = 45.0, 0.10, 1.8


def main() -> int:
    given = measuring.options(
        __doc__, kinds=tuple(throughput_run.KINDS), frames=300, milliseconds=20.0, video=False, cores=os.cpu_count() or 1,
        turns=3, older=Path,
    )  # fmt: skip
    kinds = [k for k in given.kinds if k in ("batches", "streaming") or len(given.kinds) < len(throughput_run.KINDS)]
    claims = measuring.Claims()
    with tempfile.TemporaryDirectory() as folder:
        pictures = make(Path(folder), given.frames, given.video)
        for kind in kinds:
            measure(claims, pictures, kind, given)
    return claims.verdict()


def measure(claims: measuring.Claims, pictures: Path, kind: str, given) -> None:  # type: ignore[no-untyped-def]  # argparse's
    trees = {"this": measuring.ROOT, **({"older": given.older} if given.older else {})}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for _ in range(given.turns):
        for name, tree in trees.items():
            runs[name].append(one(tree, pictures, kind, given.milliseconds / 1e3, given.cores))
    of = {name: {key: statistics.median(r[key] for r in found) for key in found[0]} for name, found in runs.items()}
    speeds = {name: found["frames"] / found["seconds"] for name, found in of.items()}
    for name, found in of.items():
        print(
            f"{kind}, {name} tree: {speeds[name]:.1f} frames/s, the model waits {found['waiting']:.0%} of its time; "
            f"{found['processor'] / found['frames'] * 1e3:.1f} ms of processor a frame ({found['frames']:.0f} frames, "
            f"{found['passes']:.0f} passes, {found['points']:.0f} points, {given.cores} cores)",
            flush=True,
        )
    own, what = of["this"], f"{kind}, {'video' if given.video else 'JPEG'}"
    record(f"{what}: ms of processor a frame", own["processor"] / own["frames"] * 1e3, AT_MOST)
    if kind == "batches" and given.cores >= MANY_CORES:
        print(f"frames/s {claims.at_least(f'{what}: frames/s', speeds['this'], FRAMES_A_SECOND, '.1f')}")
        print(f"waiting {claims.at_most(f'{what}: share that the model waits', own['waiting'], MOST_WAITING, '.2f')}")
    else:
        record(f"{what}: frames/s", speeds["this"], AT_LEAST)
        record(f"{what}: share that the model waits", own["waiting"], AT_MOST)
    if given.older:
        ratio, name = speeds["this"] / speeds["older"], f"{what}: times the older tree's frames/s"
        print(f"{name}: {claims.at_least(name, ratio, TIMES_FASTER, '.2f') if kind == 'batches' else f'{ratio:.2f}'}")


def one(tree: Path, pictures: Path, kind: str, seconds: float, cores: int) -> dict[str, float]:
    """A job in a process of its own, on that many cores where the system can hold it to them."""
    command = [sys.executable, str(Path(throughput_run.__file__)), str(tree), str(pictures), kind, str(seconds)]
    if hasattr(os, "sched_getaffinity"):
        chosen = sorted(os.sched_getaffinity(0))[:cores]
        command = ["taskset", "-c", ",".join(map(str, chosen)), *command]
    of_worker = runpy.run_path(str(tree / "core" / "worker" / "life" / "variables.py"))["worker_variables"]
    with tempfile.TemporaryDirectory() as temp:
        environ = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **of_worker(Path(temp))}
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def make(folder: Path, count: int, video: bool) -> Path:
    """The walk's pictures, enlarged and grained as a camera's are, as files or as a video; a lap is repeated."""
    walk, grain = long_walk.make(throughput_run.LAP, size=4), np.random.default_rng(0)
    lap = []
    for picture in walk.pictures:
        large = np.asarray(Image.fromarray(picture).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
        lap.append(np.clip(large + grain.integers(-6, 7, large.shape, np.int16), 0, 255).astype(np.uint8))
    if video:
        path = folder / "walk.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                "libx264", rate=RATE, options={"preset": "fast", "x264-params": "log-level=none"}
            )
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for k in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(lap[k % len(lap)], format="rgb24")))
            container.mux(stream.encode(None))
        return path
    pictures = folder / "walk"
    pictures.mkdir()
    for i, picture in enumerate(lap[:count]):
        Image.fromarray(picture).save(pictures / f"{i:05d}.jpg", quality=QUALITY)
    for i in range(len(lap), count):
        os.link(pictures / f"{i % len(lap):05d}.jpg", pictures / f"{i:05d}.jpg")
    return pictures


if __name__ == "__main__":
    sys.exit(main())
