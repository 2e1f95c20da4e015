"""The part of the points' node group that draws them as flat discs on the surfaces, in Blenders that draw no splats, and its switch.

The same discs as the splats' (``core/output/splats/discs.py``), opaque and with an outline: a picture with fewer holes than
dots of a pixel's footprint leave, for surfaces seen at a slant are covered by discs that stretch along them.
"""

from __future__ import annotations

import bpy

SWITCH = "Discs"  # the group's input
SCALE, ROTATION = "scale", "rotation"  # attributes: standard deviations along the axes of ``rotation``; 0 where covered
CORNERS = 6
# Of a disc, in its standard deviations: 0.63 pixels where discs of other frames close what is left, 1.05 where it is alone. With
# 1.2 surfaces of two frames that lie a little apart show pin holes (docs/splats.md).
RADIUS = 1.5
ROOM = 1340  # of the layout's units that the branch takes


def add_switch(tree: bpy.types.NodeTree) -> None:
    """The input between dots and discs."""
    socket = tree.interface.new_socket(SWITCH, in_out="INPUT", socket_type="NodeSocketBool")
    socket.default_value = False
    socket.description = "Draw the points as flat discs on the surfaces, which leave fewer holes, instead of dots"


def add_branch(
    tree: bpy.types.NodeTree,
    group_in: bpy.types.Node,
    points: bpy.types.NodeSocket,
    size: bpy.types.NodeSocket,
    larger: bpy.types.NodeSocket,
) -> bpy.types.NodeSocket:
    """What is drawn: the points as they are, or those of them that no better disc covers as discs; the geometry.

    Parameters
    ----------
    size, larger : factors of a disc's size
    """

    def add(kind: str, label: str, location: tuple[float, float]) -> bpy.types.Node:
        node = tree.nodes.new(kind)
        node.label, node.location = label, location
        return node

    known = add("GeometryNodeInputNamedAttribute", "Disc's size", (0, -480))
    known.data_type = "FLOAT_VECTOR"
    known.inputs["Name"].default_value = SCALE
    length = add("ShaderNodeVectorMath", "", (240, -320))
    length.operation = "LENGTH"
    uncovered = add("FunctionNodeCompare", "No other covers it", (460, -320))
    uncovered.data_type, uncovered.operation = "FLOAT", "GREATER_THAN"
    both = add("ShaderNodeMath", "Times Point Size", (0, -680))
    both.operation = "MULTIPLY"
    sized = add("ShaderNodeVectorMath", "Sized", (240, -560))
    sized.operation = "SCALE"
    turned = add("GeometryNodeInputNamedAttribute", "Disc's axes", (240, -760))
    turned.data_type = "QUATERNION"
    turned.inputs["Name"].default_value = ROTATION
    disc = add("GeometryNodeMeshCircle", "", (460, -520))
    disc.fill_type = "NGON"
    disc.inputs["Vertices"].default_value = CORNERS
    disc.inputs["Radius"].default_value = RADIUS
    place = add("GeometryNodeInstanceOnPoints", "", (680, -140))
    # Every corner would have them too.
    without = [add("GeometryNodeRemoveAttribute", "", (900 + 220 * number, -140)) for number in range(2)]
    real = add("GeometryNodeRealizeInstances", "", (1340, -140))
    either = add("GeometryNodeSwitch", "Dots or discs", (1560, 60))
    either.input_type = "GEOMETRY"
    link = tree.links.new
    link(known.outputs["Attribute"], length.inputs[0])
    link(length.outputs["Value"], next(s for s in uncovered.inputs if s.name == "A" and s.type == "VALUE"))
    link(size, both.inputs[0])
    link(larger, both.inputs[1])
    link(known.outputs["Attribute"], sized.inputs[0])
    link(both.outputs["Value"], sized.inputs["Scale"])
    link(points, place.inputs["Points"])
    link(uncovered.outputs["Result"], place.inputs["Selection"])
    link(disc.outputs["Mesh"], place.inputs["Instance"])
    link(turned.outputs["Attribute"], place.inputs["Rotation"])
    link(sized.outputs["Vector"], place.inputs["Scale"])
    discs = place.outputs["Instances"]
    for name, node in zip((SCALE, ROTATION), without, strict=True):
        node.inputs["Name"].default_value = name
        link(discs, node.inputs["Geometry"])
        discs = node.outputs["Geometry"]
    link(discs, real.inputs["Geometry"])
    link(group_in.outputs[SWITCH], either.inputs["Switch"])
    link(points, either.inputs["False"])
    link(real.outputs["Geometry"], either.inputs["True"])
    return either.outputs["Output"]
