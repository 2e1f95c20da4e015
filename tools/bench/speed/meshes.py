"""How long it takes to build ten meshes of 504 x 378 pixels: whole arrays against lists, and the longest single step.

    python tools/bench/speed/meshes.py [--meshes N] [--runs N]

Run it with an interpreter that has ``bpy``. Two ways, taking turns in one process, both with the edges, texture coordinates,
colours and confidence of the same meshes:

* lists: ``from_pydata`` with lists of tuples, and lists for all the rest: the quickest way that Python offers without arrays
* ours: ``nodes/mesh.py`` on memory-mapped files, as they come from the worker
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import bpy
import numpy as np

runpy.run_path(str(Path(__file__).resolve().parents[3] / "core" / "package.py"))["make_importable"]()

from da3_blender.core.output.payload import CameraRecord, MeshArrays, Part  # noqa: E402
from da3_blender.core.prediction.prediction import Prediction  # noqa: E402
from da3_blender.core.settings import Settings  # noqa: E402
from da3_blender.core.surfaces import image_meshes  # noqa: E402
from da3_blender.nodes import mesh  # noqa: E402
from da3_blender.nodes.datablocks import materials  # noqa: E402
from da3_blender.nodes.datablocks.created import Created  # noqa: E402

WIDTH, HEIGHT = 504, 378
TIMES_FASTER = 5
TICK_SECONDS = 0.050


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meshes", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    lists: list[list[float]] = []
    ours: list[list[float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = time.perf_counter()
        parts = made_up(arguments.meshes)
        making = time.perf_counter() - before
        files = [part.save(folder, f"batch0_{k}") for k, part in enumerate(parts)]
        for _ in range(arguments.runs):
            opened = [Part.open(folder, record) for record in files]
            lists.append(timed(from_lists(part) for part in opened))
            opened = [Part.open(folder, record) for record in files]
            surfaces = mesh.Surfaces(materials.point_material())
            ours.append(timed(in_turn(opened, surfaces)))
    faces = sum(len(part.arrays.corners) for part in parts if isinstance(part.arrays, MeshArrays))
    print(f"{arguments.meshes} meshes with {faces} faces; medians of {arguments.runs} runs")
    print(f"made in the worker in {making:.2f} s")
    for way, runs in (("lists", lists), ("ours", ours)):
        total = statistics.median(sum(steps) for steps in runs)
        longest = statistics.median(max(steps) for steps in runs)
        worst = max(max(steps) for steps in runs)
        print(f"{way:5} {total:7.3f} s   longest step {longest * 1e3:7.1f} ms, worst of all {worst * 1e3:.1f}")
    factor = statistics.median(sum(steps) for steps in lists) / statistics.median(sum(steps) for steps in ours)
    longest = statistics.median(max(steps) for steps in ours)
    print(f"{factor:.0f} times faster than lists (claimed: {TIMES_FASTER}), longest step {longest * 1e3:.1f} ms (50)")
    return 0 if factor >= TIMES_FASTER and longest <= TICK_SECONDS else 1


def timed(steps: Iterable[object]) -> list[float]:
    """Seconds of every step; what was built is removed afterwards, outside the clock."""
    seconds = []
    before = time.perf_counter()
    for _ in steps:
        now = time.perf_counter()
        seconds.append(now - before)
        before = time.perf_counter()
    seconds.append(time.perf_counter() - before)
    bpy.data.batch_remove([*bpy.data.objects, *bpy.data.meshes])
    return seconds


def in_turn(parts: list[Part], surfaces: mesh.Surfaces) -> Generator[None, None, None]:
    shared = Created()
    for part in parts:
        yield from mesh.build_steps(part.name, part, surfaces, shared)


def from_lists(part: Part) -> bpy.types.Object:
    arrays = part.arrays
    assert isinstance(arrays, MeshArrays) and arrays.uv is not None and arrays.conf is not None
    data = bpy.data.meshes.new("lists")
    data.from_pydata([tuple(p) for p in arrays.position.tolist()], [], [tuple(f) for f in arrays.corners.tolist()])
    layer = data.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", [value for uv in arrays.uv.tolist() for value in uv])
    color = data.attributes.new("point_color", "FLOAT_COLOR", "POINT")
    color.data.foreach_set("color", [value for rgba in arrays.point_color.tolist() for value in rgba])
    conf = data.attributes.new("conf", "FLOAT", "POINT")
    conf.data.foreach_set("value", arrays.conf.tolist())
    data.update(calc_edges=True)
    return bpy.data.objects.new("lists", data)


def made_up(count: int) -> list[Part]:
    rng = np.random.default_rng(0)
    shape = (count, HEIGHT, WIDTH)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    depth = (3.0 + np.sin(u / 40.0) * np.cos(v / 30.0)).astype(np.float32)
    intrinsics = np.array([[400.0, 0.0, WIDTH / 2], [0.0, 400.0, HEIGHT / 2], [0.0, 0.0, 1.0]])
    prediction = Prediction(
        np.repeat(depth[None], count, axis=0), np.full(shape, 2.0, np.float32),
        np.repeat(np.eye(4)[None, :3], count, axis=0), np.repeat(intrinsics[None], count, axis=0),
        rng.integers(0, 256, (*shape, 3), np.uint8),
    )  # fmt: skip
    pose = tuple(np.eye(4).ravel().tolist())
    record = CameraRecord("made up", 0, pose, 400, 400, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT, "", (0, 0, WIDTH, HEIGHT))
    return image_meshes.mesh_parts(prediction, range(count), [record] * count, Settings())


if __name__ == "__main__":
    sys.exit(main())
