"""Trouble that comes when the work is done, each of the twelve of old: the scene is there and whole, and nothing of before is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from abuse_paths import TESTS
from programs import Running, generate, inside, pictures
from tally import Campaign, Found

FAILURES, FAILED = 5, 1  # exit codes: saved, with failures; not saved
IMAGES = 6
OLD = b"from an earlier run"
SPOILERS = TESTS / "late_failures.py"


@dataclass(frozen=True)
class Late:
    """One kind of trouble.

    Parameters
    ----------
    words : what is asked for; ``{disk}`` is a small disk that can be filled
    spoiler : of ``tests/late_failures.py``; what it spoils is the disk
    old : a file of an earlier run that the disk has
    name : of the input's folder
    """

    code: int
    words: tuple[str, ...] = ()
    spoiler: str = ""
    old: str = ""
    name: str = "wall"
    output: str = "{place}/scene.blend"


CASES = {
    "output folder deleted": Late(FAILURES, ("--output-folder", "{disk}/out"), "gone"),
    "output folder full": Late(FAILURES, ("--output-folder", "{disk}", "--output-debug-images", "on"), "full"),
    "a picture named {x}": Late(0, ("--render", "{place}/a{{x}}.png")),
    "a picture named {blend_name}": Late(0, ("--render", "{place}/a{{blend_name}}.png")),
    "an input name of 240 characters": Late(0, ("--output-folder", "{place}/out"), name="n" * 240),
    "two runs into one folder": Late(0, ("--output-folder", "{place}/out", "--output-debug-images", "on")),
    "a name in Latin-1": Late(0, ("--output-folder", "{place}/out"), name=os.fsdecode(b"caf\xe9")),
    "a backslash, with meshes": Late(0, ("--generate-meshes", "on", "--output-folder", "{place}/out"), name="a\\b"),
    "no room for the picture": Late(FAILURES, ("--render", "{disk}/picture.png"), "full", "picture.png"),
    "no room for the report": Late(FAILURES, ("--report", "{disk}/report.json"), "full", "report.json"),
    "nothing to fuse": Late(FAILURES, ("--fuse-frames", "on"), "unsure"),
    "no room for the scene": Late(FAILED, (), "full", "scene.blend", output="{disk}/scene.blend"),
}


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 4 MB of its own. Only root may mount one; an ordinary folder, which is never full, for others."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _play(_prepared: None, number: int, _dice: random.Random, place: Path) -> Found:
    name = list(CASES)[number]
    late, found = CASES[name], Found(name)
    source = pictures(place / "inputs" / late.name, IMAGES)
    with small_disk(place / "disk") as disk:
        if late.spoiler == "full" and not os.path.ismount(disk):
            found.what += " (not played: only root may mount a small disk)"
            return found
        if late.old:
            (disk / late.old).write_bytes(OLD)
        output = Path(late.output.format(place=place, disk=disk))
        runs = _start(late, place, disk, source, output)
        for run, file in runs:
            ended = run.wait()
            run.judge(ended, found, (late.code,))
            if late.code == FAILURES and ended.code == FAILURES and "The scene was saved, but" not in ended.last:
                found.add("wrong", f"the sentence: {ended.last}")
            if late.code != FAILED:
                _look(place / "look", file, found)
        if late.old and not any(path.read_bytes() == OLD for path in disk.glob(f"{late.old}*")):
            found.add("lost", f"{late.old} of an earlier run")
        for path in (disk, place, place / "out"):
            halves = [one.name for one in path.glob("*part")] if path.is_dir() else []
            if halves:
                found.add("wrong", f"halves of files are left: {', '.join(halves)}")
        _pictures_are_whole(late, place, disk, found)
    return found


def _start(late: Late, place: Path, disk: Path, source: Path, output: Path) -> list[tuple[Running, Path]]:
    words = [word.format(place=place, disk=disk) for word in late.words]
    words += ["--batch-size", "3", "--batch-mode", "no_overlap"]
    variables: dict[str, object] = {}
    if late.spoiler:
        target = disk / "out" if late.spoiler == "gone" else disk
        target.mkdir(exist_ok=True)
        # A worker hears only of variables that are ours.
        variables = {"DA3_PREDICTOR": f"{SPOILERS}:{late.spoiler}", "DA3_SPOIL": target, "SPOIL": target}
    count = 2 if late is CASES["two runs into one folder"] else 1
    started = []
    for i in range(count):
        file = output.with_stem(f"{output.stem}{i or ''}")
        started.append((generate(place / f"run{i}", source, "--output", file, *words, **variables), file))
    return started


def _look(place: Path, file: Path, found: Found) -> None:
    """The scene opens and has all cameras and points."""
    run = inside(place, "look", file)
    ended = run.wait()
    shown = [line for line in ended.out.splitlines() if line.startswith('{"cameras"')]
    there: Callable[[str], int] = lambda key: json.loads(shown[-1])[key] if shown else 0  # noqa: E731
    if there("cameras") != IMAGES or not there("points"):
        found.add("lost", f"the scene '{file.name}': {shown or ended.last or 'not there'}")


def _pictures_are_whole(late: Late, place: Path, disk: Path, found: Found) -> None:
    if "--render" not in late.words:
        return
    wanted = Path(late.words[1].format(place=place, disk=disk))
    if late.code == 0 and not wanted.is_file():
        found.add("wrong", f"'{wanted.name}' is not there")
    for path in wanted.parent.glob("*.png"):
        data = path.read_bytes()
        if data != OLD and not data.endswith(b"IEND\xaeB`\x82"):
            found.add("wrong", f"half a picture: {path.name}")


CAMPAIGN = Campaign("late", len(CASES), 2, lambda place: None, _play)
