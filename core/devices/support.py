"""Platforms for which a package that the worker needs has no wheel: said before anything is downloaded.

As of the locked versions; docs/environment.md has the table. Standard library only.
"""

from __future__ import annotations

import platform
import sysconfig

INTEL_MAC = "PyTorch has no build for Intel Macs any more, nor for an Intel build of Blender: the models need an Apple processor"
OLD_MACOS = "PyTorch needs macOS 14 or newer: update the system, then install the dependencies"
WINDOWS_ARM = "Packages are missing for Windows on ARM: use Blender's x64 build, which runs there too"
LINUX_ARM = "Packages are missing for Linux on ARM: the dependencies can only be installed on x64"
MUSL = "PyTorch has no build for a Linux with musl: use a distribution with glibc, or Blender's Flatpak"
OLDEST_MACOS = 14


def lacking(kind: str, abi: str, macos: str = "") -> str:
    """Why the dependencies cannot be installed; empty where they can.

    Parameters
    ----------
    kind : ``sysconfig.get_platform()`` of the Python that they are for, for macOS with the processor that it runs on
    abi : its ``SOABI``
    macos : the system's version, "14.5"
    """
    if kind.startswith("macosx"):
        if kind.endswith("x86_64"):
            return INTEL_MAC
        return OLD_MACOS if macos and int(macos.partition(".")[0]) < OLDEST_MACOS else ""
    if kind == "win-arm64":
        return WINDOWS_ARM
    if "musl" in abi:
        return MUSL
    return LINUX_ARM if kind.startswith("linux") and kind.endswith(("aarch64", "arm64")) else ""


def _kind() -> str:
    kind = sysconfig.get_platform()
    return f"macosx-{platform.machine()}" if kind.startswith("macosx") else kind  # "universal2" says nothing


#: Of this machine.
HERE = lacking(_kind(), str(sysconfig.get_config_var("SOABI") or ""), platform.mac_ver()[0])
