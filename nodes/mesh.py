"""A mesh from the worker's arrays, written whole.

Into attributes, also where Blender has a collection for it: ``mesh.loops.foreach_set`` goes through every corner and takes
40 ms for 190,000 faces, the same array into the attribute behind it 0.2. The edges come ready from the worker.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import bpy
import numpy as np

from ..core.output.payload import MeshArrays, Part
from .datablocks import image_materials, mesh_trees
from .datablocks.collections import fitting
from .datablocks.created import Created, is_there
from .point_cloud import attribute_steps, read_ahead

#: Arrays of a mesh that are not attributes of its vertices.
TOPOLOGY = ("corners", "uv", "edges", "corner_edges")
UV_MAP = "UVMap"  # as Blender itself calls the first one


@dataclass
class Surfaces:
    """What the meshes of one run share; made when the first of them needs it.

    Attributes
    ----------
    plain : material of those without a picture
    """

    plain: bpy.types.Material
    _tree: bpy.types.NodeTree | None = None
    _by_picture: dict[str, bpy.types.Material] = field(default_factory=dict)

    def tree(self, made: Created) -> bpy.types.NodeTree:
        """The node group of all modifiers FilterMesh; ``made`` learns of it if it is new."""
        if self._tree is None or not is_there(self._tree):
            self._tree = made.add(mesh_trees.filter_tree())
        return self._tree

    def material(self, part: Part, made: Created) -> bpy.types.Material:
        """The material of a part's picture, the same for all its parts; ``plain`` where the picture is not there."""
        known = self._by_picture.get(part.image)
        if known is not None and is_there(known):
            return known
        image = image_materials.load(part.image, made, packed=part.packed)
        if image is None:
            return self.plain
        self._by_picture[part.image] = made.add(image_materials.image_material(image))
        return self._by_picture[part.image]


def build_steps(
    name: str,
    part: Part,
    surfaces: Surfaces,
    shared: Created,
    *,
    threshold: float = 0.5,
    edge_length: float = 0.1,
) -> Generator[None, None, bpy.types.Object]:
    """Build a mesh in small steps. Closed half-way, it leaves nothing behind but what others may share.

    Parameters
    ----------
    name : of the object and its mesh
    part : with ``MeshArrays``
    surfaces : of the run
    shared : learns of the material, the image and the node group, if they are new
    threshold, edge_length : inputs of the modifier, which a mesh with ``conf`` and ``depth`` has

    Returns
    -------
    The object, in no collection yet.
    """
    arrays = part.arrays
    assert isinstance(arrays, MeshArrays)
    given = arrays.given()
    with Created() as made:
        mesh = made.add(bpy.data.meshes.new(fitting(name)))
        yield from _topology_steps(mesh, arrays)
        for key, array in given.items():
            if key not in TOPOLOGY:
                yield from attribute_steps(mesh, key, array)
        if arrays.uv is not None:
            mesh.uv_layers.new(name=UV_MAP, do_init=False)
            yield
            yield from _write_steps(mesh, UV_MAP, "vector", arrays.uv)
        mesh.color_attributes.active_color_name = "point_color"
        mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
        mesh.materials.append(surfaces.material(part, shared))
        yield
        mesh.update(calc_edges=arrays.edges is None)
        obj = made.add(bpy.data.objects.new(fitting(name), mesh))
        if {"conf", "depth"} <= given.keys():
            mesh_trees.add_filter(obj, surfaces.tree(shared), threshold=threshold, edge_length=edge_length)
        yield
    return obj


def _topology_steps(mesh: bpy.types.Mesh, arrays: MeshArrays) -> Generator[None, None, None]:
    """Vertices, faces and, where they are given, edges; faces are smooth unless somebody says otherwise."""
    faces, sides = arrays.corners.shape
    mesh.vertices.add(len(arrays))
    mesh.loops.add(faces * sides)
    mesh.polygons.add(faces)
    yield
    yield from _write_steps(mesh, ".corner_vert", "value", arrays.corners)
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces * sides, sides, dtype=np.int32))
    yield
    if arrays.edges is not None and arrays.corner_edges is not None:
        mesh.edges.add(len(arrays.edges))
        yield
        yield from _write_steps(mesh, ".edge_verts", "value", arrays.edges)
        yield from _write_steps(mesh, ".corner_edge", "value", arrays.corner_edges)


def _write_steps(mesh: bpy.types.Mesh, attribute: str, value: str, array: np.ndarray) -> Generator[None, None, None]:
    flat = array.reshape(-1)
    yield from read_ahead(flat)
    mesh.attributes[attribute].data.foreach_set(value, flat)
    yield
