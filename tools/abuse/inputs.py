"""Damaged images and videos through the whole program: each costs itself only, and the sentence names it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import damaged_images
import damaged_videos
from belongings import state
from programs import generate, pictures
from tally import Campaign, Found

GOOD = ("good00", "good01")
BAD_INPUT = 2
LAST_FRAME = 7


def _image(_prepared: None, number: int, dice: random.Random, place: Path) -> Found:
    """Among two good images: those are in the scene, the damaged one too or named in a warning."""
    source = pictures(place / "input", 2)
    what, path = damaged_images.put(number, dice, source)
    found, before = Found(what), _state(source)
    run = generate(place, source)
    ended = run.wait()
    run.judge(ended, found)
    found.compare(before, _state(source))
    if ended.code == 0:
        report = json.loads((place / "report.json").read_text("utf-8"))
        names = {camera["name"] for camera in report["cameras"]}
        for name in GOOD:
            if name not in names:
                found.add("wrong", f"{name} is not in the scene: {report['warnings']}")
        # A folder is no image, whatever it is called.
        if path.stem not in names and not path.is_dir() and not any(path.name in text for text in report["warnings"]):
            found.add("wrong", f"{path.name} is not in the scene, and nobody says so: {report['warnings']}")
    return found


def _video(_prepared: None, number: int, dice: random.Random, place: Path) -> Found:
    """Frames that can be read become a scene; a video of which none can is named in a sentence."""
    (place / "input").mkdir()
    what, path = damaged_videos.put(number, dice, place / "input")
    found, before = Found(what), _state(path.parent)
    run = generate(place, path, "--end-frame", LAST_FRAME)
    ended = run.wait()
    run.judge(ended, found, (0, BAD_INPUT))
    found.compare(before, _state(path.parent))
    if ended.code == BAD_INPUT and path.name not in ended.last:
        found.add("wrong", f"the sentence does not name the video: {ended.last}")
    return found


def _state(folder: Path) -> dict[Path, object]:
    return {path: value for path, value in state(folder).items() if path.is_symlink() or path.is_file()}


IMAGES = Campaign("images", 150, 6, lambda place: None, _image)
VIDEOS = Campaign("videos", 50, 3, lambda place: None, _video)
