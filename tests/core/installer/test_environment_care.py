"""Update, repair, wheel folders, builds of PyTorch, two Blenders at once: the environment over its life."""

import hashlib
import http.server
import random
import runpy
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from da3_blender.core.errors import BadInput, Cancelled, MissingEnvironment
from da3_blender.core.files import ownership
from da3_blender.core.installer import environment as environments
from da3_blender.core.installer import get_uv, lock_file, torch_builds, trash
from da3_blender.core.installer import place as installed_place
from da3_blender.core.installer.condition import State
from da3_blender.core.installer.environment import MARKER, Environment
from da3_blender.core.installer.torch_builds import Device
from pebble import NAME, nothing_stays, soon, wheel

ROOT = Path(__file__).resolve().parents[3]
WORKER_LOCK = ROOT / "core/requirements/worker.txt"
CONTROL_BACK = 0.3  # seconds, what the person is promised for every cancel

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks for a build that is special on Linux")


def pin(data: bytes, name: str = "pebble", version: str = "1.0") -> str:
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"


def module_of(environment: Environment) -> Path:
    return next(environment.folder.rglob("site-packages/pebble.py"))


# Update


def outdate(lock: Path, spoilt: bool = False) -> str:
    """A newer version of the add-on comes with another lock; the old one's text."""
    before = lock.read_text()
    lock.write_text(pin(b"another file") if spoilt else "# newer\n" + before)
    return before


def test_an_update_that_fails_leaves_the_old_environment_as_it_was(environment, shelf, lock):
    environment.install()
    before = outdate(lock, spoilt=True)
    with pytest.raises(MissingEnvironment, match="failed while downloading"):
        environment.install()
    assert environment.state().state is State.OUTDATED
    assert nothing_stays(environment)
    lock.write_text(before)  # the add-on goes back to its old version
    assert environment.state().state is State.READY


def test_an_update_that_is_cancelled_leaves_the_old_environment_as_it_was(environment, shelf, lock):
    environment.install()
    before = outdate(lock)
    stages = []
    with pytest.raises(Cancelled):
        environment.install(lambda stage, *_: stages.append(stage), lambda: "checking" in stages)
    assert environment.state().state is State.OUTDATED
    assert nothing_stays(environment)
    lock.write_text(before)
    assert environment.state().state is State.READY


# Repair


def test_repair_finds_a_file_that_was_changed_and_makes_it_anew(environment, shelf):
    environment.install()
    with module_of(environment).open("r+") as file:  # in place: the cache's copy is the same file and changes too
        file.write("BROKEN")
    assert environment.repair().state is State.READY
    assert module_of(environment).read_text() == "WEIGHT = 3\n"
    assert nothing_stays(environment)


def test_a_package_that_is_gone_is_seen_without_asking_and_repaired(environment, shelf):
    environment.install()
    module_of(environment).unlink()
    assert environment.state().state is State.BROKEN
    with pytest.raises(MissingEnvironment, match="gone.*pebble.*Repair"):
        environment.require()
    assert environment.repair().state is State.READY


def test_repair_remakes_what_has_no_marker_or_no_python(environment, shelf):
    environment.install()
    (environment.folder / MARKER).unlink()
    assert environment.repair().state is State.READY
    environment.python.unlink()
    assert environment.repair().state is State.READY


def test_repair_of_what_is_whole_changes_nothing(environment, shelf):
    environment.install()
    stamp = (environment.folder / MARKER).stat().st_mtime_ns
    stages = []
    environment.repair(lambda stage, *_: stages.append(stage))
    assert stages[-1] == "nothing was broken"
    assert (environment.folder / MARKER).stat().st_mtime_ns == stamp


# Files that are not ours


@pytest.mark.parametrize("action", ["install", "repair", "remove"])
def test_a_folder_with_a_person_s_own_files_is_refused_and_left_alone(environment, shelf, action):
    environment.folder.mkdir(parents=True)
    (environment.folder / "thesis.txt").write_text("years of work")
    (environment.folder / "pyvenv.cfg").write_text("home = /usr/bin\n")  # not even if it is an environment
    with pytest.raises(BadInput, match="holds other files"):
        getattr(environment, action)()
    assert (environment.folder / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_that_a_person_made_is_fine(environment, shelf):
    environment.folder.mkdir(parents=True)
    assert environment.install().state is State.READY


# What is shown


def test_what_is_installed_can_be_told_without_starting_a_program(environment, shelf, monkeypatch):
    assert environment.info() is None
    environment.install()
    monkeypatch.setattr(installed_place, "KEY_PACKAGES", ("pebble",))
    monkeypatch.setattr(subprocess, "run", None)
    info = environment.info()
    assert info.python == ".".join(map(str, sys.version_info[:3]))
    assert info.versions == {"pebble": "1.0"}
    files = [path for path in environment.folder.rglob("*") if path.is_file() and path.name != MARKER]
    assert info.size == sum(path.lstat().st_size for path in files)


def test_progress_only_grows_and_ends_at_one(environment, shelf):
    fractions = []
    environment.install(lambda _stage, fraction, _line: fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


# Wheel folder


def test_a_wheel_folder_is_enough_without_any_index(environment, shelf, monkeypatch):
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens: whatever goes out fails
    assert environment.install(wheels=shelf).state is State.READY


def test_what_the_wheel_folder_lacks_is_named(environment, shelf, lock):
    lock.write_text(lock.read_text() + pin(b"b", "boulder", "2.1") + pin(b"g", "gravel-x", "0.3"))
    with pytest.raises(MissingEnvironment, match="lacks 2 of 3 packages: boulder 2.1, gravel-x 0.3. Add"):
        environment.install(wheels=shelf)
    assert nothing_stays(environment)


def test_a_wheel_folder_that_is_not_there_is_bad_input(environment, shelf):
    with pytest.raises(BadInput, match="no wheel folder.*nowhere"):
        environment.install(wheels=shelf / "nowhere")


# Builds of PyTorch (which one: test_torch_builds.py)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index on this machine that has pebble and a torch; all others are out of reach."""
    packages = {"pebble": wheel(), "torch": wheel("torch", "2.0", TORCH)}
    for name, data in packages.items():
        folder = tmp_path / "index" / name
        folder.mkdir(parents=True)
        (folder / NAME.replace("pebble-1.0", f"{name}-{'1.0' if name == 'pebble' else '2.0'}")).write_bytes(data)
    handler = partial(Quiet, directory=str(tmp_path / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "lock.txt").write_text(pin(packages["pebble"]) + pin(packages["torch"], "torch", "2.0"))
    yield server
    server.shutdown()
    server.server_close()


TORCH = """
from types import SimpleNamespace
version = SimpleNamespace(cuda="13.0", hip=None)
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


@linux_only
def test_without_pytorch_s_own_index_the_locked_build_is_installed_and_it_is_said(tmp_path, lock, uv, index):
    environment = Environment(tmp_path / "place" / "worker", lock=lock, modules=["pebble", "torch"], uv=uv)
    started = time.monotonic()
    status = environment.install(device=Device.CPU)
    assert time.monotonic() - started < 10  # IMPATIENT gives up after five seconds at most
    assert status.state is State.READY
    assert "'cpu'" in status.warning and "package index's own build" in status.warning
    assert environment.info().warning == status.warning
    assert environment.info().torch_build == "CUDA 13.0"
    stamp = (environment.folder / MARKER).stat().st_mtime_ns
    environment.install(device=Device.CPU)  # is as good as it gets
    assert (environment.folder / MARKER).stat().st_mtime_ns == stamp
    assert nothing_stays(environment)


@linux_only
def test_another_build_of_torch_comes_beside_the_hashed_rest(tmp_path, lock, uv, shelf, monkeypatch):
    """A folder stands for PyTorch's index; its torch has not the hash that the lock has for the package index's."""
    monkeypatch.setattr(torch_builds, "origin", lambda backend: ["--no-index"])
    lock.write_text(lock.read_text() + pin(b"the CUDA build", "torch", "2.0") + pin(b"n", "nvidia-cublas", "13.1"))
    (shelf / "torch-2.0-py3-none-any.whl").write_bytes(wheel("torch", "2.0", TORCH.replace('"13.0"', "None") + METAL))
    environment = Environment(tmp_path / "place" / "worker", lock=lock, modules=["pebble", "torch"], uv=uv)
    status = environment.install(device=Device.CPU)
    assert (status.state, status.warning) == (State.READY, "")
    assert environment.info().torch_build == "CPU"
    assert environment.info().device is Device.CPU


METAL = "backends = SimpleNamespace(mps=SimpleNamespace(is_built=lambda: False))\n"


@linux_only
def test_another_device_is_another_installation_but_automatic_takes_what_is_there(tmp_path, lock, uv, index):
    environment = Environment(tmp_path / "place" / "worker", lock=lock, modules=["pebble"], uv=uv)

    def installed_anew(device: Device) -> bool:
        before = (environment.folder / MARKER).stat().st_mtime_ns
        environment.install(device=device)
        return (environment.folder / MARKER).stat().st_mtime_ns != before

    environment.install()
    assert not installed_anew(Device.AUTO)
    assert installed_anew(Device.CPU)
    assert not installed_anew(Device.CPU)


def test_the_lock_without_torch_keeps_all_else_and_its_hashes():
    text = WORKER_LOCK.read_text()
    requirements = lock_file.read(WORKER_LOCK)
    assert "".join(requirement.text for requirement in requirements) in text  # nothing is lost in reading
    kept = torch_builds.without_torch(requirements)
    names = {requirement.name for requirement in requirements if requirement.text in kept}
    gone = {requirement.name for requirement in requirements} - names
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"} <= gone
    assert all(name.startswith(("nvidia-", "cuda-")) for name in gone - {"torch", "torchvision", "triton"})
    assert torch_builds.torch_pins(requirements) == ["torch==2.14.1", "torchvision==0.29.1"]


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
@pytest.mark.parametrize("python", ["3.11.7", "3.12.0", "3.13.5"])
def test_markers_are_read_as_packaging_reads_them(platform, python):
    markers = pytest.importorskip("packaging.markers")
    machine = {"sys_platform": platform, "python_full_version": python, "platform_machine": "x86_64"}
    for requirement in lock_file.read(WORKER_LOCK):
        expected = not requirement.marker or markers.Marker(requirement.marker).evaluate(machine)
        assert requirement.applies(machine) == expected, requirement.name


# Two Blenders, crashes, cancelling


def test_two_at_once_share_one_installation(tmp_path, environment, shelf, lock, uv):
    other = Environment(environment.folder, lock=lock, modules=["pebble"], uv=uv)
    waits, shown, built = threading.Event(), [], []

    def slow(stage: str, _fraction: float, _line: str) -> None:
        built.append(stage)
        if stage == "checking":
            assert waits.wait(10)

    def monitor(stage: str, _fraction: float, line: str) -> None:
        shown.append((stage, line))
        if stage == "waiting for another installation" and line:
            waits.set()

    first = threading.Thread(target=environment.install, args=[slow])
    first.start()
    while "checking" not in built:
        time.sleep(0.01)
    status = other.install(monitor)
    first.join()
    assert status.state is State.READY
    assert {stage for stage, _ in shown} == {"waiting for another installation"}  # it made nothing itself
    assert nothing_stays(environment)


def test_what_a_crash_left_is_swept_but_not_from_under_a_running_installation(environment, shelf):
    place = environment.folder.parent
    for name in ("worker.part-0123abcd", "worker.trash-0123abcd", "uv-abc.trash-12", "worker.cache/.tmpXyz"):
        ownership.claim(place / name, trash.KIND, ["lib"])
    (place / "worker.cache" / "archive").mkdir()
    ownership.adopt(place / "worker.cache", trash.KIND)
    with environments.file_lock(place / "worker.lock"):
        environment.sweep()
        assert (place / "worker.part-0123abcd").exists()
    environment.sweep()
    assert nothing_stays(environment)
    cache = place / "worker.cache"
    assert soon(
        lambda: [path.name for path in cache.glob("[!.]*")] == ["archive"] and not list(cache.glob(".tmp*")),
        "halves of downloads are gone",
    )


@pytest.fixture
def gravel(shelf, lock):
    """A package of many files, so that there is something to be cancelled in the middle of."""
    data = wheel(more=2000)
    (shelf / NAME).write_bytes(data)
    lock.write_text(pin(data))


def test_cancelling_at_any_moment_gives_control_back_at_once_and_nothing_stays(environment, gravel):
    started = time.monotonic()
    environment.install()
    whole = time.monotonic() - started
    environment.remove()
    dice = random.Random(3)
    seconds = []
    for _ in range(6):
        until = time.monotonic() + dice.uniform(0, 0.9 * whole)
        try:
            environment.install(cancelled=lambda until=until: time.monotonic() > until)
        except Cancelled:
            seconds.append(time.monotonic() - until)
        else:
            environment.remove()
        assert nothing_stays(environment)
        assert environment.state().state is State.MISSING
        assert not environment.folder.with_name("worker.cache").exists()  # nor is what was downloaded
    assert len(seconds) >= 4
    assert max(seconds) < CONTROL_BACK, seconds


# The installer of the installer


def test_a_python_without_pip_and_ensurepip_installs_through_the_add_on_s_own_pip(
    tmp_path, shelf, lock, uv, monkeypatch
):
    tools = runpy.run_path(str(ROOT / "tools" / "paths.py"))
    wheels = sorted(tools["pip_folder"]().glob("pip-*.whl"))
    if not wheels:
        pytest.skip("pip's wheel has not been downloaded yet (make zip)")
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    shutil.copy(wheels[0], requirements)
    boulder = wheel("uv", "0.1")
    (shelf / "uv-0.1-py3-none-any.whl").write_bytes(boulder)
    (requirements / "uv.txt").write_text(pin(boulder, "uv", "0.1"))
    monkeypatch.setattr(get_uv, "REQUIREMENTS", requirements)
    monkeypatch.setattr(get_uv, "_find", partial(found_in, program=uv))
    monkeypatch.delenv("UV_FIND_LINKS")
    bare = tmp_path / "python"  # refuses what Debian's Python without python3-venv refuses
    bare.write_text(f'#!/bin/sh\ncase "$*" in *"-m venv"*|*"-m pip"*) exit 9;; esac\nexec "{sys.executable}" "$@"\n')
    bare.chmod(0o755)
    environment = Environment(tmp_path / "place" / "worker", lock=lock, modules=["pebble"], base_python=str(bare))
    assert environment.install(wheels=shelf).state is State.READY
    assert "pip-" in environment.log.read_text()


def found_in(folder: Path, program: Path) -> Path:
    """pip has put the stand-in for uv where uv is looked for; the real one goes on."""
    if not (folder / "uv.py").exists():
        raise FileNotFoundError
    return program


def test_without_any_pip_the_sentence_names_what_to_install(tmp_path, shelf, lock, monkeypatch):
    monkeypatch.setattr(get_uv.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(get_uv, "REQUIREMENTS", tmp_path)
    (tmp_path / "uv.txt").write_text(pin(b"", "uv", "0.1"))
    environment = Environment(tmp_path / "place" / "worker", lock=lock)
    with pytest.raises(MissingEnvironment, match="neither pip nor ensurepip.*python3-venv"):
        environment.install()
    assert nothing_stays(environment)
