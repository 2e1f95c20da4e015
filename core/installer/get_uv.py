"""Gets uv, the program that installs all else, pinned by hash, from the person's own package index or a wheel folder.

Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
from pathlib import Path

from ..errors import MissingEnvironment
from ..files import ownership
from .lock_file import read, require_wheels
from .running import Command, Run
from .trash import KIND, discard

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
STAGE = "getting the installer"


def uv_folder(parent: Path) -> Path:
    """Where in ``parent`` the uv of that lock is, or shall be."""
    return parent / f"uv-{hashlib.sha256((REQUIREMENTS / 'uv.txt').read_bytes()).hexdigest()[:12]}"


def get_uv(run: Run, parent: Path, part: Path, base_python: str, wheels: Path | None = None) -> Path:
    """The program; installed into ``parent`` where it is not there yet.

    Parameters
    ----------
    part : a folder to work in, which is not there yet and is gone afterwards
    base_python : runs pip; it may have none itself
    wheels : a folder to take it from, instead of the index

    Raises
    ------
    Cancelled
    MissingEnvironment
    """
    folder = uv_folder(parent)
    with contextlib.suppress(FileNotFoundError):
        return _find(folder)
    lock = REQUIREMENTS / "uv.txt"
    if wheels is not None:
        require_wheels(read(lock), wheels, {})
    try:
        ownership.claim(part, KIND)
        ownership.claim(part / "uv", KIND)
        pip = _pip(run, part, base_python)
        pip += ["install", "--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary", ":all:"]
        pip += ["--no-deps", "--no-index", "--find-links", wheels] if wheels else ["--no-deps"]
        run(STAGE, 0.02, [*pip, "--target", part / "uv", "-r", lock])
        with contextlib.suppress(OSError):  # another Blender was quicker: its uv is as good
            ownership.move(part / "uv", folder)
    finally:
        discard(part)
    return _find(folder)


def _pip(run: Run, part: Path, base_python: str) -> Command:
    """How to start pip: the add-on's own, from its wheel; a checkout has none, there a virtual environment brings it."""
    for wheel in sorted(REQUIREMENTS.glob("pip-*.whl")):
        return [base_python, "-I", wheel / "pip"]
    if base_python == sys.executable and importlib.util.find_spec("ensurepip") is None:
        raise MissingEnvironment(
            "This Python can install nothing: it has neither pip nor ensurepip. Install your system's package for them "
            "(python3-venv on Debian and Ubuntu), or use the add-on's released zip, which brings its own"
        )
    run(STAGE, 0.0, [base_python, "-I", "-m", "venv", part / "venv"])
    program = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    return [part / "venv" / program, "-I", "-m", "pip"]


def _find(folder: Path) -> Path:
    for name in ("bin/uv", "Scripts/uv.exe", "bin/uv.exe"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"There is no uv in {folder}")
