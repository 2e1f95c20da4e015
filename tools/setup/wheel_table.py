"""For which platforms and Pythons every locked package has a wheel, as uv resolves it: the table of docs/environment.md.

Run by ``sh tools/setup/bootstrap.sh boot tools/setup/wheel_table.py``; asks the user's own index, and installs nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import paths

PYTHONS = ("3.11", "3.13")  # of Blender 4.2 to 5.0, and from 5.1 on
#: Name, uv's name, and for macOS the system's version.
PLATFORMS = (
    ("Linux x64, glibc", "x86_64-manylinux_2_28", ""),
    ("Linux ARM, glibc", "aarch64-manylinux_2_28", ""),
    ("Linux x64, musl", "x86_64-unknown-linux-musl", ""),
    ("Windows x64", "x86_64-pc-windows-msvc", ""),
    ("Windows ARM", "aarch64-pc-windows-msvc", ""),
    ("macOS 14, Apple processor", "aarch64-apple-darwin", "14.0"),
    ("macOS 13, Apple processor", "aarch64-apple-darwin", "13.0"),
    ("macOS 14, Intel", "x86_64-apple-darwin", "14.0"),
)


def main() -> None:
    print(f"| | {' | '.join(f'Python {python}' for python in PYTHONS)} |\n|{' --- |' * (1 + len(PYTHONS))}")
    for name, platform, macos in PLATFORMS:
        print(f"| {name} | {' | '.join(lacks(platform, python, macos) or 'all' for python in PYTHONS)} |", flush=True)


def lacks(platform: str, python: str, macos: str) -> str:
    """The first package without a wheel that serves; empty where all have one."""
    command = [str(paths.boot_uv()), "pip", "install", "--dry-run", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-platform", platform, "--python-version", python, "--target", os.devnull + "-target"]
    environ = {**os.environ, **({"MACOSX_DEPLOYMENT_TARGET": macos} if macos else {})}
    done = subprocess.run([*command, "-r", str(paths.WORKER_LOCK)], env=environ, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    found = re.search(r"Because\s+([\w.-]+?)(?:\{[^}]*\})?==\S+\s+has\s+no\s+(?:usable\s+)?wheels", done.stderr)
    if not found:
        sys.exit(f"uv could not be asked: {done.stderr.strip()}")
    return f"no {found[1]}"


if __name__ == "__main__":
    main()
