"""Ray itself killed or stopped under the real worker: the run ends with its sentence, Esc acts, and the next run is whole."""

import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from da3_blender.core.output.payload import PointArrays
from da3_blender.core.worker import protocol
from da3_blender.core.worker.client import WorkerClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = f"{ROOT / 'tests' / 'support' / 'fixed_delay.py'}:open_predictor"
ENDS = protocol.Done | protocol.Failed | protocol.Stopped
PATIENCE = 240.0  # seconds for what takes ten on an idle machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Ray's processes are found in /proc")


@pytest.fixture(scope="module")
def packages():
    sys.path.insert(0, str(ROOT / "tools"))
    folder = runpy.run_path(str(ROOT / "tools" / "paths.py"))["ray_packages"]()
    sys.path.remove(str(ROOT / "tools"))
    if not (folder / "ray").is_dir():
        pytest.skip(f"RAY IS NOT TESTED: '{folder}' is not there; `make python` sets it up")
    return folder


@pytest.fixture(scope="module")
def client(packages):
    """One for all tests of this file: a run after a death is a run in a new worker."""
    made = WorkerClient(Path(sys.executable), predictor=STAND_IN, environment={"DA3_RAY": str(packages)})
    yield made
    made.close()


@pytest.fixture
def job(tmp_path):
    """The settings of a run of 12 passes on two actors, and its folder of models; its passes hang from the third on."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (28, 42, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    (tmp_path / "stand_in.json").write_text(json.dumps({"hangs": 2}))
    settings = {"input": str(folder), "model": "da3-small", "process_resolution": 42, "batch_mode": "no_overlap"}
    return {**settings, "batch_size": 1, "ray": "local", "ray_workers": 2}, tmp_path


def until(client, *kinds):
    events, end = [], time.monotonic() + PATIENCE
    while time.monotonic() < end:
        events += client.wait(0.05)
        if any(isinstance(event, kinds) for event in events):
            return events
    raise AssertionError(f"no {kinds} in {events[-5:]}")


def process(client, name):
    """The number of the process of that name below the worker; None while there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, pid = (folder / "stat").read_text(), int(folder.name)
            if f"({name})" in words and int(words.rpartition(")")[2].split()[1]) == client.pid:
                return pid
        except OSError:
            continue
    return None


def whole(client, job):
    """All points of a run that comes to its end."""
    number = client.generate(*job)
    events = until(client, ENDS)
    assert isinstance(events[-1], protocol.Done), events[-1]
    batches = [event for event in events if isinstance(event, protocol.BatchReady)]
    clouds = [PointArrays.open(client.folder(number), part["files"]) for batch in batches for part in batch.parts]
    return np.concatenate([np.array(cloud.position) for cloud in clouds])


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_run_whose_ray_is_killed_ends_with_its_sentence(client, job, name):
    number = client.generate(*job)
    ready = until(client, protocol.BatchReady)
    os.kill(process(client, name), signal.SIGKILL)
    ready += until(client, ENDS)
    end = ready[-1]
    assert isinstance(end, protocol.Failed) and (end.job, end.kind) == (number, "EngineDied"), end
    assert end.message.startswith("Ray itself has died") and "\n" not in end.message
    deadline = time.monotonic() + PATIENCE
    while client.pid is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    for batch in [event for event in ready if isinstance(event, protocol.BatchReady)]:  # they can still be built
        assert all(PointArrays.open(client.folder(number), part["files"]) for part in batch.parts)


def test_esc_acts_while_ray_answers_nothing_and_the_next_run_is_whole(client, job):
    number = client.generate(*job)
    until(client, protocol.BatchReady)
    stopped = process(client, "raylet")
    os.kill(stopped, signal.SIGSTOP)
    client.cancel(number)
    assert isinstance(until(client, ENDS)[-1], protocol.Stopped)
    client.kill()
    settings, models = job
    (models / "stand_in.json").write_text("{}")
    assert (whole(client, job) == whole(client, ({**settings, "ray": ""}, models))).all()
