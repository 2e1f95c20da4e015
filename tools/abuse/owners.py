"""A person's photographs where the add-on writes: whole runs go over them, and every byte is still there afterwards."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from abuse_paths import boot_uv
from belongings import CASES, state, theirs
from pebble import NAME, wheel
from programs import Running, generate, inside, pictures
from tally import Campaign, Found

CODES = (0, 2, 3, 5)  # done, refused with a sentence, no environment can be there, done with failures
ROOM = 40_000  # bytes for kept runs: one of ours
MORE = 40  # files of the package that is installed


@dataclass(frozen=True)
class Shelf:
    """A folder of one wheel, and the lock file that asks for it."""

    wheels: Path
    lock: Path

    def install(self, place: Path, folder: Path, *words: object) -> Running:
        """``da3 install`` into a folder, offline."""
        command = ("install", "--wheels", self.wheels, "--device", "auto", *words)
        return inside(place, "install", self.lock, boot_uv(), *command, DA3_ENVIRONMENT=folder)


def make_shelf(place: Path, more: int = MORE) -> Shelf:
    data = wheel(more=more)
    (place / "wheels").mkdir()
    (place / "wheels" / NAME).write_bytes(data)
    lock = place / "lock.txt"
    lock.write_text(f"pebble==1.0 --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
    return Shelf(place / "wheels", lock)


def _play(shelf: Shelf, number: int, _dice: random.Random, place: Path) -> Found:
    name = list(CASES)[number]
    put, kind = CASES[name]
    world = place / "world"
    top = world / ("worker" if kind == "install" else "P")
    top.mkdir(parents=True)
    put(top)
    before, found = theirs(world), Found(name)
    source = pictures(place / "room", 6)
    for run in _runs(kind, shelf, place, source, top):
        run.judge(run.wait(), found, CODES)
    found.compare(before, state(world))
    return found


def _runs(kind: str, shelf: Shelf, place: Path, source: Path, top: Path) -> Sequence[Running]:
    """One after the other, since each waits for the one before to be judged."""
    if kind == "install":
        return _lazily(lambda: shelf.install(place, top), lambda: shelf.install(place, top, "--repair"))
    if kind == "export":
        words = ("--output-folder", top, "--output-point-cloud", "on")
        forms = ("text", "binary")
        return _lazily(*(lambda form=form: generate(place, source, *words, "--output-colmap", form) for form in forms))
    if kind == "stream":
        words = ("--batch-mode", "da3_streaming", "--batch-size", 4, "--output-folder", top)
        kept = ("--save-debug", "on")  # the second run has other chunks, and finds those of the first
        return _lazily(
            lambda: generate(place, source, *words, *kept),
            lambda: generate(place, source, *words, "--process-resolution", 42),
        )
    arguments = ("generate", "--input", source, "--output", place / "scene.blend", "--model", "da3-small")
    one = lambda: inside(place, "keep", ROOM, *arguments, "--process-resolution", 56, DA3_KEPT_RUNS=top)  # noqa: E731
    return _lazily(one, one)


def _lazily(*starts):  # type: ignore[no-untyped-def]
    return (start() for start in starts)


CAMPAIGN = Campaign("owners", len(CASES), 4, make_shelf, _play)
