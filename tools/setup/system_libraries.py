"""The system libraries that the wheels of Blender and OpenCV open and do not carry (Linux only)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

# Library and its Debian package. The first nine are Blender's, the last is OpenCV's; newer Ubuntus provide
# libglib2.0-0 under another name, which apt finds.
LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libXfixes.so.3": "libxfixes3",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libSM.so.6": "libsm6",
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
}


def ensure() -> None:
    """Install what is missing when this process may; else say the one line that does, and stop with exit code 3."""
    absent = missing()
    if not absent:
        return
    packages = [LIBRARIES[library] for library in absent]
    line = "apt-get install -y --no-install-recommends " + " ".join(packages)
    privilege = _privilege()
    if privilege is not None and shutil.which("apt-get"):
        print(f"Installing missing system libraries: {line}", file=sys.stderr, flush=True)
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-q"], line.split()):
            subprocess.call([*privilege, *command], env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if missing():
        print(f"System libraries are missing: {', '.join(missing())}. Run this once: sudo {line}", file=sys.stderr)
        raise SystemExit(3)


def missing() -> list[str]:
    """Libraries that the loader does not find."""
    return [library for library in LIBRARIES if not _opens(library)] if sys.platform == "linux" else []


def _opens(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _privilege() -> list[str] | None:
    """What to put before a command so that it runs as root; None where that needs a person."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.call([sudo, "-n", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
        return [sudo, "-n"]
    return None
