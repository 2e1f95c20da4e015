"""A point cloud: a Mesh object without faces, its values in attributes.

Written whole, by ``foreach_set`` into attributes. (``mesh.vertices.foreach_set("co", ...)`` goes through every vertex
and takes 200 ms for 1.9 million; the same array into the attribute ``position`` takes 2.)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import bpy
import numpy as np

from .datablocks import point_trees, splat_nodes
from .datablocks.collections import fitting
from .datablocks.created import Created

if TYPE_CHECKING:
    from ..core.output.payload import PointArrays, TrackArrays

# Bytes that one step may bring into memory. The arrays are memory-mapped files, and may have to come from the disk: one
# of 100 MB/s delivers this within the 50 ms of a timer tick.
STEP_BYTES = 4 << 20
PAGE_BYTES = 4096

TRACK_LENGTH = "track_length"  # the attribute by which tracks are known: how many images see each
#: Attribute type and the name of the value in it, by (dtype, width) of the array.
ATTRIBUTE_TYPES = {
    ("float32", 1): ("FLOAT", "value"),
    ("float32", 3): ("FLOAT_VECTOR", "vector"),
    ("float32", 4): ("FLOAT_COLOR", "color"),
    ("int32", 1): ("INT", "value"),
}
#: Arrays of a splat: attribute, its type and the name of the value in it. Size and rotation are also a disc's.
SPLATS = {
    "scale": (splat_nodes.SCALE, "FLOAT_VECTOR", "vector"),
    "rotation": ("rotation", "QUATERNION", "value"),
    "radiance": ("radiance:base", "FLOAT4", "vector"),
}


def build_steps(
    name: str,
    cloud: PointArrays,
    tree: bpy.types.NodeTree,
    *,
    material: bpy.types.Material | None = None,
    threshold: float = 0.5,
    scale: float = 1.0,
) -> Generator[None, None, bpy.types.Object]:
    """Build a point cloud in small steps; a modal timer takes as many as fit into its tick.

    Closed half-way, it leaves nothing behind.

    Parameters
    ----------
    name : of the object and its mesh
    cloud : P points; every array becomes an attribute of its name; ``radiance`` only where Blender draws splats
    tree : from ``trees.point_cloud_tree``
    material : also goes into a slot, where the Shading tab looks for it
    threshold, scale : the modifier's inputs

    Returns
    -------
    The object, in no collection yet.
    """
    with Created() as made:
        mesh = made.add(bpy.data.meshes.new(fitting(name)))
        mesh.vertices.add(len(cloud))
        yield
        for field in fields(cloud):
            array = getattr(cloud, field.name)
            if array is not None and (splat_nodes.DRAWN or field.name != "radiance"):
                yield from attribute_steps(mesh, field.name, array)
        if "point_color" in mesh.attributes:  # what the viewport shows when its colour is set to Attribute
            mesh.color_attributes.active_color_name = "point_color"
            mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
        if material is not None:
            mesh.materials.append(material)
        mesh.update()
        obj = made.add(bpy.data.objects.new(fitting(name), mesh))
        point_trees.add_modifier(obj, tree, threshold=threshold, scale=scale, closed=cloud.scale is not None)
        yield
    return obj


def tracks_steps(name: str, tracks: TrackArrays) -> Generator[None, None, bpy.types.Object]:
    """Build tracks in small steps: bare vertices, which snapping and Edit Mode know, and no render shows."""
    with Created() as made:
        mesh = made.add(bpy.data.meshes.new(fitting(name)))
        mesh.vertices.add(len(tracks))
        yield
        for field in fields(tracks):
            yield from attribute_steps(mesh, field.name, getattr(tracks, field.name))
        mesh.vertices.foreach_set(
            "select", np.zeros(len(tracks), bool)
        )  # what is selected are those that somebody chose
        mesh.update()
        obj = made.add(bpy.data.objects.new(fitting(name), mesh))
        yield
    return obj


def build(
    name: str, cloud: PointArrays, tree: bpy.types.NodeTree, *, threshold: float = 0.5, scale: float = 1.0
) -> bpy.types.Object:
    """All of ``build_steps`` at once."""
    return run_all(build_steps(name, cloud, tree, threshold=threshold, scale=scale))


def run_all(steps: Generator[None, None, bpy.types.Object]) -> bpy.types.Object:
    """Take every step; what the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def attribute_steps(mesh: bpy.types.Mesh, name: str, array: np.ndarray) -> Iterator[None]:
    """Write an array whole into its vertex attribute, of the same ``name`` but for splats, made if it is not there."""
    width = 1 if array.ndim == 1 else array.shape[1]
    name, kind, value = SPLATS.get(name) or (name, *ATTRIBUTE_TYPES[str(array.dtype), width])
    if name not in mesh.attributes:  # "position" comes with the vertices
        mesh.attributes.new(name, kind, "POINT")
        yield
    flat = array.reshape(-1)
    yield from read_ahead(flat)
    mesh.attributes[name].data.foreach_set(value, flat)
    yield


def read_ahead(flat: np.ndarray) -> Iterator[None]:
    """Touch every page of a memory-mapped array, some at a time, so that the copy does not wait for the disk."""
    step, stride = STEP_BYTES // flat.itemsize, PAGE_BYTES // flat.itemsize
    for start in range(0, len(flat), step):
        flat[start : start + step : stride].sum()
        yield
