"""The part of the points' node group that draws them as Gaussian splats, from Blender 5.3 on, and its switch."""

from __future__ import annotations

import bpy

#: Whether this Blender draws Gaussian splats.
DRAWN = hasattr(bpy.types, "GeometryNodePointsSetType")
SWITCH = "Splats"  # the group's input
SCALE = "scale"  # attribute: standard deviations of a splat; 0 where another covers its place
SET_TYPE, KIND = "GeometryNodePointsSetType", "3D Gaussian Splat"
ROOM = 1120  # of the layout's units that the branch takes


def add_switch(tree: bpy.types.NodeTree) -> None:
    """The input between dots and splats."""
    socket = tree.interface.new_socket(SWITCH, in_out="INPUT", socket_type="NodeSocketBool")
    socket.default_value = False
    socket.description = "Draw the points as Gaussian splats, a picture without holes, instead of dots"


def add_branch(
    tree: bpy.types.NodeTree,
    group_in: bpy.types.Node,
    points: bpy.types.NodeSocket,
    size: bpy.types.NodeSocket,
    larger: bpy.types.NodeSocket,
) -> bpy.types.NodeSocket:
    """What is drawn: the points as they are, or those of them that are drawn as splats; the geometry.

    Parameters
    ----------
    size, larger : factors of a splat's size
    """

    def add(kind: str, label: str, location: tuple[float, float]) -> bpy.types.Node:
        node = tree.nodes.new(kind)
        node.label, node.location = label, location
        return node

    known = add("GeometryNodeInputNamedAttribute", "Splat's size", (0, -480))
    known.data_type = "FLOAT_VECTOR"
    known.inputs["Name"].default_value = SCALE
    length = add("ShaderNodeVectorMath", "", (240, -480))
    length.operation = "LENGTH"
    covered = add("FunctionNodeCompare", "Another covers it", (460, -320))
    covered.data_type, covered.operation = "FLOAT", "LESS_EQUAL"
    drop = add("GeometryNodeDeleteGeometry", "", (680, -140))
    drop.domain = "POINT"
    both = add("ShaderNodeMath", "Times Point Size", (0, -680))
    both.operation = "MULTIPLY"
    sized = add("ShaderNodeVectorMath", "Sized", (460, -560))
    sized.operation = "SCALE"
    store = add("GeometryNodeStoreNamedAttribute", "", (900, -140))
    store.data_type, store.domain = "FLOAT_VECTOR", "POINT"
    store.inputs["Name"].default_value = SCALE
    splat = add(SET_TYPE, "", (1120, -140))
    splat.inputs["Type"].default_value = KIND
    either = add("GeometryNodeSwitch", "Dots or splats", (1340, 60))
    either.input_type = "GEOMETRY"
    link = tree.links.new
    link(known.outputs["Attribute"], length.inputs[0])
    link(length.outputs["Value"], next(s for s in covered.inputs if s.name == "A" and s.type == "VALUE"))
    link(points, drop.inputs["Geometry"])
    link(covered.outputs["Result"], drop.inputs["Selection"])
    link(size, both.inputs[0])
    link(larger, both.inputs[1])
    link(known.outputs["Attribute"], sized.inputs[0])
    link(both.outputs["Value"], sized.inputs["Scale"])
    link(drop.outputs["Geometry"], store.inputs["Geometry"])
    link(sized.outputs["Vector"], next(s for s in store.inputs if s.name == "Value" and s.enabled))
    link(store.outputs["Geometry"], splat.inputs["Points"])
    link(group_in.outputs[SWITCH], either.inputs["Switch"])
    link(points, either.inputs["False"])
    link(splat.outputs["Points"], either.inputs["True"])
    return either.outputs["Output"]
