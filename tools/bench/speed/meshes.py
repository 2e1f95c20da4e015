"""How long it takes to build ten meshes of 504 x 378 pixels: whole arrays against lists, and the longest single step.

    python tools/bench/speed/meshes.py [--meshes N] [--runs N]

Run it with an interpreter that has ``bpy``. Two ways, taking turns in one process, both with the edges, texture coordinates,
colours and confidence of the same meshes:

* lists: ``from_pydata`` with lists of tuples, and lists for all the rest: the quickest way that Python offers without arrays
* ours: ``nodes/mesh.py`` on memory-mapped files, as they come from the worker
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring
import bpy
import numpy as np
from building import remove_built
from da3_blender.core.output.payload import CameraRecord, MeshArrays, Part
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings
from da3_blender.core.surfaces import image_meshes
from da3_blender.nodes import mesh
from da3_blender.nodes.datablocks import materials
from da3_blender.nodes.datablocks.created import Created

WIDTH, HEIGHT = 504, 378


def main() -> int:
    given = measuring.options(__doc__, meshes=10, runs=3)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts, taken = measuring.timed(lambda: made_up(given.meshes))
        print(f"made in the worker in {taken:.2f} s")
        files = [part.save(folder, f"batch0_{k}") for k, part in enumerate(parts)]
        faces = sum(len(part.arrays.corners) for part in parts if isinstance(part.arrays, MeshArrays))
        print(f"{given.meshes} meshes with {faces} faces")

        def opened() -> list[Part]:
            return [Part.open(folder, record) for record in files]

        ways = {
            "lists": lambda: map(from_lists, opened()),
            "ours": lambda: in_turn(opened(), mesh.Surfaces(materials.point_material())),
        }
        found = measuring.take_turns(ways, given.runs, remove_built)
    return measuring.beside_lists(found["lists"], found["ours"], 5)


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
