"""The real worker, with stand-ins for the model."""

import os
import signal
import sys
import time
from pathlib import Path

import killed_blender
import numpy as np
import pytest
from da3_blender.core.errors import MissingEnvironment
from da3_blender.core.output import blender_arrays
from da3_blender.core.output.payload import PointArrays
from da3_blender.core.worker import protocol
from da3_blender.core.worker.client import WorkerClient
from killed_blender import gone

STAND_INS = Path(__file__).resolve().parents[2] / "support" / "stand_ins.py"
START = Path(blender_arrays.__file__).parents[1] / "worker" / "server" / "start.py"
ENDS = protocol.Done | protocol.Failed | protocol.Stopped


@pytest.fixture
def worker(tmp_path, temp):
    """Makes a client whose worker has that stand-in."""
    made = []

    def make(stand_in):
        log = tmp_path / "loads.txt"
        log.touch()
        client = WorkerClient(
            Path(sys.executable), predictor=f"{STAND_INS}:{stand_in}", environment={"DA3_STAND_IN_LOG": str(log)}
        )
        client.loads = lambda: log.read_text().splitlines()
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
    assert list(temp.iterdir()) == [], "a worker left files behind"


def until(client, *kinds, seconds=30.0):
    """All events up to the first of these kinds."""
    events = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        events += client.wait(0.2)
        if any(isinstance(e, kinds) for e in events):
            return events
    raise AssertionError(f"no {kinds} in {events}")


def run(client, settings, tmp_path):
    job = client.generate(settings, tmp_path)
    return until(client, ENDS)[-1], job


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(p) for p in (task / "children").read_text().split()]
    return found


def test_a_run_hands_over_every_point_and_camera(worker, settings, tmp_path):
    client = worker("quick")
    job = client.generate(settings, tmp_path)
    events = until(client, ENDS)
    done = events[-1]
    assert isinstance(done, protocol.Done), done
    (batch,) = [e for e in events if isinstance(e, protocol.BatchReady)]
    cloud = PointArrays.open(client.folder(job), batch.parts[0]["files"])
    assert len(cloud) == batch.parts[0]["count"] == done.report["points"] == 3 * 28 * 42
    assert batch.name == "wall"
    assert [c["name"] for c in batch.cameras] == ["0", "1", "2"]
    np.testing.assert_allclose(cloud.position[:, 1], 2.0, atol=1e-6)  # the wall is a plane at y = 2 in Blender's axes
    assert done.report["frames"] == 3 and done.report["batches"] == 1 and done.report["model"] == "da3-small"
    assert done.report["peak_memory"]["worker"] > 10 << 20
    assert {"load", "images", "points", "total"} <= done.report["seconds"].keys()
    fractions = [e.fraction for e in events if isinstance(e, protocol.Progress)]
    assert fractions == sorted(fractions)


def test_only_the_user_can_read_what_is_handed_over(worker, settings, tmp_path):
    client = worker("quick")
    _, job = run(client, settings, tmp_path)
    assert client.folder(job).stat().st_mode & 0o077 == 0
    assert client.folder(job).parent.stat().st_mode & 0o077 == 0


def test_the_model_stays_loaded_between_runs_until_it_is_unloaded(worker, settings, tmp_path):
    client = worker("quick")
    for _ in range(2):
        run(client, settings, tmp_path)
    assert client.loads() == ["load da3-small"] and client.model == "da3-small"
    client.unload()
    until(client, protocol.Unloaded)
    assert client.loads() == ["load da3-small", "unload"] and client.model is None
    run(client, {**settings, "model": "da3-base"}, tmp_path)
    assert client.loads()[2:] == ["load da3-base"]


def test_another_model_takes_the_place_of_the_one_before(worker, settings, tmp_path):
    client = worker("quick")
    run(client, settings, tmp_path)
    run(client, {**settings, "fp16": True}, tmp_path)
    assert client.loads() == ["load da3-small", "unload", "load da3-small"]


def test_stray_prints_do_not_break_the_protocol(worker, settings, tmp_path):
    client = worker("chatter")
    end, job = run(client, settings, tmp_path)
    assert isinstance(end, protocol.Done) and end.report["frames"] == 3
    log = (client.folder(job).parent / "worker.log").read_text()
    assert all(words in log for words in ("raw", "from C", "from a child"))


def test_a_rounded_resolution_and_a_broken_image_are_told(worker, settings, images, tmp_path):
    (images / "1.png").write_bytes((images / "1.png").read_bytes()[:60])
    client = worker("quick")
    client.generate({**settings, "process_resolution": 45}, tmp_path)
    events = until(client, ENDS)
    warnings = [e.message for e in events if isinstance(e, protocol.Warned)]
    assert (events[-1].report["frames"], events[-1].report["frames_wanted"]) == (2, 3)
    assert events[-1].report["warnings"] == warnings
    assert any("45" in w and "42" in w for w in warnings) and any("1.png" in w for w in warnings)


def test_a_cancelled_pass_stops_within_0_3_s_and_the_model_stays(worker, settings, tmp_path):
    client = worker("slow")
    job = client.generate(settings, tmp_path)
    until(client, protocol.Progress)
    time.sleep(0.3)
    pid, folder = client.pid, client.folder(job)
    started = time.perf_counter()
    client.cancel(job)
    returned = time.perf_counter() - started
    events = until(client, ENDS)
    stopped = time.perf_counter() - started
    assert isinstance(events[-1], protocol.Stopped)
    assert returned < 0.02 and stopped < 0.3, (returned, stopped)  # the interface waits for neither
    assert client.pid == pid and client.model == "da3-small"
    assert not folder.exists() and children(pid) == []
    job = client.generate({**settings}, tmp_path)
    until(client, protocol.Progress)
    client.cancel(job)
    until(client, protocol.Stopped)
    assert client.loads() == ["load da3-small"]


@pytest.mark.parametrize("stand_in", ["deaf", "stuck", "with_child"])
def test_a_worker_that_does_not_hear_is_killed_and_the_next_run_works(worker, settings, tmp_path, stand_in):
    client = worker(stand_in)
    job = client.generate(settings, tmp_path)
    until(client, protocol.Loaded)
    time.sleep(0.3)  # until the pass itself has begun
    pid, child = client.pid, [int(line.split()[1]) for line in client.loads() if line.startswith("child")]
    client.cancel(job)
    assert [type(e) for e in until(client, ENDS, seconds=4.0)][-1] is protocol.Stopped
    assert gone(pid) and all(gone(c) for c in child)
    client._predictor = f"{STAND_INS}:quick"
    end, _ = run(client, settings, tmp_path)
    assert isinstance(end, protocol.Done)


def test_a_run_asked_for_while_the_last_one_is_still_stopping_waits_for_it(worker, settings, tmp_path):
    client = worker("deaf")
    first = client.generate(settings, tmp_path)
    until(client, protocol.Loaded)
    time.sleep(0.3)  # until the pass itself has begun
    client.cancel(first)
    client._predictor = f"{STAND_INS}:quick"
    started = time.perf_counter()
    second = client.generate(settings, tmp_path)
    assert time.perf_counter() - started < 0.05  # asking never waits
    events = until(client, protocol.Done, seconds=10.0)
    assert [type(e) for e in events if getattr(e, "job", None) == first][-1] is protocol.Stopped
    assert events[-1].job == second
    assert PointArrays.open(
        client.folder(second), next(e for e in events if isinstance(e, protocol.BatchReady)).parts[0]["files"]
    )


def test_a_held_run_can_be_cancelled_too(worker, settings, tmp_path):
    client = worker("deaf")
    first = client.generate(settings, tmp_path)
    until(client, protocol.Loaded)
    time.sleep(0.3)  # until the pass itself has begun
    client.cancel(first)
    second = client.generate(settings, tmp_path)
    client.cancel(second)
    ended = set()
    while ended != {first, second}:
        ended |= {e.job for e in until(client, protocol.Stopped) if isinstance(e, protocol.Stopped)}


def test_a_killed_worker_is_news_that_names_the_signal_and_the_next_run_works(worker, settings, tmp_path):
    client = worker("slow")
    job = client.generate(settings, tmp_path)
    until(client, protocol.Progress)
    os.kill(client.pid, signal.SIGKILL)
    end = until(client, ENDS, seconds=5.0)[-1]
    assert isinstance(end, protocol.Failed) and end.job == job and end.kind == "WorkerDied"
    assert "SIGKILL" in end.message and not client.is_running() and client.model is None
    client._predictor = f"{STAND_INS}:quick"
    assert isinstance(run(client, settings, tmp_path)[0], protocol.Done)


@pytest.mark.parametrize(("stand_in", "word"), [("crash", "SIGSEGV"), ("leave", "exit code 7")])
def test_a_crash_tells_how_it_ended_and_keeps_the_last_lines(worker, settings, tmp_path, stand_in, word):
    end, _ = run(worker(stand_in), settings, tmp_path)
    assert end.kind == "WorkerDied" and word in end.message and "\n" not in end.message
    assert ("stand_ins.py" if stand_in == "crash" else "the driver has gone away") in end.detail


def test_an_idle_worker_that_dies_is_replaced_without_a_word(worker, settings, tmp_path):
    client = worker("quick")
    run(client, settings, tmp_path)
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    job = client.generate(settings, tmp_path)
    events = [e for e in until(client, ENDS) if getattr(e, "job", None) == job]
    assert isinstance(events[-1], protocol.Done)


def test_an_unforeseen_failure_is_one_sentence_and_the_worker_lives(worker, settings, tmp_path):
    client = worker("faulty")
    end, job = run(client, settings, tmp_path)
    assert isinstance(end, protocol.Failed) and "\n" not in end.message and "Traceback" not in end.message
    assert "Traceback" in end.detail
    assert "KeyError" in end.message
    assert "Traceback" in (client.folder(job).parent / "worker.log").read_text()
    assert client.is_running()


def test_memory_that_never_suffices_ends_with_advice_and_the_worker_lives(worker, settings, tmp_path):
    client = worker("out_of_memory")
    end, _ = run(client, settings, tmp_path)
    assert isinstance(end, protocol.Failed) and end.kind == "OutOfMemory" and "\n" not in end.message
    assert "lower Process Resolution" in end.message
    assert client.is_running()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"input": "/nowhere/at/all"}, "BadInput", "/nowhere/at/all"),
        ({"input": ""}, "BadInput", "input"),
        ({"batch_size": "many"}, "BadInput", "many"),
        ({"dance": 1}, "BadInput", "dance"),
        ({"start_frame": 70}, "BadInput", "3 images"),
    ],
)
def test_bad_input_is_told_by_its_kind(worker, settings, tmp_path, change, kind, words):
    end, _ = run(worker("quick"), {**settings, **change}, tmp_path)
    assert (end.kind, words in end.message) == (kind, True), end


def test_a_missing_model_file_and_an_unknown_model_are_told(temp, settings, tmp_path):
    client = WorkerClient(Path(sys.executable))
    for name in ("da3-small", "da3-enormous"):
        end, _ = run(client, {**settings, "model": name}, tmp_path)
        assert end.kind == "MissingModel", end
    client.close()


def test_a_python_that_is_not_there_is_a_missing_environment(temp, settings, tmp_path):
    client = WorkerClient(tmp_path / "no" / "python")
    with pytest.raises(MissingEnvironment, match="install"):
        client.generate(settings, tmp_path)
    assert list(temp.iterdir()) == []


def test_blenders_python_variables_do_not_reach_the_worker(temp, settings, tmp_path, monkeypatch):
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("numpy", "json", "sitecustomize"):
        (poison / f"{name}.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.setenv("PYTHONPATH", str(poison))
    monkeypatch.setenv("PYTHONHOME", str(poison))
    client = WorkerClient(Path(sys.executable), predictor=f"{STAND_INS}:quick")
    end, _ = run(client, settings, tmp_path)
    client.close()
    assert isinstance(end, protocol.Done), end


def test_what_a_killed_blender_left_is_removed_by_the_next_one(images, tmp_path, worker, settings, temp):
    with killed_blender.start(images, "stuck", temp) as blender:
        pid = int(blender.stdout.readline())
        blender.kill()
    assert gone(pid)
    client = worker("quick")
    run(client, settings, tmp_path)
    assert list(temp.iterdir()) == [client.folder(1).parent]
