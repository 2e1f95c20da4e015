"""How long it takes to build 1.9 million points: whole arrays against lists, and the longest single call.

    python tools/bench/speed/building.py [--points N] [--runs N]

Run it with an interpreter that has ``bpy``. Three ways, taking turns in one process:

* lists: ``from_pydata`` with a list of tuples and a value at a time, as add-ons mostly do it
* warm: ``nodes/point_cloud.py`` on memory-mapped files that the system still has in memory, as they come from the worker
* cold: the same, but the files' pages have been dropped from memory first
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import bpy
import numpy as np
from da3_blender.core.output.payload import PointArrays
from da3_blender.nodes import point_cloud
from da3_blender.nodes.datablocks import materials, point_trees


def main() -> int:
    given = measuring.options(__doc__, points=1_900_000, runs=5)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    tree = point_trees.point_cloud_tree(materials.point_material())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = made_up(given.points).save(folder, "bench")

        def lists() -> Iterator[object]:
            yield from_lists(PointArrays.open(folder, files))

        def warm() -> Iterator[object]:
            yield from point_cloud.build_steps("c", PointArrays.open(folder, files), tree)

        def cold() -> Iterator[object]:
            forget([folder / file for file in files.values()])
            return warm()

        print(f"{given.points} points with colour, confidence and frame")
        ways = {"lists": lists, "warm": warm} | ({"cold": cold} if hasattr(os, "posix_fadvise") else {})
        found = measuring.take_turns(ways, given.runs, remove_built)
    return measuring.beside_lists(found["lists"], found["warm"], 40)


def remove_built() -> None:
    bpy.data.batch_remove([*bpy.data.objects, *bpy.data.meshes])


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
