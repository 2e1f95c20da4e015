"""Which graphics cards there are, asked of their drivers: nothing of ours need be installed. Standard library only."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..files.windows import NO_WINDOW

PATIENCE = 10  # seconds; a driver that has gone to sleep takes a while
#: (major, minor) of what a card's kernels have to be built for (CUDA C++ programming guide, compute capabilities).
Capability = tuple[int, int]


@dataclass(frozen=True)
class Graphics:
    """What kind of graphics card is there.

    ``nvidia`` is the driver's major version, 0 where it is not known, None without one; ``capability`` that of the most
    capable NVIDIA card, which torch takes first, and ``name`` its name; a driver of before 2021 does not tell them.
    """

    nvidia: int | None = None
    amd: bool = False
    capability: Capability | None = None
    name: str = ""


def find_graphics() -> Graphics:
    """Look for graphics cards; takes up to a second, where a driver is slow up to twenty."""
    amd = sys.platform == "linux" and Path("/dev/kfd").exists()
    told = _ask("compute_cap,driver_version,name")
    cards = [card for line in told or () if (card := _card(line)) is not None]
    if cards:
        capability, driver, name = max(cards)
        return Graphics(driver, amd, capability, name)
    return Graphics(_driver(), amd)


def _card(line: str) -> tuple[Capability, int, str] | None:
    """Of "8.6, 551.23, NVIDIA GeForce RTX 3060"."""
    match = re.match(r"\s*(\d+)\.(\d+)\s*,\s*(\d+)[\d.]*\s*,\s*(.*?)\s*$", line)
    return ((int(match[1]), int(match[2])), int(match[3]), match[4]) if match else None


def _driver() -> int | None:
    """Major version of the NVIDIA driver; 0 if it is there and does not tell; None without one."""
    with contextlib.suppress(OSError):
        said = Path("/proc/driver/nvidia/version").read_text("utf-8", "replace")
        match = re.search(r"\s(\d+)\.\d+[\d.]*\s", said)
        return int(match[1]) if match else 0
    match = re.match(r"\s*(\d+)\.", "".join((_ask("driver_version") or [])[:1]))
    return int(match[1]) if match else None


def _ask(fields: str) -> list[str] | None:
    """The lines of NVIDIA's tool, one for each card; None where it is not there or has no driver to ask."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **NO_WINDOW)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
