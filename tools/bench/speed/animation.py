"""The longest step of animating a camera along 5,000 frames (claim: no call above 50 ms). Run with the interpreter that
has bpy."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import bpy

sys.path.insert(0, str(measuring.ROOT / "tests" / "blender" / "nodes"))
from da3_blender.nodes import animation
from test_animation import orbit


def main() -> int:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    records = orbit(range(5000))
    paths: list[animation.Path] = []

    def steps():
        paths.append((yield from animation.path_steps(records)))

    times = measuring.step_seconds(steps())
    times.append(measuring.seconds(lambda: animation.follow(paths[0])))
    claims = measuring.Claims()
    longest = claims.at_most("longest step", max(times) * 1e3, 50, ".0f")
    print(f"animating 5,000 frames: {len(times)} steps, the longest {longest} ms")
    return claims.verdict()


if __name__ == "__main__":
    sys.exit(main())
