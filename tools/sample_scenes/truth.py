"""The ground truth: rays through the pixels' exact centres, cast against the triangles that Cycles renders."""

import json
import re
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from PIL import Image

from .paths import Shot

Array = np.ndarray


class World:
    """All triangles of the scene as it stands.

    Attributes
    ----------
    corners : (T, 3, 3) float64, world metres
    ids : (T,) uint8, the thing that each triangle belongs to
    """

    def __init__(self) -> None:
        graph = bpy.context.evaluated_depsgraph_get()
        corners, ids = [], []
        for item in bpy.context.scene.objects:
            if item.type != "MESH" or "thing" not in item:
                continue
            evaluated = item.evaluated_get(graph)
            mesh = evaluated.to_mesh()
            mesh.calc_loop_triangles()
            points = np.empty(len(mesh.vertices) * 3, np.float32)
            mesh.vertices.foreach_get("co", points)
            triangles = np.empty(len(mesh.loop_triangles) * 3, np.int32)
            mesh.loop_triangles.foreach_get("vertices", triangles)
            matrix = np.array(evaluated.matrix_world, np.float64)
            world = points.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
            corners.append(world[triangles.reshape(-1, 3)])
            ids.append(np.full(len(triangles) // 3, item["thing"], np.uint8))
            evaluated.to_mesh_clear()
        self.corners, self.ids = np.concatenate(corners), np.concatenate(ids)
        flat = self.corners.reshape(-1, 3)
        numbers = np.arange(len(flat)).reshape(-1, 3)
        self._tree = BVHTree.FromPolygons(flat.tolist(), numbers.tolist(), all_triangles=True)

    def see(self, shot: Shot, camera_to_world: Array) -> tuple[Array, Array]:
        """Depth and ids from one camera.

        Returns
        -------
        depth : (H, W) float64, z-depth in metres, 0 = sky; of a panorama the distance
        ids : (H, W) uint8, 0 = sky
        """
        rays = shot.rays().reshape(-1, 3) @ camera_to_world[:3, :3].T
        depth, ids = self.cast(camera_to_world[:3, 3], rays)
        return depth.reshape(shot.height, shot.width), ids.reshape(shot.height, shot.width)

    def cast(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """What rays (R, 3) from one place hit: how many of its lengths away, (R,) float64, 0 = nothing; and its id, (R,) uint8."""
        start, cast = Vector(origin), self._tree.ray_cast
        hits = np.array(
            [-1 if index is None else index for _, _, index, _ in (cast(start, Vector(r)) for r in rays.tolist())]
        )
        far, ids = np.zeros(len(rays)), np.zeros(len(rays), np.uint8)
        seen = hits >= 0
        a, b, c = np.moveaxis(self.corners[hits[seen]], 1, 0)
        normal = np.cross(b - a, c - a)
        # The tree works in float32 and only says which triangle; where its plane is met is computed in float64.
        # A camera's rays have unit depth along its axis, so that their parameter is the z-depth.
        far[seen] = np.einsum("ij,ij->i", a - origin, normal) / np.einsum("ij,ij->i", rays[seen], normal)
        ids[seen] = self.ids[hits[seen]]
        return far, ids


def write(
    folder: Path, shot: Shot, names: list[str], depth: Array, ids: Array, things: dict[str, int], moving: list[str]
) -> None:
    """Save a set's truth.

    Parameters
    ----------
    depth : (N, H, W) float, metres, 0 = sky; stored as inverse depth, on which planes are linear and PNG's filters work best
    ids : (N, H, W) uint8
    """
    for part in ("depth", "ids"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for old in (folder / part).glob("*.png"):
            old.unlink()
    nearest = float(np.floor(depth[depth > 0].min() * 1000) / 1000)
    for name, z, labels in zip(names, depth, ids, strict=True):
        inverse = np.zeros(z.shape, np.uint16)
        inverse[z > 0] = np.round(65535 * nearest / z[z > 0]).astype(np.uint16)
        Image.fromarray(inverse).save(folder / "depth" / f"{Path(name).stem}.png", optimize=True)
        Image.fromarray(labels).save(folder / "ids" / f"{Path(name).stem}.png", optimize=True)
    seen = set(np.unique(ids).tolist()) - {0}
    content = {
        "width": shot.width,
        "height": shot.height,
        "depth_nearest": nearest,
        "objects": {str(number): name for name, number in things.items() if number in seen},
        "moving": [things[name] for name in moving],
        "frames": [
            {"name": name, "intrinsics": list(shot.intrinsics), "camera_to_world": [float(x) for x in matrix.ravel()]}
            for name, matrix in zip(names, shot.camera_to_world, strict=True)
        ],
    }
    lines = json.dumps(content, indent=1)
    (folder / "cameras.json").write_text(_one_line_lists(lines) + "\n")


def _one_line_lists(text: str) -> str:
    """Lists of plain numbers on one line each, so that a camera is readable."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m.group().split()), text)
