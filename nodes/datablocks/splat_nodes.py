"""The part of the points' node group that draws them as Gaussian splats, from Blender 5.3 on."""

from __future__ import annotations

from collections.abc import Callable

import bpy

#: Whether this Blender draws Gaussian splats.
DRAWN = hasattr(bpy.types, "GeometryNodePointsSetType")
SWITCH = "Splats"  # the group's input
HELP = "Draw the points as Gaussian splats, a picture without holes, instead of dots"
SCALE = "scale"  # attribute: standard deviations of a splat; 0 where another covers its place
SET_TYPE, KIND = "GeometryNodePointsSetType", "3D Gaussian Splat"
ROOM = 1120  # of the layout's units that the branch takes


def add_branch(
    tree: bpy.types.NodeTree,
    add: Callable[[str, str, tuple[float, float]], bpy.types.Node],
    points: bpy.types.NodeSocket,
    sized: bpy.types.NodeSocket,
) -> bpy.types.NodeSocket:
    """The points as splats; the geometry.

    Parameters
    ----------
    add : makes a node of a kind, with a label, at a place
    points : those that no other covers
    sized : their standard deviations as they are drawn
    """
    store = add("GeometryNodeStoreNamedAttribute", "", (900, -140))
    store.data_type, store.domain = "FLOAT_VECTOR", "POINT"
    store.inputs["Name"].default_value = SCALE
    splat = add(SET_TYPE, "", (1120, -140))
    splat.inputs["Type"].default_value = KIND
    link = tree.links.new
    link(points, store.inputs["Geometry"])
    link(sized, next(s for s in store.inputs if s.name == "Value" and s.enabled))
    link(store.outputs["Geometry"], splat.inputs["Points"])
    return splat.outputs["Points"]
