"""The tests on every supported Blender; run by ``make test-versions``. The last line is the count, as that of test.py.

1. an environment per Blender (about 1 GB each, made once)   2. tests/blender in each
3. tests/versions: the zip's whole life in each, and that all of them build the same scene

    versions.py [VERSION ...]    only these, as in: 4.2 5.2
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import build_zip
import paths

sys.path.insert(0, str(paths.SETUP))
import setup
from test import Count, run_tests

MAIN = "5.0"  # the Blender of `make test`


def main(arguments: list[str]) -> int:
    count = Count()
    pythons = {}
    for version in sorted([*paths.OTHER_BLENDERS, MAIN]):
        if arguments and version not in arguments:
            continue
        python = find_or_make(version)
        if isinstance(python, str):
            print(f"Blender {version}: SKIPPED, {python}", flush=True)
            count += Count(skipped=1)
        else:
            pythons[version] = python
    for version, python in pythons.items():
        print(f"--- Blender {version}", flush=True)
        count += run_tests(["tests/blender"], python, [])
    with tempfile.TemporaryDirectory(prefix="da3-zip-") as folder:
        zip_file = build_zip.build(paths.ROOT, Path(folder))
        told = " ".join(f"{version}={python}" for version, python in pythons.items())
        count += run_tests(["tests/versions"], Path(sys.executable), ["-s"], DA3_BLENDERS=told, DA3_ZIP=str(zip_file))
    print(count, flush=True)
    return 1 if count.failed else 0


def find_or_make(version: str) -> Path | str:
    """The interpreter that has that Blender, or why there is none."""
    if version == MAIN:
        return paths.blender_python()
    wanted = paths.OTHER_BLENDERS[version]
    folder = paths.other_environment(version)
    if not (folder / setup.COMPLETE).exists():
        base = _find_python(wanted)
        if base is None:
            return f"Python {wanted} is neither on this machine nor to be had by uv"

        def make(folder: Path) -> None:
            python = str(paths.executable(folder, "python"))
            setup.run([setup.uv(), "venv", "--clear", "--quiet", "--python", base, str(folder)])
            setup.run([setup.uv(), "pip", "sync", "--python", python, *setup.HASHED, str(paths.other_lock(version))])
            setup.run([python, "-c", "import bpy"])

        setup.once(folder, f"Blender {version} as a Python module (about 1 GB)", make)
    return paths.executable(folder, "python")


def _find_python(version: str) -> str | None:
    """An interpreter of that version: one that uv finds, one of pyenv's that is not switched on, one that uv downloads."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [version, *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True))]
    for candidate in candidates:
        found = _ask_uv("find", candidate)
        if found:
            return found
    _ask_uv("install", version)
    return _ask_uv("find", version)


def _ask_uv(*words: str) -> str:
    """What it answers; empty where it does not know, or takes too long to find out."""
    try:
        return subprocess.run(
            [setup.uv(), "python", *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        ).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
