"""SIGKILL and SIGSTOP at random moments, to Blender or to what it has started, over everything that takes its time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from abuse_paths import ROOT, TESTS
from belongings import state
from da3_blender.core.models import catalogue
from hub import Hub, safetensors
from owners import Shelf, make_shelf
from programs import PATIENCE, Running, generate, inside, pictures
from tally import Campaign, Found

STOP_OVER = 35.0  # seconds after which a stopped process must have been noticed, and all be over
WORK = ("generate", "classic", "stream", "download", "install")
MODEL_BYTES, RATE = 3_000_000, 1_000_000  # bytes; bytes per second
OLD = b"from an earlier run"
PACKAGE_FILES = 400
LONG = {"generate": 7.0, "classic": 14.0, "stream": 7.0, "download": 5.0, "install": 4.0}  # seconds of a calm run


@dataclass(frozen=True)
class Prepared:
    """What all tries share; each has an output, a model folder and an environment of its own."""

    plain: Path
    room: Path
    shelf: Shelf
    hub: Hub

    def close(self) -> None:
        self.hub.__exit__()

    def start(self, work: str, place: Path) -> Running:
        """A run of that kind; started again with the same folder it goes on from what was left."""
        if work == "download":
            words = ("models", "download", "da3-small", "--online")
            return Running(
                place, [ROOT / "tools" / "da3.py", *words], DA3_MODELS=place / "own", HF_ENDPOINT=self.hub.endpoint
            )
        if work == "install":
            return self.shelf.install(place, place / "environment" / "worker")
        if work == "stream":
            words = ("--batch-mode", "da3_streaming", "--batch-size", 4, "--output-folder", place / "out")
            return generate(place, self.plain, *words, DA3_PREDICTOR=f"{TESTS / 'stand_ins.py'}:steady")
        if work == "classic":
            words = ("--model", "classic", "--process-resolution", 112)
            return generate(place, self.room, *words, DA3_PREDICTOR=None)
        return generate(place, self.plain, "--batch-size", 4, DA3_PREDICTOR=f"{TESTS / 'stand_ins.py'}:steady")


def _prepare(place: Path) -> Prepared:
    plain = pictures(place / "plain", 14)
    room = place / "room"
    room.mkdir()
    for path in sorted((ROOT / "sample_images" / "courtyard").iterdir())[:4]:
        (room / path.name).symlink_to(path)
    hub = Hub()
    hub.serve(catalogue.find("da3-small").repo, safetensors(MODEL_BYTES))
    hub.rate = RATE
    return Prepared(plain, room, make_shelf(place, PACKAGE_FILES), hub)


def _play(prepared: Prepared, number: int, dice: random.Random, place: Path) -> Found:
    work = WORK[number % len(WORK)]
    stops = number // len(WORK) % 2 == 1
    (place / "scene.blend").write_bytes(OLD)
    before = state(prepared.plain, prepared.room)
    hit = _hit(prepared, work, stops, dice, place)
    found = Found(hit.what)
    hit.run.judge(hit.run.wait(hit.patience()), found, (0, 1, 2, 3, 5), was_killed=hit.is_blender)
    if not any(path.read_bytes() == OLD for path in place.glob("scene.blend*")):
        found.add("lost", "the scene of an earlier run")
    _again(prepared, work, place, found)
    found.compare(before, state(prepared.plain, prepared.room))
    return found


@dataclass(frozen=True)
class Hit:
    """A run whose process was sent a signal."""

    run: Running
    what: str
    is_blender: bool
    at: float  # on the clock of time.monotonic
    stops: bool

    def patience(self) -> float:
        return STOP_OVER - (time.monotonic() - self.at) if self.stops else PATIENCE


def _hit(prepared: Prepared, work: str, stops: bool, dice: random.Random, place: Path) -> Hit:
    """Start a run and send one of its processes a signal at a random moment; a run that was over before is not counted."""
    share = dice.random()
    to_blender = not stops and dice.random() < 0.5  # nobody is left to notice that Blender itself is stopped
    while True:
        run = prepared.start(work, place)
        moment = share * LONG[work]
        target = _target(run, moment, to_blender, dice)
        if target is not None:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended this moment
                name = _name(target)
                os.kill(target, signal.SIGSTOP if stops else signal.SIGKILL)
                how = "SIGSTOP" if stops else "SIGKILL"
                return Hit(run, f"{work}, {how} to {name} after {moment:.1f} s", to_blender, time.monotonic(), stops)
        run.wait()
        (place / "scene.blend").write_bytes(OLD)
        share /= 2


def _target(run: Running, moment: float, to_blender: bool, dice: random.Random) -> int | None:
    """The process to hit, at that moment or as soon as there is one; None where the run is over."""
    while run.process.poll() is None:
        if time.monotonic() - run.started >= moment:
            others = [run.process.pid]
            if not to_blender:  # a child that still has Blender's own words has not begun: to stop it stops Blender
                others = [pid for pid in run.others() if _is_ours(pid) and _words(pid) != _words(run.process.pid)]
            if others:
                return dice.choice(sorted(others))
        time.sleep(0.01)
    return None


def _is_ours(pid: int) -> bool:
    """Whether the add-on has started a process: Blender itself asks the system's shell for something as it starts."""
    with contextlib.suppress(OSError):
        return Path(os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])).name.startswith(
            ("python", "uv")
        )
    return False


def _words(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""  # it has ended this moment


def _name(pid: int) -> str:
    words = _words(pid).split(b"\0")
    scripts = [Path(os.fsdecode(word)).name for word in words if word.endswith((b".py", b"/uv"))]
    return scripts[0] if scripts else Path(os.fsdecode(words[0])).name


def _again(prepared: Prepared, work: str, place: Path, found: Found) -> None:
    """The same once more, undisturbed: it goes on from what was left, and ends well."""
    run = prepared.start(work, place)
    ended = run.wait()
    run.judge(ended, found)
    results: dict[str, Callable[[], bool]] = {
        "download": lambda: (place / "own" / "da3-small.safetensors").stat().st_size == MODEL_BYTES,
        "install": lambda: "are installed" in ended.out,
    }
    if ended.code == 0 and not results.get(work, lambda: _opens(place))():
        found.add("wrong", "the run after it did not end well")


def _opens(place: Path) -> bool:
    run = inside(place / "look", "look", place / "scene.blend")
    ended = run.wait()
    return ended.code == 0 and '"cameras"' in ended.out


CAMPAIGN = Campaign("signals", 60, 6, _prepare, _play, at_once=6, waits=True)
