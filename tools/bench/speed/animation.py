"""The longest step of animating a camera along 5,000 frames (claim: no call above 50 ms). Run with the interpreter that
has bpy."""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[3]
runpy.run_path(str(ROOT / "core" / "package.py"))["make_importable"]()
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "blender" / "nodes")]

from da3_blender.nodes import animation  # noqa: E402
from test_animation import orbit  # noqa: E402


def main() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    steps = animation.path_steps(orbit(range(5000)))
    longest, count, path = 0.0, 0, None
    while path is None:
        started = time.perf_counter()
        try:
            next(steps)
        except StopIteration as end:
            path = end.value
        longest, count = max(longest, time.perf_counter() - started), count + 1
    started = time.perf_counter()
    animation.follow(path)
    longest = max(longest, time.perf_counter() - started)
    print(f"animating 5,000 frames: {count + 1} steps, the longest {longest * 1e3:.0f} ms (50)")


if __name__ == "__main__":
    main()
