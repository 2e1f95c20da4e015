"""A red cube behind the crate of courtyard and a ball on its floor, rendered over the plate by what Set Up Shot has made.

    shot.py FILE.blend PICTURE.png

FILE.blend: a run on courtyard with ``DA3_Camera`` and a fused surface.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "support")]

import paths  # noqa: E402  # a file of tools/
import truth  # noqa: E402  # a file of the tests

FRAME = 12  # the crate stands before the middle of its photograph
# In the yard's own metres, z up: behind the crate at (1.95, -0.55), and left of it.
CUBE, SIDE = (2.35, 0.35, 0.4), 0.8
BALL, RADIUS = (0.9, -0.9, 0.22), 0.22
SAMPLES = 128


def main(blend: str, picture: str) -> int:
    os.environ.setdefault("BLENDER_USER_RESOURCES", str(paths.blender_resources()))
    import bpy
    from mathutils import Matrix

    runpy.run_path(str(ROOT / "core" / "package.py"))["make_importable"]()
    from da3_blender import addon

    addon.register()
    bpy.ops.wm.open_mainfile(filepath=blend)
    bpy.ops.da3.set_up_shot()
    scene = bpy.context.scene
    seen = {}
    for number in (0, FRAME):
        scene.frame_set(scene.frame_start + number)
        seen[number] = np.array(scene.camera.matrix_world)
    to_scene = similarity(truth.load("courtyard"), seen)
    for name, make, place in (
        ("cube", bpy.ops.mesh.primitive_cube_add, CUBE), ("ball", bpy.ops.mesh.primitive_uv_sphere_add, BALL),
    ):  # fmt: skip
        make(**({"size": SIDE} if name == "cube" else {"radius": RADIUS, "segments": 64, "ring_count": 32}))
        thing = bpy.context.object
        thing.matrix_world = Matrix((to_scene @ moved(place)).tolist())
        red = bpy.data.materials.new(name)
        red.use_nodes = True
        surface = next(node for node in red.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
        surface.inputs["Base Color"].default_value = (0.6, 0.02, 0.02, 1.0)
        thing.data.materials.append(red)
        if name == "ball":
            bpy.ops.object.shade_smooth()
    scene.frame_set(scene.frame_start + FRAME)
    scene.cycles.samples, scene.cycles.device = SAMPLES, "CPU"
    scene.render.image_settings.file_format, scene.render.filepath = "PNG", picture
    bpy.ops.render.render(write_still=True)
    addon.unregister()
    return 0


def moved(place: tuple[float, float, float]) -> np.ndarray:
    """(4, 4): to that place."""
    matrix = np.eye(4)
    matrix[:3, 3] = place
    return matrix


def similarity(known: truth.Truth, found: dict[int, np.ndarray]) -> np.ndarray:
    """(4, 4) from the yard's world (Blender's axes) to the scene's, in which its cameras stand; ``found`` by frame."""
    axes = np.diag([1.0, -1.0, -1.0, 1.0])  # between a camera's axes of OpenCV and of Blender
    first, other = min(found), max(found)
    own = {k: known.camera_to_world[k] @ axes for k in (first, other)}
    scale = np.linalg.norm(found[other][:3, 3] - found[first][:3, 3]) / np.linalg.norm(
        own[other][:3, 3] - own[first][:3, 3]
    )
    turn = found[first][:3, :3] @ own[first][:3, :3].T / np.cbrt(np.linalg.det(found[first][:3, :3]))
    matrix = np.eye(4)
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = found[first][:3, 3] - scale * turn @ own[first][:3, 3]
    return matrix


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
