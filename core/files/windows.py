"""What Windows wants done or said otherwise. Standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

LONGEST_PATH = 259  # characters, where long paths have not been switched on, as on a new Windows
NO_WINDOW: dict[str, Any] = {
    "creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)
}  # for every program that is started
#: What a process's exit code says there (NTSTATUS, winternl.h).
CODES = {
    0xC0000005: "an access violation",
    0xC0000017: "no memory left",
    0xC000001D: "an instruction that this processor does not have",
    0xC00000FD: "a stack overflow",
    0xC0000135: "a library that is missing",
    0xC000013A: "being closed",
    0xC0000142: "a library that did not start",
    0xC0000374: "a damaged heap",
    0xC0000409: "an abort",
}
RUNTIME = (
    "Microsoft's Visual C++ Redistributable (x64), which PyTorch needs, is missing or too old: install the latest one from "
    "Microsoft's website, restart Blender and try again"
)


def long_path(path: Path) -> Path:
    """The path in the form whose length Windows does not limit; elsewhere as it is."""
    return Path(in_long_form(os.path.abspath(path))) if sys.platform == "win32" else path  # noqa: PTH100  # follows no link


def in_long_form(path: str) -> str:
    r"""``C:\x`` as ``\\?\C:\x``, and ``\\host\share`` as ``\\?\UNC\host\share``."""
    if path.startswith("\\\\?\\"):
        return path
    return f"\\\\?\\UNC\\{path[2:]}" if path.startswith("\\\\") else f"\\\\?\\{path}"


def environment_parent(local_data: str, blender: str) -> PureWindowsPath:
    """Where on Windows the folder of the dependencies is by default.

    Not with the extension's other data: under ``AppData/Roaming/Blender Foundation/...`` the longest paths of PyTorch are too
    long, and what lies there is carried along by every login of a company's network.

    Parameters
    ----------
    local_data : ``%LOCALAPPDATA%``
    blender : "4.2", ...: each has a Python of its own
    """
    return PureWindowsPath(local_data) / "da3-blender" / blender


def how_it_ended(code: int) -> str:
    """ "was killed by SIGSEGV", or "ended with exit code 3", in words where Windows has put a reason into the code."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}"
    reason = CODES.get(code)
    return f"ended with exit code {code:#x} ({reason})" if reason else f"ended with exit code {code}"


def lacks_runtime(text: str) -> bool:
    """Whether that is what is said where a library of PyTorch finds Microsoft's runtime missing."""
    failed = any(sign in text for sign in ("[WinError 126]", "[WinError 127]", "[WinError 1114]", "DLL load failed"))
    return failed and (".dll" in text or "DLL load failed" in text)
