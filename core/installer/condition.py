"""What is known of an environment: whether it can be used, and what is in it. Standard library only."""

from __future__ import annotations

import contextlib
import enum
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MissingEnvironment
from ..files.windows import NO_WINDOW
from .torch_builds import Device

#: The packages whose versions a person may want to read.
KEY_PACKAGES = ("torch", "torchvision", "depth-anything-3", "numpy", "opencv-python", "pycolmap", "huggingface-hub")


START_TIMEOUT = 25  # seconds; an interpreter starts in 0.1, on a cold network disk in a few; a stopped one never does


class State(enum.Enum):
    MISSING = "missing"
    BROKEN = "broken"
    OUTDATED = "outdated"  # whole, but made for another version of the add-on
    READY = "ready"


@dataclass(frozen=True)
class Status:
    """Whether the environment can be used, one sentence that says why not, and one of what is not as it was asked for."""

    state: State
    reason: str
    warning: str = ""


@dataclass(frozen=True)
class Info:
    """What is installed; measured when it was.

    ``size`` is in bytes; ``torch_build`` is "CUDA 13.0", "ROCm 7.2", "Metal" or "CPU"; ``versions`` holds
    ``KEY_PACKAGES``. An environment made by version 0.1 knows its Python only.
    """

    python: str
    torch_build: str = ""
    size: int | None = None
    device: Device | None = None
    warning: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def default_folder(parent: Path | None = None) -> Path:
    """``$DA3_ENVIRONMENT`` where it is set, else a folder in ``parent`` (a place that outlives an update of the add-on)."""
    if os.environ.get("DA3_ENVIRONMENT"):
        return Path(os.environ["DA3_ENVIRONMENT"]).expanduser()
    if parent is None:
        raise MissingEnvironment("No folder is known for the dependencies. Set DA3_ENVIRONMENT to one")
    return parent / "environment"


#: Prints its version and which of the modules cannot be found; imports none of them.
LOOK = """
import importlib.util, platform, sys
print(platform.python_version(), *[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
"""


def look(python: Path, modules: Sequence[str]) -> tuple[str, list[str]]:
    command = [str(python), "-I", "-c", LOOK, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=START_TIMEOUT, **NO_WINDOW)
    version, *lacking = done.stdout.split()
    return version, lacking


def same_series(one: str, other: str) -> bool:
    """Whether packages for one Python run on the other: a system's update from 3.13.5 to 3.13.6 changes nothing."""
    return one.split(".")[:2] == other.split(".")[:2]


def disk_is_full(error: BaseException) -> bool:
    return any(sign in str(error).lower() for sign in ("no space left", "not enough space", "quota exceeded"))


def in_use(folder: Path) -> str:
    return f"'{folder}' cannot be replaced or removed; close the other Blender windows that use it and try again"


def last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 500))
            lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""
