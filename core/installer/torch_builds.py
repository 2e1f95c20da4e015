"""Which build of PyTorch the environment gets: the package index has one per platform, PyTorch's own index the others.

Standard library only.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from ..devices.cards import Graphics
from ..errors import BadInput
from .lock_file import Requirement

TORCH = ("torch", "torchvision")
#: The oldest major version of NVIDIA's Linux driver that runs the locked build's CUDA 13 (CUDA release notes, table 3).
NVIDIA_DRIVER = 580
#: Names of ``uv pip install --torch-backend``: of the locked build's CUDA, and of the newest ROCm that this uv knows.
CUDA, ROCM = "cu130", "rocm7.2"
#: The lowest compute capability that the locked build and those of newer CUDA have kernels for (``torch.cuda.get_arch_list()``).
LOCKED_FROM = (7, 5)
#: The build for older cards, the lowest that it has kernels for, and the oldest driver that runs it (CUDA 12's minor versions
#: are compatible with each other: CUDA release notes, table 2).
LEGACY, LEGACY_FROM, LEGACY_FROM_ON_WINDOWS, LEGACY_DRIVER = "cu126", (5, 0), (6, 1), 525


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
class Build:
    """Which build of PyTorch.

    ``backend`` is the ``--torch-backend`` to ask uv for; None means the locked build of the package index, which is for
    CUDA 13 on Linux, for Metal on macOS and for the processor on Windows; "auto" lets uv pick by driver. ``warning`` is one
    sentence where a graphics card that is there cannot be used.
    """

    backend: str | None
    warning: str = ""


def build_for(device: Device | None, graphics: Graphics, platform: str = sys.platform) -> Build:
    """The build for a device on this machine.

    Parameters
    ----------
    device : None is the locked build, whatever the machine has

    Raises
    ------
    BadInput
        PyTorch has no such build for this platform.
    """
    if device is None:
        return Build(None)
    linux, windows = platform == "linux", platform == "win32"
    if (device is Device.CUDA and not (linux or windows)) or (device is Device.ROCM and not linux):
        raise BadInput(f"{device.label} is not available on this system: choose {Device.AUTO.label}")
    if device is Device.METAL and platform != "darwin":
        raise BadInput(f"{device.label} is available on macOS only: choose {Device.AUTO.label}")
    if not (linux or windows):
        return Build(None)
    if device is Device.CUDA or (device is Device.AUTO and graphics.nvidia is not None):
        return _for_nvidia(device, graphics, linux)
    if device is Device.ROCM:
        return Build(ROCM)
    if device is Device.AUTO and graphics.amd:
        return Build("auto")
    return _processor(linux)


def _for_nvidia(device: Device, graphics: Graphics, linux: bool) -> Build:
    capability, driver = graphics.capability, graphics.nvidia or 0
    if capability is not None and capability < LOCKED_FROM:
        sentence = f"{graphics.name or 'The graphics card'} (compute capability {capability[0]}.{capability[1]}) cannot be used"
        if capability < (LEGACY_FROM if linux else LEGACY_FROM_ON_WINDOWS):
            return _processor(linux, f"{sentence}: PyTorch has no build for cards of its age. The processor computes")
        if 0 < driver < LEGACY_DRIVER:
            advice = (
                f"needs a driver of version {LEGACY_DRIVER} or newer, and {driver} is installed. The processor computes"
            )
            return _processor(linux, f"{sentence}: PyTorch {advice}")
        return Build(LEGACY)
    outdated = 0 < driver < NVIDIA_DRIVER
    if linux:
        return Build("auto" if outdated else None)
    return Build("auto" if outdated or device is Device.AUTO else CUDA)


def _processor(linux: bool, warning: str = "") -> Build:
    return Build("cpu" if linux else None, warning)


def instead(graphics: Graphics) -> str:
    """What is said where a build is out of reach and the locked one was taken."""
    said = "The package index's own build of PyTorch was installed instead"
    if graphics.capability is not None and graphics.capability < LOCKED_FROM:
        said += (
            f", which has no kernels for {graphics.name or 'the graphics card'}: the processor computes until Repair"
        )
    return said


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
