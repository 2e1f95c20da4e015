"""Where the environments live: a cache folder outside the checkout, each keyed by the lock file it was made from.

A second checkout with the same locks finds them made; a changed lock makes a new one. Runs on Python 3.9 and later:
the first step of the setup has no newer one yet.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETUP = ROOT / "tools" / "setup"  # put on sys.path by those who import from there
REQUIREMENTS = ROOT / "tools" / "requirements"
UV_LOCK = REQUIREMENTS / "uv.txt"
BLENDER_LOCK = REQUIREMENTS / "blender.txt"
TEST_LOCK = REQUIREMENTS / "test.txt"
PIP_LOCK = REQUIREMENTS / "pip.txt"
OPEN3D_LOCK = REQUIREMENTS / "open3d.txt"  # only for `tools/bench/accuracy/fusion.py`
RAY_LOCK = ROOT / "core" / "requirements" / "ray.txt"
WORKER_LOCK = ROOT / "core" / "requirements" / "worker.txt"
BLENDER_PYTHON = "3.11"  # what bpy 5.0 is built for; the worker takes the same, as an installed add-on would
# Only for `make test-versions`, with their Python; from 5.3 on Blender draws Gaussian splats.
OTHER_BLENDERS = {"4.2": "3.11", "4.5": "3.11", "5.2": "3.13", "5.3": "3.13"}


def cache() -> Path:
    """The folder of all environments: ``$DA3_CACHE``, or ``da3-blender`` in the user's cache folder."""
    if os.environ.get("DA3_CACHE"):
        return Path(os.environ["DA3_CACHE"]).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().resolve() / "da3-blender"


def boot_environment() -> Path:
    """The small environment that holds only uv."""
    return cache() / f"boot-{_key(UV_LOCK, '.'.join(map(str, sys.version_info[:2])))}"


def boot_uv() -> Path:
    """The pinned uv: ``$DA3_UV`` (set by the setup for what it starts), or that of the boot environment."""
    return Path(os.environ.get("DA3_UV") or executable(boot_environment(), "uv"))


def blender_environment() -> Path:
    """The environment with Blender as a module."""
    return cache() / f"blender-{_key(BLENDER_LOCK, BLENDER_PYTHON)}"


def blender_python() -> Path:
    """The interpreter that has ``bpy``."""
    return executable(blender_environment(), "python")


def other_lock(version: str) -> Path:
    """What the environment of another Blender is made from."""
    return REQUIREMENTS / f"blender-{version}.txt"


def other_environment(version: str) -> Path:
    """The environment with one of ``OTHER_BLENDERS`` as a module."""
    return cache() / f"blender-{version}-{_key(other_lock(version), OTHER_BLENDERS[version])}"


def worker_environment() -> Path:
    """The worker's environment, as the add-on's own installer makes it."""
    return cache() / f"worker-{_key(WORKER_LOCK, BLENDER_PYTHON)}"


def test_packages() -> Path:
    """Packages that only the tests add to the worker's (by ``PYTHONPATH``), so that it stays what users get."""
    return cache() / f"test-{_key(TEST_LOCK, BLENDER_PYTHON)}"


def ray_packages() -> Path:
    """Ray, which users add to the worker's environment by a button; here apart from it, so that either can change alone."""
    return cache() / f"ray-{_key(RAY_LOCK, BLENDER_PYTHON)}"


def open3d_environment() -> Path:
    """Open3D, which one benchmark compares with; made when that first runs."""
    return cache() / f"open3d-{_key(OPEN3D_LOCK, BLENDER_PYTHON)}"


def pip_folder() -> Path:
    """Where pip's wheel, which goes into the zip, is kept."""
    return cache() / f"pip-{_key(PIP_LOCK, 'any')}"


def blender_resources() -> Path:
    """Preferences and extensions of this checkout's Blender (``BLENDER_USER_RESOURCES``), apart from the user's own."""
    folder = checkout_cache() / "blender"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def checkout_cache() -> Path:
    """A cache folder of this checkout alone."""
    folder = cache() / f"checkout-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def executable(environment: Path, name: str) -> Path:
    """A program of a virtual environment."""
    if sys.platform == "win32":
        return environment / "Scripts" / f"{name}.exe"
    return environment / "bin" / name


def key_of(*parts: str) -> str:
    """A short hash of texts, and of the platform."""
    return hashlib.sha256("\0".join([*parts, sys.platform, platform.machine()]).encode()).hexdigest()[:12]


def _key(lock: Path, python: str) -> str:
    return key_of(lock.read_text("utf-8"), python)
