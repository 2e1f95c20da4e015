"""The installer, with a package of a few bytes from a folder or from an index that answers slowly."""

import contextlib
import hashlib
import http.server
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from da3_blender.core.errors import Cancelled, MissingEnvironment
from da3_blender.core.files.file_lock import file_lock
from da3_blender.core.installer import get_uv as module
from da3_blender.core.installer import signs_of_life
from da3_blender.core.installer.condition import State, default_folder
from da3_blender.core.installer.environment import MARKER, Environment
from pebble import NAME, leftovers, nothing_stays, wheel

ROOT = Path(__file__).resolve().parents[3]


def test_an_installed_environment_is_ready_and_holds_the_locked_packages(environment, shelf):
    assert environment.state().state is State.MISSING
    seen = []
    environment.install(lambda stage, fraction, line: seen.append((stage, fraction)))
    assert environment.state().state is State.READY
    code = "import pebble, sys; print(pebble.WEIGHT, *sys.version_info[:2])"
    said = subprocess.run([environment.require(), "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["3", *map(str, sys.version_info[:2])]
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert seen[-1] == ("installed", 1.0)


def test_installing_what_is_ready_does_nothing(environment, shelf):
    environment.install()
    stamp = (environment.folder / MARKER).stat().st_mtime_ns
    environment.install()
    assert (environment.folder / MARKER).stat().st_mtime_ns == stamp


def test_a_missing_environment_says_what_to_do(environment):
    with pytest.raises(MissingEnvironment, match="not installed.*preferences"):
        environment.require()


def test_a_folder_whose_installation_did_not_end_is_broken_and_made_anew(environment, shelf):
    environment.install()
    (environment.folder / MARKER).unlink()
    assert environment.state().state is State.BROKEN
    with pytest.raises(MissingEnvironment, match="did not end"):
        environment.require()
    environment.install()
    assert environment.state().state is State.READY


@pytest.mark.parametrize("marker", ["", "[]", "null", '{"lock": 1}', "\0\0"])
def test_a_spoilt_marker_is_broken_and_no_crash(environment, shelf, marker):
    environment.folder.mkdir(parents=True)
    (environment.folder / MARKER).write_text(marker)
    assert environment.state().state is State.BROKEN


def test_another_lock_asks_for_an_update(environment, shelf, lock):
    environment.install()
    lock.write_text("# newer\n" + lock.read_text())
    assert environment.state().state is State.OUTDATED
    with pytest.raises(MissingEnvironment, match="another version of the add-on.*Update"):
        environment.require()
    environment.install()
    assert environment.state().state is State.READY
    assert nothing_stays(environment)


def test_an_interpreter_that_does_not_start_is_broken(environment, shelf):
    environment.install()
    environment.python.unlink()
    assert environment.state().state is State.BROKEN
    assert "does not start" in environment.state().reason


def test_a_file_with_another_hash_is_refused_and_nothing_stays(environment, shelf, lock):
    lock.write_text("pebble==1.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(MissingEnvironment, match="failed while downloading") as caught:
        environment.install()
    assert str(environment.log) in str(caught.value)
    assert "hash" in environment.log.read_text().lower()
    assert nothing_stays(environment)


def test_a_requirement_without_a_hash_is_refused(environment, shelf, lock):
    lock.write_text("pebble==1.0\n")
    with pytest.raises(MissingEnvironment):
        environment.install()
    assert nothing_stays(environment)


def test_a_package_that_does_not_import_is_found_at_once(tmp_path, shelf, lock, uv):
    environment = Environment(tmp_path / "worker", lock=lock, modules=["pebble", "boulder"], uv=uv)
    with pytest.raises(MissingEnvironment, match="failed while checking.*No module named 'boulder'"):
        environment.install()
    assert environment.state().state is State.MISSING


def test_a_missing_installer_is_one_sentence(tmp_path, shelf, lock):
    environment = Environment(tmp_path / "place" / "worker", lock=lock, uv=tmp_path / "nowhere" / "uv")
    with pytest.raises(MissingEnvironment, match="failed while making the environment.*nowhere"):
        environment.install()
    assert nothing_stays(environment)


class SlowIndex(http.server.BaseHTTPRequestHandler):
    """Lists the package, sends the first bytes of its file, then nothing."""

    def do_GET(self) -> None:
        stalls = self.path.endswith(".whl")
        body = wheel() if stalls else f'<a href="/{NAME}">{NAME}</a>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if stalls else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:50] if stalls else body)
        self.wfile.flush()
        if stalls:
            self.server.stalled.set()  # type: ignore[attr-defined]
            self.connection.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert self.connection.recv(1) == b""
            self.server.hung_up.set()  # type: ignore[attr-defined]  # the client's process is gone

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


@pytest.fixture
def slow_index(tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowIndex)
    server.stalled, server.hung_up = threading.Event(), threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    yield server
    server.shutdown()
    server.server_close()


def test_cancelling_in_the_middle_of_a_download_leaves_nothing(environment, slow_index):
    asked = []

    def cancelled() -> bool:
        if slow_index.stalled.is_set():
            asked.append(time.monotonic())
        return bool(asked)

    with pytest.raises(Cancelled):
        environment.install(cancelled=cancelled)
    assert time.monotonic() - asked[0] < 0.3  # the bound that the person is promised for every cancel
    assert nothing_stays(environment)
    assert environment.state().state is State.MISSING
    assert slow_index.hung_up.wait(5)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the installer by /proc")
def test_a_stopped_installer_is_ended_and_the_sentence_names_its_stage(environment, slow_index, monkeypatch):
    monkeypatch.setattr(signs_of_life, "PATIENCE", 1.0)
    monkeypatch.setattr(signs_of_life, "LOOK", 0.2)
    stopped = []

    def stop() -> bool:
        if slow_index.stalled.is_set() and not stopped:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
            stopped.extend(map(int, children.split()))
            for pid in stopped:
                os.killpg(pid, signal.SIGSTOP)
        return False

    started = time.monotonic()
    with pytest.raises(MissingEnvironment, match="was stopped for 1 s while downloading"):
        environment.install(cancelled=stop)
    assert time.monotonic() - started < 20.0
    assert nothing_stays(environment)
    assert slow_index.hung_up.wait(5)


def test_the_installer_ends_when_the_process_that_started_it_is_killed(environment, slow_index, uv, lock):
    code = f"""
import runpy
from pathlib import Path
runpy.run_path({str(ROOT / "core" / "package.py")!r})["make_importable"]()
from da3_blender.core.installer.environment import Environment
Environment(Path({str(environment.folder)!r}), lock=Path({str(lock)!r}), uv=Path({str(uv)!r})).install()
"""
    blender = subprocess.Popen([sys.executable, "-c", code])
    try:
        assert slow_index.stalled.wait(30)
    finally:
        blender.kill()
        blender.wait()
    assert slow_index.hung_up.wait(5)
    assert environment.state().state is State.MISSING  # what is left is never taken for an environment
    assert leftovers(environment)
    environment.sweep()
    assert nothing_stays(environment)


def test_a_second_installation_waits_for_the_first_and_can_be_cancelled(environment, shelf):
    waited = []

    def cancelled() -> bool:
        waited.append(True)
        return len(waited) > 2

    with file_lock(environment.folder.with_name("worker.lock")), pytest.raises(Cancelled):
        environment.install(cancelled=cancelled)
    environment.install()
    assert environment.state().state is State.READY


def test_removing_leaves_nothing_to_pay_for(environment, shelf):
    environment.install()
    environment.remove()
    assert environment.state().state is State.MISSING
    assert nothing_stays(environment)


def test_without_a_uv_at_hand_the_pinned_one_is_installed(tmp_path, shelf, lock, uv, monkeypatch):
    """pip does not reach an index in this test: a wheel that stands for uv is enough to see the way it takes."""
    script = f'#!/bin/sh\nexec "{uv}" "$@"\n'.encode()
    data = io.BytesIO()
    names = ["uv-0.1.dist-info/METADATA", "uv-0.1.dist-info/WHEEL", "uv-0.1.data/scripts/uv", "uv-0.1.dist-info/RECORD"]
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(names[0], "Metadata-Version: 2.1\nName: uv\nVersion: 0.1\n")
        archive.writestr(names[1], "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        program = zipfile.ZipInfo(names[2])
        program.external_attr = 0o100755 << 16  # a regular file that may be run
        archive.writestr(program, script)
        archive.writestr(names[3], "".join(f"{name},,\n" for name in names))
    (shelf / "uv-0.1-py3-none-any.whl").write_bytes(data.getvalue())
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    (requirements / "uv.txt").write_text(f"uv==0.1 --hash=sha256:{hashlib.sha256(data.getvalue()).hexdigest()}\n")
    monkeypatch.setattr(module, "REQUIREMENTS", requirements)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    environment = Environment(tmp_path / "place" / "worker", lock=lock, modules=["pebble"])
    environment.install()
    assert environment.state().state is State.READY
    assert [name for name in leftovers(environment) if "part" in name] == []
    environment.remove()
    assert nothing_stays(environment)


def test_the_variable_decides_where_the_environment_is(monkeypatch, tmp_path):
    monkeypatch.setenv("DA3_ENVIRONMENT", str(tmp_path / "elsewhere"))
    assert default_folder(tmp_path) == tmp_path / "elsewhere"
    monkeypatch.delenv("DA3_ENVIRONMENT")
    assert default_folder(tmp_path) == tmp_path / "environment"
    with pytest.raises(MissingEnvironment):
        default_folder()


LOCKS = [ROOT / "core/requirements/worker.txt", ROOT / "core/requirements/uv.txt"]
LOCKS += [ROOT / "tools/requirements" / f"{name}.txt" for name in ("uv", "blender", "test", "pip")]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: f"{path.parent.parent.name}/{path.name}")
def test_every_locked_package_is_pinned_and_hashed_and_no_host_is_named(path):
    text = path.read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert lines
    assert all(re.match(r"[a-z0-9.-]+==[^ ]+ (; .*)?\\$", line) for line in lines)
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    assert "--index" not in text and "--find-links" not in text


def test_the_worker_s_lock_holds_torch_for_every_platform_and_nothing_it_does_not_need():
    text = (ROOT / "core/requirements/worker.txt").read_text()
    assert re.search(r"^torch==2\.14\.1 \\$", text, re.MULTILINE)  # no marker: on every platform
    assert re.search(r"^torchvision==0\.29\.1 \\$", text, re.MULTILINE)
    locked = set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))
    excluded = (ROOT / "core/requirements/worker-excludes.txt").read_text().split("\n")
    assert not locked & {line.replace("_", "-") for line in excluded}
    assert "numpy" in locked


def test_the_add_on_and_the_tools_pin_the_same_uv():
    assert (ROOT / "core/requirements/uv.txt").read_text() == (ROOT / "tools/requirements/uv.txt").read_text()
