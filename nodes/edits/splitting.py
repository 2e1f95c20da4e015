"""Objects split by the things in them: an object for each value of the attribute ``object_id``."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import bpy
import numpy as np

from ..datablocks.collections import PART, fitting
from ..datablocks.created import Created

SEGMENTED, BACKGROUND = "Segmented", "Background"
#: Attributes that are the mesh's shape, written on their own.
SHAPE = (".corner_vert", ".corner_edge", ".edge_verts", "position")
#: What an attribute's values are called and how many numbers each has, by its type.
VALUES = {
    "FLOAT": ("value", 1, np.float32), "INT": ("value", 1, np.int32), "BOOLEAN": ("value", 1, bool),
    "FLOAT_VECTOR": ("vector", 3, np.float32), "FLOAT2": ("vector", 2, np.float32),
    "FLOAT4": ("vector", 4, np.float32), "QUATERNION": ("value", 4, np.float32),
    "FLOAT_COLOR": ("color", 4, np.float32), "BYTE_COLOR": ("color", 4, np.float32),
}  # fmt: skip


def ids_of(obj: bpy.types.Object) -> np.ndarray:
    """(V,) int32, the thing each vertex belongs to."""
    return _read(obj.data.attributes["object_id"]).astype(np.int32)


def split_steps(
    obj: bpy.types.Object, names: Mapping[int, str], made: Created
) -> Generator[None, None, list[bpy.types.Object]]:
    """An object for each thing in one, which stays as it is; a thing in a step.

    Parameters
    ----------
    names : of the things; one without is called thing_<id>, what is none Background
    made : learns of all that is new

    Returns
    -------
    The new objects, in no collection; none where all of the object is one thing.
    """
    ids = ids_of(obj)
    things = np.unique(ids).tolist()
    if len(things) < 2:
        return []
    faces = _Faces(obj.data)
    layers = [(a.name, a.data_type, a.domain, _read(a)) for a in obj.data.attributes if _is_kept(a)]
    yield
    out = []
    for thing in things:
        name = fitting(names.get(thing, f"thing_{thing}") if thing else BACKGROUND)
        mesh = made.add(bpy.data.meshes.new(name))
        yield from _fill_steps(mesh, obj.data, faces, layers, ids, thing)
        new = made.add(obj.copy())  # with its modifiers and its place
        new.data, new.name = mesh, name
        if PART in new:
            del new[PART]  # it is a piece of that now
        out.append(new)
        yield
    return out


class _Faces:
    """The faces of a mesh as arrays; of a cloud there are none."""

    def __init__(self, mesh: bpy.types.Mesh):
        self.start = np.zeros(len(mesh.polygons), np.int32)
        mesh.polygons.foreach_get("loop_start", self.start)
        self.sides = np.diff(np.append(self.start, len(mesh.loops)))
        self.corners = np.zeros(len(mesh.loops), np.int32)
        if len(self.corners):
            self.corners = _read(mesh.attributes[".corner_vert"]).astype(np.int32)


def _fill_steps(
    mesh: bpy.types.Mesh,
    source: bpy.types.Mesh,
    faces: _Faces,
    layers: list[tuple[str, str, str, np.ndarray]],
    ids: np.ndarray,
    thing: int,
) -> Generator[None, None, None]:
    """Copy one thing's vertices and faces; a face belongs to the thing of its first corner, and so brings its vertices."""
    own = ids == thing
    if len(faces.start):
        chosen = own[faces.corners[faces.start]]
        corner_chosen = np.repeat(chosen, faces.sides)
        own = np.zeros(len(ids), bool)
        own[faces.corners[corner_chosen]] = True
    else:
        chosen, corner_chosen = np.zeros(0, bool), np.zeros(0, bool)
    mesh.vertices.add(int(own.sum()))
    if chosen.any():
        number = np.cumsum(own, dtype=np.int32) - 1
        sides = faces.sides[chosen]
        mesh.loops.add(int(sides.sum()))
        mesh.polygons.add(len(sides))
        mesh.attributes[".corner_vert"].data.foreach_set("value", number[faces.corners[corner_chosen]])
        mesh.polygons.foreach_set("loop_start", (np.cumsum(sides) - sides).astype(np.int32))
    yield
    _write(mesh.attributes["position"], _read(source.attributes["position"])[own])
    rows = {"POINT": own, "CORNER": corner_chosen, "FACE": chosen}
    uv_names = {layer.name for layer in source.uv_layers}
    for name, kind, domain, values in layers:
        if domain != "POINT" and not chosen.any():
            continue
        if name in uv_names:
            mesh.uv_layers.new(name=name, do_init=False)
        elif name not in mesh.attributes:
            mesh.attributes.new(name, kind, domain)
        _write(mesh.attributes[name], values[rows[domain]])
        yield
    for material in source.materials:
        mesh.materials.append(material)
    if source.color_attributes.active_color_name in mesh.attributes:
        mesh.color_attributes.active_color_name = source.color_attributes.active_color_name
        mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
    mesh.update(calc_edges=bool(chosen.any()))
    yield


def _is_kept(attribute: bpy.types.Attribute) -> bool:
    """Whether an attribute is copied: of points, corners or faces, of a plain type, and not the shape itself."""
    plain = attribute.data_type in VALUES and attribute.domain in ("POINT", "CORNER", "FACE")
    hidden = attribute.name.startswith(".") or attribute.name in SHAPE
    return plain and not hidden


def _read(attribute: bpy.types.Attribute) -> np.ndarray:
    """(N,) or (N, D) values of an attribute."""
    value, width, kind = VALUES[attribute.data_type]
    flat = np.empty(len(attribute.data) * width, kind)
    attribute.data.foreach_get(value, flat)
    return flat if width == 1 else flat.reshape(-1, width)


def _write(attribute: bpy.types.Attribute, values: np.ndarray) -> None:
    attribute.data.foreach_set(VALUES[attribute.data_type][0], np.ascontiguousarray(values).reshape(-1))
