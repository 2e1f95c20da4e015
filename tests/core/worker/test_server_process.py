"""The server by itself, over bare pipes; and that it dies with its Blender."""

import os
import subprocess
import sys
import time
from pathlib import Path

import killed_blender
import pytest
from da3_blender.core.files import ownership
from da3_blender.core.output import blender_arrays
from da3_blender.core.worker import protocol
from da3_blender.core.worker.life import private_folder, pulse
from da3_blender.core.worker.server.server import Server, failure
from killed_blender import gone

STAND_INS = Path(__file__).resolve().parents[2] / "support" / "stand_ins.py"
START = Path(blender_arrays.__file__).parents[1] / "worker" / "server" / "start.py"


@pytest.fixture
def server(tmp_path):
    """The worker with bare pipes."""
    started = []

    def start(stand_in="quick"):
        folder = tmp_path / f"{private_folder.PREFIX}test"
        folder.mkdir()
        ownership.adopt(folder, private_folder.KIND)
        command = [sys.executable, "-I", str(START), "--folder", str(folder)]
        command += ["--predictor", f"{STAND_INS}:{stand_in}"] if stand_in else []
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        process.folder = folder
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def say(process, line):
    process.stdin.write(line if isinstance(line, bytes) else protocol.encode(line))
    process.stdin.flush()


def hear(process):
    while isinstance(event := protocol.decode(process.stdout.readline(), protocol.EVENTS), protocol.Alive):
        continue
    return event


def test_the_greeting_is_quick_because_nothing_heavy_is_imported(server):
    started = time.perf_counter()
    process = server(stand_in="")
    say(process, protocol.Hello(protocol.VERSION))
    greeting = hear(process)
    assert time.perf_counter() - started < 1.0  # importing torch alone takes 2
    assert greeting.protocol == protocol.VERSION and "torch" in greeting.versions
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "torch" not in maps and "cv2" not in maps


def test_a_line_that_is_no_message_is_answered_and_the_next_one_is_heard(server):
    process = server()
    say(process, b"hello?\n\xff\n")
    assert (hear(process).kind, hear(process).kind) == ("DA3Error", "DA3Error")
    say(process, protocol.Hello(protocol.VERSION))
    assert isinstance(hear(process), protocol.Greeting)


def test_another_version_of_the_protocol_is_refused(server):
    process = server()
    say(process, protocol.Hello(protocol.VERSION + 1))
    assert f"protocol {protocol.VERSION}" in hear(process).message
    say(process, protocol.Generate(1, "x", {}, "x"))
    refusal = hear(process)
    assert isinstance(refusal, protocol.Failed) and refusal.job == 1


@pytest.mark.parametrize("stand_in", ["slow", "deaf"])
@pytest.mark.parametrize("last_words", [b"", protocol.encode(protocol.Quit()), b'{"type": "can'])
def test_end_of_file_ends_a_busy_worker_and_its_files(server, settings, stand_in, last_words):
    process = server(stand_in)
    (process.folder / "job1").mkdir()
    say(process, protocol.Hello(protocol.VERSION))
    say(process, protocol.Generate(1, str(process.folder / "job1"), settings, "x"))
    while not isinstance(hear(process), protocol.Loaded):
        pass
    process.stdin.write(last_words)
    process.stdin.flush()
    process.stdin.close()
    process.wait(1.0)
    assert not process.folder.exists()


@pytest.mark.parametrize("stand_in", ["slow", "stuck"])
@pytest.mark.parametrize("way", ["leave", "killed"])
def test_the_worker_dies_with_its_blender(images, tmp_path, stand_in, way):
    temp = tmp_path / "temp"
    temp.mkdir()
    with killed_blender.start(images, stand_in, temp, way) as blender:
        worker = int(blender.stdout.readline())
        if way == "killed":
            blender.kill()
    assert gone(worker)
    if way == "leave":
        assert list(temp.iterdir()) == []


def test_a_folder_that_is_not_a_session_is_never_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpgrp", lambda: -1)
    monkeypatch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    monkeypatch.setattr(pulse, "take_time", lambda: None)  # it would end the tests, seconds later
    precious = tmp_path / "precious"
    precious.mkdir()
    with pytest.raises(SystemExit):
        Server(None, None, precious)._end()
    assert precious.is_dir()


def test_an_environment_that_lacks_a_package_says_which(capfd):
    event = failure(1, ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    assert event.kind == "MissingEnvironment" and "cv2" in event.message
