"""Which build of PyTorch the environment gets: the package index has one per platform, PyTorch's own index the others.

Standard library only.
"""

from __future__ import annotations

import contextlib
import enum
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from .lock_file import Requirement

TORCH = ("torch", "torchvision")
#: The oldest major version of NVIDIA's Linux driver that runs the locked build's CUDA 13 (CUDA release notes, table 3).
NVIDIA_DRIVER = 580
#: Names of ``uv pip install --torch-backend``: of the locked build's CUDA, and of the newest ROCm that this uv knows.
CUDA, ROCM = "cu130", "rocm7.2"


class Device(enum.Enum):
    """What the dependencies are installed for."""

    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"
    ROCM = "rocm"
    METAL = "metal"

    @property
    def label(self) -> str:
        """For a list to choose from."""
        return _TEXTS[self][0]

    @property
    def help(self) -> str:
        """One sentence."""
        return _TEXTS[self][1]


_TEXTS = {
    Device.AUTO: ("Automatic", "For the graphics card that is found, else for the processor"),
    Device.CUDA: ("NVIDIA (CUDA)", "For NVIDIA graphics cards, on Linux and Windows; the largest download"),
    Device.CPU: ("Processor", "Without a graphics card; the smallest download"),
    Device.ROCM: ("AMD (ROCm)", "For AMD graphics cards, on Linux"),
    Device.METAL: ("Apple (Metal)", "For the graphics of Apple's own processors"),
}


@dataclass(frozen=True)
class Graphics:
    """What kind of graphics card is there; ``nvidia`` is the driver's major version, 0 where it is not known."""

    nvidia: int | None = None
    amd: bool = False


def find_graphics() -> Graphics:
    """Look for graphics cards; takes up to a second, where a driver is slow up to ten."""
    return Graphics(nvidia=_nvidia_driver(), amd=sys.platform == "linux" and Path("/dev/kfd").exists())


def backend(device: Device | None, graphics: Graphics, platform: str = sys.platform) -> str | None:
    """The ``--torch-backend`` to ask uv for; None means the locked build of the package index.

    That one is for CUDA 13 on Linux, for Metal on macOS and for the processor on Windows. "auto" lets uv pick by driver.

    Parameters
    ----------
    device : None is the locked build, whatever the machine has

    Raises
    ------
    BadInput
        PyTorch has no such build for this platform.
    """
    if device is None:
        return None
    linux, windows = platform == "linux", platform == "win32"
    if (device is Device.CUDA and not (linux or windows)) or (device is Device.ROCM and not linux):
        raise BadInput(f"{device.label} is not available on this system: choose {Device.AUTO.label}")
    if device is Device.METAL and platform != "darwin":
        raise BadInput(f"{device.label} is available on macOS only: choose {Device.AUTO.label}")
    if not (linux or windows):
        return None
    outdated = linux and graphics.nvidia is not None and 0 < graphics.nvidia < NVIDIA_DRIVER
    if device is Device.CUDA:
        return "auto" if outdated else None if linux else CUDA
    if device is Device.ROCM:
        return ROCM
    if device is Device.AUTO and graphics.nvidia is not None:
        return "auto" if outdated or windows else None
    if device is Device.AUTO and graphics.amd:
        return "auto"
    return "cpu" if linux else None


def origin(backend: str) -> list[str]:
    """The options that lead uv to that build."""
    return ["--torch-backend", backend]


def without_torch(requirements: Iterable[Requirement]) -> str:
    """The lock's text without torch and what only its CUDA build needs."""
    kept = [r for r in requirements if r.name not in (*TORCH, "triton") and not r.name.startswith(("nvidia-", "cuda-"))]
    return "".join(requirement.text for requirement in kept)


def torch_pins(requirements: Iterable[Requirement]) -> list[str]:
    """``torch==...`` and its kin at the locked versions, as far as the lock has them."""
    return [f"{requirement.name}=={requirement.version}" for requirement in requirements if requirement.name in TORCH]


def _nvidia_driver() -> int | None:
    """Major version of the NVIDIA driver; 0 if it is there and does not tell; None without one."""
    with contextlib.suppress(OSError):
        said = Path("/proc/driver/nvidia/version").read_text("utf-8", "replace")
        match = re.search(r"\s(\d+)\.\d+[\d.]*\s", said)
        return int(match[1]) if match else 0
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, creationflags=flags)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"(\d+)\.", done.stdout.strip())
    return int(match[1]) if done.returncode == 0 and match else None
