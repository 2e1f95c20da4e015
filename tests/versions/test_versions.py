"""One zip for every supported Blender: it is installed, enabled, disabled, used and removed, and builds the same scene.

Run by tools/versions.py, which names the interpreters: ``$DA3_BLENDERS`` is ``4.2=/path/to/python ...``, ``$DA3_ZIP`` the zip.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BLENDERS = dict(part.split("=", 1) for part in os.environ.get("DA3_BLENDERS", "").split())
TOLERANCE = 1e-6  # what differs is only the last digit of float32 sums in another numpy
TIMEOUT = 600  # seconds; classic takes about 20 on two cores
CALM = {"on_disk": False, "enabled": False, "operator": False, "panel": False, "settings": False, "session": False}
LIVE = {"on_disk": True, "enabled": True, "operator": True, "panel": True, "settings": True, "session": True}


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """What each Blender saw, and its report."""
    made = {}
    for version, python in BLENDERS.items():
        folder = tmp_path_factory.mktemp(f"blender-{version}")
        temp = folder / "temp"
        temp.mkdir()
        environ = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "resources"), "TMPDIR": str(temp)}
        command = [python, str(Path(__file__).with_name("life.py")), os.environ["DA3_ZIP"]]
        command += [str(ROOT / "sample_images" / "courtyard"), str(folder)]
        started = time.monotonic()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT)
        if not (folder / "life.json").exists():
            pytest.fail(f"Blender {version} ended with {done.returncode}: {done.stderr[-2000:]}")
        life = json.loads((folder / "life.json").read_text("utf-8"))
        life["said"] = done.stderr
        life["left"] = sorted(path.name for path in temp.iterdir() if path.name.startswith("da3"))
        report = json.loads((folder / "report.json").read_text("utf-8")) if life["exit_code"] == 0 else None
        print(
            f"\nBlender {life['blender']}, Python {life['python']}: {report and report['points']:,} points, "
            f"{report and len(report['cameras'])} cameras, {time.monotonic() - started:.0f} s",
            end="",
        )
        made[version] = (life, report)
    return made


@pytest.fixture(params=[*BLENDERS])
def version(request):
    return request.param


def at(life, moment):
    return {key: value for key, value in life[moment].items() if key != "heavy"}


def test_it_is_installed_and_enabled(lives, version):
    assert at(lives[version][0], "installed") == LIVE


def test_it_is_disabled_without_a_trace_and_enabled_again(lives, version):
    assert at(lives[version][0], "disabled") == CALM | {"on_disk": True}
    assert at(lives[version][0], "enabled_again") == LIVE


def test_it_generates_in_a_process_of_its_own(lives, version):
    life, _ = lives[version]
    assert life["exit_code"] == 0, life["said"]
    assert life["generated"]["heavy"] == []


def test_it_is_uninstalled_without_a_trace(lives, version):
    life, _ = lives[version]
    assert at(life, "uninstalled") == CALM
    assert life["left"] == [], "temporary files are left"


def test_it_builds_the_same_scene_as_in_every_other_blender(lives, version):
    first, report = lives[next(iter(BLENDERS))][1], lives[version][1]
    assert report["points"] == first["points"]
    assert [(o["type"], o["vertices"]) for o in report["objects"]] == [
        (o["type"], o["vertices"]) for o in first["objects"]
    ]
    assert [c["name"] for c in report["cameras"]] == [c["name"] for c in first["cameras"]]
    worst = 0.0
    for one, other in zip(report["cameras"], first["cameras"], strict=True):
        worst = max(worst, np.abs(np.subtract(one["camera_to_world"], other["camera_to_world"])).max())
        worst = max(worst, *(abs(one[key] - other[key]) for key in ("fx", "fy", "cx", "cy")))
    print(f"\nBlender {version}: cameras differ by {worst:.1e} from the first", end="")
    assert worst < TOLERANCE
