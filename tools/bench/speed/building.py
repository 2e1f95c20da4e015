"""How long it takes to build 1.9 million points: whole arrays against lists, and the longest single call.

    python tools/bench/speed/building.py [--points N] [--runs N]

Run it with an interpreter that has ``bpy``. Three ways, taking turns in one process:

* lists: ``from_pydata`` with a list of tuples and a value at a time, as add-ons mostly do it
* warm: ``nodes/point_cloud.py`` on memory-mapped files that the system still has in memory, as they come from the worker
* cold: the same, but the files' pages have been dropped from memory first
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

runpy.run_path(str(Path(__file__).resolve().parents[3] / "core" / "package.py"))["make_importable"]()

from da3_blender.core.output.payload import PointArrays  # noqa: E402
from da3_blender.nodes import point_cloud  # noqa: E402
from da3_blender.nodes.datablocks import materials, point_trees  # noqa: E402

TIMES_FASTER = 40
TICK_SECONDS = 0.050


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_900_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    tree = point_trees.point_cloud_tree(materials.point_material())
    lists, warm, cold = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        files = made_up(arguments.points).save(Path(folder), "bench")
        paths = [Path(folder) / file for file in files.values()]
        for _ in range(arguments.runs):
            lists.append(timed_steps(lambda: [from_lists(PointArrays.open(Path(folder), files))]))
            warm.append(timed_steps(lambda: point_cloud.build_steps("c", PointArrays.open(Path(folder), files), tree)))
            if hasattr(os, "posix_fadvise"):
                forget(paths)
                cold.append(
                    timed_steps(lambda: point_cloud.build_steps("c", PointArrays.open(Path(folder), files), tree))
                )
    print(f"{arguments.points} points with colour, confidence and frame; medians of {arguments.runs} runs")
    for name, runs in (("lists", lists), ("warm", warm), ("cold", cold)):
        if runs:
            total = statistics.median(sum(steps) for steps in runs)
            longest = statistics.median(max(steps) for steps in runs)
            worst = max(max(steps) for steps in runs)
            print(
                f"{name:5} {total * 1e3:8.1f} ms   longest call {longest * 1e3:7.1f} ms, worst of all {worst * 1e3:.1f}"
            )
    ours = statistics.median(sum(steps) for steps in warm)
    factor = statistics.median(sum(steps) for steps in lists) / ours
    longest = statistics.median(max(steps) for steps in warm)
    print(f"{factor:.0f} times faster than lists (claimed: {TIMES_FASTER}), longest call {longest * 1e3:.1f} ms (50)")
    return 0 if factor >= TIMES_FASTER and longest <= TICK_SECONDS else 1


def timed_steps(start: Callable[[], object]) -> list[float]:
    """Seconds of every step; what was built is removed afterwards, outside the clock."""
    seconds = []
    before = time.perf_counter()
    for _ in start():
        now = time.perf_counter()
        seconds.append(now - before)
        before = time.perf_counter()
    seconds.append(time.perf_counter() - before)
    bpy.data.batch_remove([*bpy.data.objects, *bpy.data.meshes])
    return seconds


def from_lists(cloud: PointArrays) -> bpy.types.Object:
    """The usual way, with the quickest means that Python offers for it."""
    mesh = bpy.data.meshes.new("lists")
    mesh.from_pydata([tuple(p) for p in cloud.position.tolist()], [], [])
    color = mesh.attributes.new("point_color", "FLOAT_COLOR", "POINT")
    color.data.foreach_set("color", [value for rgba in cloud.point_color.tolist() for value in rgba])
    conf = mesh.attributes.new("conf", "FLOAT", "POINT")
    conf.data.foreach_set("value", cloud.conf.tolist())
    frame = mesh.attributes.new("frame", "INT", "POINT")
    frame.data.foreach_set("value", cloud.frame.tolist())
    return bpy.data.objects.new("lists", mesh)


def made_up(points: int) -> PointArrays:
    rng = np.random.default_rng(0)
    return PointArrays(
        rng.random((points, 3), np.float32),
        rng.random((points, 4), np.float32),
        rng.random(points, np.float32),
        rng.integers(0, 9, points, np.int32),
    )


def forget(paths: list[Path]) -> None:
    """Let the system drop the files' pages from memory."""
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    sys.exit(main())
