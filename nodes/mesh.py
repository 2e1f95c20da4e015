"""A mesh from the worker's arrays: written whole, by ``foreach_set``."""

from __future__ import annotations

from collections.abc import Generator

import bpy
import numpy as np

from ..core.payload import MeshArrays, Part
from .collections import fitting
from .created import Created
from .point_cloud import attribute_steps

#: Arrays of a mesh that are not attributes of its vertices.
TOPOLOGY = ("corners", "uv")


def build_steps(name: str, part: Part, *, threshold: float = 0.5) -> Generator[None, None, bpy.types.Object]:
    """Build a mesh in small steps. Closed half-way, it leaves nothing behind.

    Parameters
    ----------
    name : of the object and its mesh
    part : with ``MeshArrays``
    threshold : of the confidence below which vertices are hidden

    Returns
    -------
    The object, in no collection yet.
    """
    arrays = part.arrays
    assert isinstance(arrays, MeshArrays)
    with Created() as made:
        mesh = made.add(bpy.data.meshes.new(fitting(name)))
        faces, sides = arrays.corners.shape
        mesh.vertices.add(len(arrays))
        mesh.loops.add(faces * sides)
        mesh.polygons.add(faces)
        yield
        mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(arrays.corners).ravel())
        yield
        mesh.polygons.foreach_set("loop_start", np.arange(0, faces * sides, sides, dtype=np.int32))
        yield
        for key, array in arrays.given().items():
            if key not in TOPOLOGY:
                yield from attribute_steps(mesh, key, array)
        mesh.color_attributes.active_color_name = "point_color"
        mesh.update(calc_edges=True)
        yield
        obj = made.add(bpy.data.objects.new(fitting(name), mesh))
    return obj
