"""A worker that lies, is stopped or silent: a real process, a real client."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import killed_blender
import liar
import numpy as np
import pytest
from da3_blender.core.files import ownership
from da3_blender.core.files.silence import Silence, cpu_seconds, is_stopped
from da3_blender.core.output.payload import MeshArrays, PointArrays, TrackArrays
from da3_blender.core.output.run_keeper import KeptWriter
from da3_blender.core.settings import Settings
from da3_blender.core.worker import checking_arrays, protocol
from da3_blender.core.worker.client import WorkerClient
from da3_blender.core.worker.life import private_folder
from da3_blender.core.worker.life.variables import worker_variables
from da3_blender.core.worker.lines import read_lines
from da3_blender.streaming.storage.chunk_store import Store
from killed_blender import gone
from PIL import Image

HERE = Path(__file__).resolve().parents[2] / "support"
ENDS = protocol.Done | protocol.Failed | protocol.Stopped
PATIENCE = 2.5  # seconds of silence, in place of 30; a heartbeat a second must get through on a busy machine


@pytest.fixture
def client(temp, tmp_path):
    """Makes a client whose worker tells that lie; without one, or with a stand-in, the real worker's."""
    made = []

    def make(lie="", stand_in="quick", patience=PATIENCE):
        python = Path(sys.executable)
        if lie:
            python = tmp_path / "python"
            python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "liar.py"}" {lie} "$@"\n')
            python.chmod(0o755)
        made.append(WorkerClient(python, predictor=f"{HERE / 'stand_ins.py'}:{stand_in}", patience=patience))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert list(temp.iterdir()) == [], "a worker left files behind"


@pytest.fixture
def settings(tmp_path):
    folder = tmp_path / "wall"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(np.full((28, 42, 3), 60 * i + 40, np.uint8)).save(folder / f"{i}.png")
    return {"input": str(folder), "model": "da3-small", "process_resolution": 42, "filter_edges": False}


def until(client, kinds, seconds=60.0):  # a hang, on however busy a machine
    events, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        new = client.wait(0.1)
        events += new
        if any(isinstance(event, kinds) for event in new):
            return events
    raise AssertionError(f"no {kinds} in {events[:5]}")


# ----------------------------------------------------------------------------------------------------------- lies


@pytest.mark.parametrize("lie", [*liar.LIES, *liar.GREETINGS])
def test_one_lie_ends_the_job_and_the_worker(client, settings, tmp_path, lie):
    lying = client(lie, patience=6.0 if lie != "silent" else PATIENCE)
    job = lying.generate(settings, tmp_path)
    pid = lying.pid
    end = until(lying, ENDS)[-1]
    assert isinstance(end, protocol.Failed) and (end.job, end.kind) == (job, "WorkerDied"), end
    assert "\n" not in end.message and "was ended" in end.message and "next run" in end.message, end.message
    assert gone(pid), "it lives on"
    assert (tmp_path / "temp").stat().st_size < 1 << 20


def test_there_are_35_lies():
    assert len(liar.LIES) + len(liar.GREETINGS) >= 35


@pytest.mark.parametrize("oddity", liar.ODD)
def test_what_means_nothing_does_no_harm(client, settings, tmp_path, oddity):
    odd = client(oddity)
    odd.generate(settings, tmp_path)
    events = until(odd, ENDS)
    assert isinstance(events[-1], protocol.Done), events[-1]
    for event in events:
        if isinstance(event, protocol.Progress):
            assert 0.0 <= event.fraction <= 1.0 and event.remaining is None
        if isinstance(event, protocol.Warned):
            assert event.message.isprintable() and event.message.endswith("and so on")


def test_a_lie_while_the_job_is_being_cancelled_is_a_cancelled_job(client, settings, tmp_path):
    lying = client("silent")
    job = lying.generate(settings, tmp_path)
    time.sleep(0.5)
    lying.cancel(job)
    assert [type(event) for event in until(lying, ENDS)][-1] is protocol.Stopped


def test_every_array_that_can_be_sent_is_known_to_the_check():
    known = {*checking_arrays.ROWS, "corners", "uv", "edges", "corner_edges"}
    points, tracks = PointArrays.__dataclass_fields__, TrackArrays.__dataclass_fields__
    assert {*points, *MeshArrays.__dataclass_fields__, *tracks} == known
    assert set(points) == set(checking_arrays.POINTS) and set(tracks) == set(checking_arrays.TRACKS)


def test_a_line_is_read_whole_up_to_its_greatest_length_and_no_further():
    inlet, outlet = os.pipe()
    os.write(outlet, b"a" * 9 + b"\nb\n\nc" + b"d" * 9)
    lines = read_lines(inlet, most=9)
    assert [next(lines), next(lines), next(lines)] == [b"a" * 9, b"b", b""]
    with pytest.raises(protocol.ProtocolError, match="longer"):
        next(lines)
    os.close(outlet)
    os.close(inlet)


# -------------------------------------------------------------------------------------------------------- silence


@pytest.mark.parametrize("moment", [protocol.Greeting, protocol.Loaded, protocol.Progress, "pass"])
def test_a_stopped_worker_is_ended_and_the_sentence_names_its_stage(client, settings, tmp_path, moment):
    stopped = client(stand_in="slow")
    job = stopped.generate(settings, tmp_path)
    until(stopped, protocol.Progress if moment == "pass" else moment)
    if moment == "pass":
        time.sleep(0.5)
    pid = stopped.pid
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    end = next(event for event in until(stopped, ENDS, 10.0) if isinstance(event, ENDS))
    assert time.monotonic() - started < PATIENCE + 2.0
    assert isinstance(end, protocol.Failed) and (end.job, end.kind) == (job, "WorkerDied")
    assert "was stopped" in end.message and "stage '" in end.message and gone(pid)
    stopped._predictor = f"{HERE / 'stand_ins.py'}:quick"
    stopped.generate(settings, tmp_path)
    assert isinstance(until(stopped, ENDS)[-1], protocol.Done)


def test_the_children_of_a_stopped_worker_end_with_it(client, settings, tmp_path, monkeypatch):
    log = tmp_path / "log"
    stopped = client(stand_in="with_child")
    stopped._environment["DA3_STAND_IN_LOG"] = str(log)
    stopped.generate(settings, tmp_path)
    until(stopped, protocol.Loaded)
    time.sleep(0.5)
    child = int(log.read_text().split()[-1])
    os.killpg(stopped.pid, signal.SIGSTOP)
    until(stopped, ENDS, 10.0)
    assert gone(child)


def test_a_call_that_keeps_the_interpreters_lock_for_too_long_ends(client, settings, tmp_path):
    stuck = client(stand_in="stuck")
    stuck.generate(settings, tmp_path)
    end = until(stuck, ENDS, 10.0)[-1]
    assert end.kind == "WorkerDied" and "said nothing" in end.message


def test_a_busy_worker_is_not_taken_for_a_silent_one(client, settings, tmp_path):
    deaf = client(stand_in="deaf", patience=4.0)  # Python code that never rests, and says nothing of its progress
    deaf.generate(settings, tmp_path)
    until(deaf, protocol.Loaded)
    assert not [event for event in deaf.wait(4.0) if isinstance(event, ENDS)]
    time.sleep(4.0)
    assert deaf.is_running() and not [event for event in deaf.poll() if isinstance(event, ENDS)]


def test_one_long_call_that_computes_is_waited_for(client, settings, tmp_path):
    computing = client(stand_in="computing")
    computing.generate(settings, tmp_path)
    assert isinstance(until(computing, ENDS, 60.0)[-1], protocol.Done)


def test_an_idle_worker_that_is_stopped_is_replaced_without_a_word(client, settings, tmp_path):
    idle = client()
    idle.generate(settings, tmp_path)
    until(idle, ENDS)
    pid = idle.pid
    os.kill(pid, signal.SIGSTOP)
    job = idle.generate(settings, tmp_path)
    events = [event for event in until(idle, ENDS) if getattr(event, "job", None) == job]
    assert isinstance(events[-1], protocol.Done) and gone(pid)


def test_asking_a_stopped_worker_for_much_never_waits(client, settings, tmp_path):
    stopped = client(patience=30.0)
    stopped.generate(settings, tmp_path)
    until(stopped, ENDS)
    os.kill(stopped.pid, signal.SIGSTOP)
    cameras = [liar.camera(frame=i) for i in range(5000)]  # a megabyte, more than a pipe holds
    asking = threading.Thread(
        target=stopped.generate, args=(settings, tmp_path), kwargs={"cameras": cameras}, daemon=True
    )
    asking.start()
    asking.join(20.0)  # it reads nothing, ever: whoever waits for it is still here then
    assert not asking.is_alive()
    stopped.kill()


def test_a_suspended_laptop_adds_one_look_to_the_silence():
    now = [0.0]
    silence = Silence(0.5, clock=lambda: now[0])
    for _ in range(4):
        now[0] += 0.5
        silence.look()
    assert silence.seconds == pytest.approx(2.0)
    now[0] += 8 * 3600
    assert silence.look() == pytest.approx(3.0)
    silence.heard()
    now[0] += 0.5
    assert silence.look() == 0.0


def test_the_system_tells_a_stopped_group_from_a_working_one():
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        time.sleep(0.5)
        assert not is_stopped(child.pid) and cpu_seconds(child.pid) > 0.05
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(0.05)
        assert is_stopped(child.pid)
    finally:
        child.kill()
        child.wait()


# ------------------------------------------------------------------------------------------------- private folders


def test_another_blenders_folder_stays_whatever_its_number(temp):
    alive = private_folder.PrivateFolder()
    private_folder.remove_abandoned()
    assert alive.path.is_dir()
    alive._lock.close()  # as the system does when its Blender ends
    private_folder.remove_abandoned()
    assert not alive.path.exists()


def test_a_folder_whose_worker_was_killed_between_marker_and_folder_is_removed(temp):
    mine = private_folder.PrivateFolder()
    shutil.rmtree(mine.path)
    mine.path.mkdir()
    mine.close()
    assert not mine.path.exists()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_blender_in_another_container_is_not_robbed(temp, tmp_path):
    """Two processes of the same number, in two PID namespaces with one temporary folder."""
    script = tmp_path / "other.py"
    script.write_text(
        "import runpy, sys, time, tempfile\n"
        f"runpy.run_path({str(Path(private_folder.__file__).parents[2] / 'package.py')!r})['make_importable']()\n"
        "from da3_blender.core.worker.life import private_folder\n"
        f"tempfile.tempdir = {str(temp)!r}\n"
        "mine = private_folder.PrivateFolder()\n"
        "print(mine.path, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = other.stdout.readline().strip()
        if not theirs:
            other.stdin.close()
            pytest.skip("this system lets nobody make a PID namespace")
        private_folder.remove_abandoned()
        assert Path(theirs).is_dir()
        other.stdin.close()
    private_folder.remove_abandoned()
    assert not Path(theirs).exists()


def test_a_persons_folder_of_that_name_is_never_removed(temp):
    theirs = temp / f"{private_folder.PREFIX}1-photos"
    theirs.mkdir()
    (theirs / "a.jpg").write_bytes(b"precious")
    link = temp / f"{private_folder.PREFIX}link"
    link.symlink_to(theirs, target_is_directory=True)
    private_folder.remove_abandoned()
    private_folder.remove(theirs)
    assert (theirs / "a.jpg").read_bytes() == b"precious" and link.is_symlink()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_killed_blender_leaves_no_private_folder(temp, settings, how, stopped):
    with killed_blender.start(settings["input"], "slow", temp) as blender:
        worker = int(blender.stdout.readline())
        assert len(list(temp.iterdir())) == 1
        if stopped:
            os.kill(worker, signal.SIGSTOP)
        blender.send_signal(how)
    assert gone(worker)
    assert list(temp.iterdir()) == []


def test_kept_photographs_are_their_owners_alone(tmp_path):
    for folder in (tmp_path / "runs" / "1", KeptWriter(tmp_path / "kept", 1 << 30, "a", None, Settings()).run.folder):
        made = ownership.claim(folder, "kept-run", private=True).path if not folder.exists() else folder
        assert made.stat().st_mode & 0o077 == 0 and made.parent.stat().st_mode & 0o077 == 0
    Store(tmp_path / "streaming", "a")
    for part in ("images", "chunks"):
        assert (tmp_path / "streaming" / part).stat().st_mode & 0o077 == 0


# ---------------------------------------------------------------------------------------------------- environment


def test_only_what_a_worker_needs_is_inherited(tmp_path):
    inherited = {
        "PATH": "/bin", "HOME": "/home/me", "LC_ALL": "C", "https_proxy": "http://proxy", "SSL_CERT_FILE": "a.pem",
        "CUDA_VISIBLE_DEVICES": "1", "DA3_MODELS": "/models", "SystemRoot": "C:\\Windows", "HF_TOKEN": "hf_x",
    }  # fmt: skip
    private = {"AWS_SECRET_ACCESS_KEY": "x", "GITHUB_TOKEN": "x", "PYTHONPATH": "/p", "PYTHONHOME": "/p",
               "BLENDER_USER_SCRIPTS": "/b", "LD_PRELOAD": "/evil.so", "VIRTUAL_ENV": "/v", "TMPDIR": "/elsewhere"}  # fmt: skip
    given = worker_variables(tmp_path, {**inherited, **private})
    assert {name: given[name] for name in inherited} == inherited
    assert not {*private, "TMPDIR"} - {"TMPDIR"} & given.keys() and given["TMPDIR"] == str(tmp_path)
    assert given["OMP_WAIT_POLICY"] == "PASSIVE"
    assert ("OPENBLAS_NUM_THREADS" in given) == (platform.machine().lower() in ("x86_64", "amd64"))
