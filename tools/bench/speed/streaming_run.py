"""What a long run costs beside the model, and whether it bears interruptions: DA3 Streaming through the real worker.

    python tools/bench/speed/streaming_run.py [--frames 2000] [memory cost pace kills]     all parts by default

memory  peak of the worker at 2,000 frames against 400, and how the time of a frame grows; low resolution
cost    processor time of a frame of 504 x 280, point clouds on disk and the run kept for Rebuild included
pace    the time left that is told, against the time that it took
kills   SIGKILL at ten random moments: the same cameras, and what was whole is not computed again
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import long_stand_in
import long_walk
import model_clock
import numpy as np
import truth
from da3_blender.core.errors import DA3Error
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.core.worker import protocol
from da3_blender.core.worker.client import WorkerClient
from da3_blender.core.worker.server import generate_job
from da3_blender.core.worker.server.loaded_model import LoadedModel
from da3_blender.core.worker.server.progress import Progress
from da3_blender.streaming import run as streaming_run
from da3_blender.streaming.time_left import TimeLeft
from figures import AT_MOST, record
from PIL import Image

CHUNK = 20
KILLS = 10
MOST_MEMORY, MOST_GROWTH = 1.1, 1.1  # times what 400 frames take
MOST_MILLISECONDS = 60.0
MOST_WRONG = 0.2  # of the time left
SLOWER = "0.02"  # seconds that a frame takes, so that some of the kills hit a pass
SAME = 1e-6


@dataclass
class Result:
    """What was seen of a job."""

    seconds: float = 0.0  # from the first chunk on
    processor: float = 0.0  # all threads' seconds of it, the model's left out
    peak: int = 0  # bytes


class Killed(Exception):
    """As it was wanted."""


def main() -> int:
    parts: dict[str, Callable[[int], bool]] = {"memory": memory, "cost": cost, "pace": pace, "kills": kills}
    given = measuring.options(__doc__, parts=tuple(parts), frames=2000)
    held = [parts[part](given.frames) for part in given.parts]  # all of them, whatever the first ones say
    return 0 if all(held) else 1


def memory(frames: int) -> bool:
    few, many = (run_lap(count, 252, 140) for count in (400, frames))
    larger = many.peak / few.peak
    slower = (many.processor / frames) / (few.processor / 400)
    print(
        f"{frames} frames against 400: peak {many.peak / 1e6:.0f} and {few.peak / 1e6:.0f} MB ({larger:.3f}x, wanted"
        f" {MOST_MEMORY}); {many.processor / frames * 1e3:.1f} and {few.processor / 400 * 1e3:.1f} ms a frame"
        f" ({slower:.3f}x, wanted {MOST_GROWTH})",
        flush=True,
    )
    rows = [
        record(f"peak memory of {frames} frames, times that of 400", larger, AT_MOST, MOST_MEMORY),
        record(f"processor time a frame of {frames}, times that of 400", slower, AT_MOST, MOST_GROWTH),
    ]
    return all(row.held for row in rows)


def cost(_frames: int) -> bool:
    count = 400
    made = run_lap(count, 504, 280, kept=True)
    each = made.processor / count * 1e3
    print(
        f"504 x 280: {each:.1f} ms of processor a frame beside the model (wanted {MOST_MILLISECONDS:.0f})", flush=True
    )
    return record("ms of processor a frame beside the model", each, AT_MOST, MOST_MILLISECONDS).held


def pace(_frames: int) -> bool:
    count = 300
    told = [("that comes back again and again", pace_of(count, 40)), ("that never comes back", pace_of(count, count))]
    for path, wrong in told:
        print(
            f"time left on a path {path}: {wrong[0]:+.0%} off after three chunks, {wrong[1]:+.0%} {wrong[2]:+.0%} {wrong[3]:+.0%}"
            f" after a quarter, a half and three quarters of the time (wanted {MOST_WRONG:.0%})",
            flush=True,
        )
    return all(abs(one) <= MOST_WRONG for _, wrong in told for one in wrong)


def pace_of(count: int, lap: int) -> list[float]:
    """How wrong the time left is, as a part of what it was: after three chunks, and at the quarters.

    In this process, by a clock of its own: processor time, and for each frame what da3-small takes on one core. Another
    program that takes the processor for a while would be no error of the estimate.
    """
    clock = model_clock.Clock()
    told, batches = [], []

    def emit(event: Any) -> None:
        if isinstance(event, protocol.Progress) and event.remaining is not None:
            told.append((clock(), event.remaining))
        elif isinstance(event, protocol.BatchReady):
            batches.append(clock())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job").mkdir()
        os.environ |= {"DA3_PASS_LOG": str(folder / "log"), "DA3_LAP": str(lap)}
        frames = pictures(folder / "frames", count, 252, 140, lap)
        wanted = settings_for(frames, 252).to_json() | {"output_folder": str(folder)}
        request = protocol.Generate(1, str(folder / "job"), wanted, name)
        with (
            mock.patch.object(generate_job, "Progress", partial(Progress, clock=clock)),
            mock.patch.object(streaming_run, "TimeLeft", partial(TimeLeft, clock)),
        ):
            started = clock()
            generate_job.generate(request, LoadedModel(clock.opened), emit, lambda: False)
            end = clock()
    found = []
    for moment in (batches[2], *(started + (end - started) * quarter for quarter in (0.25, 0.5, 0.75))):
        at, left = next((at, left) for at, left in told if at >= moment)
        found.append(left / (end - at) - 1.0)
    return found


def kills(_frames: int) -> bool:
    scene = truth.load("walk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = settings_for(scene.folder, 252)
        whole = run(settings, "walk", folder / "one", {"DA3_PASS_SECONDS": SLOWER})
        chance, lives = random.Random(0), Lives(folder / "two")
        done = False
        while not done:  # a life is long enough to finish a chunk or two, mostly
            done = lives.live(settings, chance.uniform(0.05, 0.25) * whole.seconds if lives.kills < KILLS else None)
        poses = [np.loadtxt(folder / one / "camera_poses.txt") for one in ("one", "two")]
        off = float(np.abs(poses[0] - poses[1]).max())
    print(
        f"killed {lives.kills} times ({lives.in_pass} in a pass of the model): cameras differ by {off:.1e} (wanted {SAME:.0e}),"
        f" {lives.passes} passes made, {lives.lost} lost in the middle, {lives.twice} made again though they were whole on"
        " disk (wanted 0)",
        flush=True,
    )
    return lives.kills >= KILLS and off <= SAME and lives.twice == 0


class Lives:
    """Runs that are killed, and what each of them did that one before had done already."""

    def __init__(self, folder: Path):
        self.kills = self.in_pass = self.passes = self.lost = self.twice = 0
        self._folder = folder
        self._log = folder.with_suffix(".passes")
        self._whole: set[tuple[int, ...]] = set()  # passes whose result was on disk when a life began
        self._loops = 0  # looked at by then

    def live(self, settings: Settings, seconds: float | None) -> bool:
        """One life, killed after so many seconds from its first report on; whether it came to its end."""
        self._log.write_text("")
        done = True
        try:
            slow = {"DA3_PASS_LOG": str(self._log), "DA3_PASS_SECONDS": SLOWER}
            run(settings, "walk", self._folder, slow, kill_after=seconds)
        except Killed:
            self.kills += 1
            done = False
        self._look_back(done)
        return done

    def _look_back(self, done: bool) -> None:
        notes = [json.loads(line) for line in self._log.read_text().splitlines()]
        begun = [tuple(note["begun"]) for note in notes if "begun" in note]
        self.passes += len(begun)
        self.twice += len(self._whole.intersection(begun))
        if done:
            return
        self.in_pass += "begun" in notes[-1] if notes else 0
        manifest = json.loads((self._folder / "streaming" / "manifest.json").read_text())
        chunks = {tuple(chunk["planned"]) for chunk in manifest["chunks"]}
        joint = [one for one in begun if list(one) != list(range(one[0], one[-1] + 1))]
        finished = joint[: len(manifest["loops"]) - self._loops]  # they are looked at one after another
        self._loops = len(manifest["loops"])
        kept = chunks | set(finished)
        self.lost += sum(one not in kept for one in begun)
        self._whole |= kept


def run_lap(count: int, width: int, height: int, kept: bool = False) -> Result:
    """``count`` frames of that size, all files written, loops closed; ``kept``: for Rebuild too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = pictures(folder / "frames", count, width, height)
        return run(settings_for(frames, width), "lap", folder / "out", {}, kept=folder / "kept" if kept else None)


def settings_for(frames: Path, resolution: int) -> Settings:
    return Settings(
        input=str(frames), model="classic", batch_mode=BatchMode.DA3_STREAMING, batch_size=CHUNK,
        process_resolution=resolution,
    )  # fmt: skip


def pictures(folder: Path, count: int, width: int, height: int, lap: int = long_stand_in.LAP) -> Path:
    folder.mkdir()
    for i, picture in enumerate(long_walk.make(lap, size=1).pictures):
        Image.fromarray(np.ascontiguousarray(picture)).resize((width, height)).save(folder / f"{i:05d}.jpg")
    for i in range(lap, count):
        os.link(folder / f"{i % lap:05d}.jpg", folder / f"{i:05d}.jpg")
    return folder


def run(
    settings: Settings,
    model: str,
    output: Path,
    environment: Mapping[str, str],
    kill_after: float | None = None,
    kept: Path | None = None,
) -> Result:
    """A job in a worker of its own; ``kill_after``: seconds from its first word on the chunks; ``kept``: see the worker."""
    output.mkdir(exist_ok=True)
    log = output.with_suffix(".passes")
    client = WorkerClient(
        Path(sys.executable), predictor=f"{measuring.SUPPORT / 'long_stand_in.py'}:{model}",
        environment={"DA3_PASS_LOG": str(log), **measuring.ONE_THREAD, **environment},
    )  # fmt: skip
    values = settings.to_json() | {"output_folder": str(output)}
    seen, started, before = Result(), 0.0, 0.0
    try:
        job = client.generate(values, output, kept=(kept, sys.maxsize) if kept else None)
        for event in events(client):
            now = time.monotonic()
            if isinstance(event, protocol.Progress) and event.stage == "streaming" and not started:
                started, before = now, measuring.processor_seconds(client.pid)
            elif isinstance(event, protocol.BatchReady):
                for part in event.parts:  # Blender would have them in memory by now
                    for file in part["files"].values():
                        (client.folder(job) / file).unlink()
            elif isinstance(event, protocol.Failed):
                raise DA3Error(event.message)
            elif isinstance(event, protocol.Done):
                seen.seconds = now - started
                seen.processor = measuring.processor_seconds(client.pid) - before - of_model(log)
                seen.peak = event.report["peak_memory"]["worker"]
                return seen
            if kill_after is not None and started and now - started > kill_after:
                client.kill()
                raise Killed
    finally:
        client.close()
    raise DA3Error("the worker ended without a word")


def events(client: WorkerClient) -> Iterator[Any]:
    """Forever; None where there was none for a moment."""
    while True:
        yield from client.wait(0.02) or [None]


def of_model(log: Path) -> float:
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    return sum(note.get("processor", 0.0) for note in notes)


if __name__ == "__main__":
    sys.exit(main())
