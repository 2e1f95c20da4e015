"""Damaged chunks and kept runs, found by the whole program: made again or not offered, and the scene is what it was."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from belongings import state
from damaged_stores import damage, edits
from programs import Running, generate, inside, pictures
from tally import Campaign, Found

FRAMES, BATCH = 10, 4
REFUSED = 1  # exit code of a Rebuild that is not offered
CLOSE = 1e-3  # scene units; what was stored has 16 bits


@dataclass(frozen=True)
class Made:
    """A streaming run whose chunks were left, and a run that was kept, as they were made."""

    source: Path
    output: Path
    report: dict[str, object]
    kept: Path
    scene: Path


def _prepare(place: Path) -> Made:
    source = pictures(place / "input", FRAMES)
    report = _stream(place / "first", source, place / "first" / "out")
    run = generate(place / "kept-first", source, "--batch-size", BATCH)
    ended = run.wait()
    assert ended.code == 0, ended.said
    return Made(
        source, place / "first" / "out", report, place / "kept-first" / "kept", place / "kept-first" / "scene.blend"
    )


def _streaming(place: Path, source: Path, output: Path) -> Running:
    words = ("--batch-mode", "da3_streaming", "--save-debug", "on", "--batch-size", BATCH, "--output-folder", output)
    return generate(place, source, *words)


def _stream(place: Path, source: Path, output: Path) -> dict[str, object]:
    ended = _streaming(place, source, output).wait()
    assert ended.code == 0, ended.said
    report: dict[str, object] = json.loads((place / "report.json").read_text("utf-8"))
    return report


def _play(made: Made, number: int, dice: random.Random, place: Path) -> Found:
    return (_chunks if number % 2 == 0 else _kept)(made, dice, place)


def _spoil(folder: Path, dice: random.Random) -> str:
    """One file of a folder damaged, or a value of its manifest edited; what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "streaming.lock"))
    manifest = next(path for path in files if path.name == "manifest.json")
    if dice.random() < 0.5:
        text = dice.choice(list(edits(json.loads(manifest.read_bytes()))))
        manifest.write_bytes(text)
        return f"manifest: {text[:40]!r}..."
    path = dice.choice(files)
    return f"{path.name}: {damage(path, dice)}"


def _chunks(made: Made, dice: random.Random, place: Path) -> Found:
    """A run that goes on from damaged chunks makes what an undisturbed one made."""
    output = place / "out"
    shutil.copytree(made.output, output)
    found = Found(f"chunks, {_spoil(output / 'streaming', dice)}")
    before = state(made.source)
    run = _streaming(place, made.source, output)
    ended = run.wait()
    run.judge(ended, found)
    found.compare(before, state(made.source))
    if ended.code == 0:
        report = json.loads((place / "report.json").read_text("utf-8"))
        if report["points"] != made.report["points"] or not _same_cameras(report, made.report):
            found.add("wrong", f"{report['points']} points, not {made.report['points']}, or other cameras")
    return found


def _same_cameras(report: dict, expected: dict) -> bool:
    one, other = ([camera["camera_to_world"] for camera in each["cameras"]] for each in (report, expected))
    return len(one) == len(other) and bool(np.allclose(one, other, atol=CLOSE))


def _kept(made: Made, dice: random.Random, place: Path) -> Found:
    """Rebuild on a damaged run does it or says why not, and then the scene is as it was."""
    shutil.copytree(made.kept, place / "kept")
    (run_folder,) = (path for path in (place / "kept").iterdir() if path.is_dir())
    found = Found(f"kept run, {_spoil(run_folder, dice)}")
    run = inside(place, "rebuild", made.scene)
    ended = run.wait()
    run.judge(ended, found, (0, REFUSED))
    if ended.code is not None and ended.code >= 0:
        shown = [line for line in ended.out.splitlines() if line.startswith('{"points"')]
        if not shown or json.loads(shown[-1])["points"] == 0:
            found.add("lost", f"the points of the scene: {ended.last}")
    return found


CAMPAIGN = Campaign("stores", 60, 4, _prepare, _play)
