"""Sets everything up, then runs what the Makefile asks for. Needs only Python 3.9; started by bootstrap.sh.

    setup.py python              print the interpreter that has bpy, and nothing else, on stdout
    setup.py run SCRIPT [ARGS]   run a script of tools/ with that interpreter
    setup.py boot SCRIPT [ARGS]  only uv is set up; the script runs with the Python at hand

1. uv, pinned, in a small environment of its own   2. the system libraries that Blender and OpenCV open
3. Blender as a module, in Python 3.11   4. the worker's environment, by the add-on's own installer   5. pytest, beside it
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import paths
import system_libraries

file_lock = runpy.run_path(str(paths.ROOT / "core" / "files" / "file_lock.py"))["file_lock"]
COMPLETE = "complete"  # marker file, written last


def main(arguments: list[str]) -> int:
    action, *rest = arguments
    boot()
    if action == "boot":
        return subprocess.call([sys.executable, *rest], env=environ())
    system_libraries.ensure()
    blender()
    test_packages()
    ray()
    worker()
    if action == "python":
        print(paths.blender_python())
        return 0
    return subprocess.call([str(paths.blender_python()), *rest], env=environ())


def boot() -> None:
    """A virtual environment with nothing but uv, at the hash that requirements/uv.txt pins."""

    def make(folder: Path) -> None:
        run([sys.executable, "-m", "venv", str(folder)])
        pip = [
            str(paths.executable(folder, "python")),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(paths.UV_LOCK)])

    once(paths.boot_environment(), "uv", make)


def blender() -> None:
    """Python 3.11 with bpy, pytest, ruff and mypy; uv downloads that Python where the machine has none."""

    def make(folder: Path) -> None:
        run([uv(), "venv", "--clear", "--quiet", "--python", paths.BLENDER_PYTHON, str(folder)])
        run(
            [uv(), "pip", "sync", "--python", str(paths.executable(folder, "python")), *HASHED, str(paths.BLENDER_LOCK)]
        )
        run([str(paths.executable(folder, "python")), "-c", "import bpy"])

    once(paths.blender_environment(), "Blender as a Python module (about 1 GB)", make)


def worker() -> None:
    """Through core/installer/environment.py, in Blender's Python, as the button in the preferences does it."""
    run([str(paths.blender_python()), str(paths.ROOT / "tools" / "setup" / "worker_environment.py")])


def test_packages() -> None:
    def make(folder: Path) -> None:
        python = str(paths.blender_python())
        run([uv(), "pip", "install", "--quiet", "--python", python, "--target", str(folder), "--no-deps", *HASHED,
             "-r", str(paths.TEST_LOCK)])  # fmt: skip

    once(paths.test_packages(), "pytest for the worker", make)


def ray() -> None:
    """For the tests of what only runs with it; the worker's Python is needed, for some of its files are of that version."""

    def make(folder: Path) -> None:
        run([uv(), "pip", "install", "--quiet", "--python", str(paths.blender_python()), "--target", str(folder), "--no-deps",
             *HASHED, "-r", str(paths.RAY_LOCK)])  # fmt: skip

    once(paths.ray_packages(), "Ray", make)


HASHED = ["--require-hashes", "--only-binary", ":all:"]


def once(folder: Path, what: str, make) -> None:  # type: ignore[no-untyped-def]
    """Make the folder unless it is complete; what an interrupted run left behind is made anew."""
    if (folder / COMPLETE).exists():
        return
    with file_lock(folder.with_name(folder.name + ".lock")):
        if (folder / COMPLETE).exists():  # another process made it meanwhile
            return
        say(f"Setting up {what} in {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        (folder / COMPLETE).touch()


def uv() -> str:
    return str(paths.boot_uv())


def environ() -> dict[str, str]:
    """What every started program is told: where uv is, and no foreign packages."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    return {**kept, "DA3_UV": uv(), "PYTHONNOUSERSITE": "1"}


def run(command: list[str]) -> None:
    """Run; its output goes to stderr, so that stdout stays for the one line of ``python``."""
    code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environ(), cwd=paths.ROOT)
    if code != 0:
        raise SystemExit(f"This failed with exit code {code}: {' '.join(command)}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
