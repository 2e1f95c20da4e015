"""Every lie of ``tests/liar.py``, told to the whole program: the run ends with a sentence, and the liar with it."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import liar
from abuse_paths import TESTS
from belongings import state
from programs import generate, pictures
from tally import Campaign, Found

ENDED = 1  # exit code of a run whose worker had to be ended
NAMES = [*liar.LIES, *liar.GREETINGS, *liar.ODD]


def _play(_prepared: None, number: int, _dice: random.Random, place: Path) -> Found:
    name = NAMES[number % len(NAMES)]
    source, python = pictures(place / "input", 2), place / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{TESTS / "liar.py"}" {name} "$@"\n')
    python.chmod(0o755)
    (place / "scene.blend").write_bytes(b"from an earlier run")
    found, before = Found(name), state(source)
    run = generate(place, source, DA3_WORKER_PYTHON=python)
    ended = run.wait()
    run.judge(ended, found, (0,) if name in liar.ODD else (ENDED,))
    found.compare(before, state(source))
    old = [path for path in place.glob("scene.blend*") if path.read_bytes() == b"from an earlier run"]
    if not old:
        found.add("lost", "the scene of an earlier run")
    if name in liar.ODD and ended.code == 0 and not json.loads((place / "report.json").read_text("utf-8")):
        found.add("wrong", "an empty report")
    return found


CAMPAIGN = Campaign("lies", len(NAMES), 5, lambda place: None, _play)
