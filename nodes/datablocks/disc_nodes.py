"""The part of the points' node group that draws them as flat discs on the surfaces, in Blenders that draw no splats.

The same discs as the splats' (``core/output/splats/discs.py``), opaque and with an outline: a picture with fewer holes than
dots of a pixel's footprint leave, for surfaces seen at a slant are covered by discs that stretch along them.
"""

from __future__ import annotations

from collections.abc import Callable

import bpy

from .splat_nodes import SCALE

SWITCH = "Discs"  # the group's input
HELP = "Draw the points as flat discs on the surfaces, which leave fewer holes, instead of dots"
ROTATION = "rotation"  # attribute: a disc's axes, along which ``scale`` has its standard deviations
CORNERS = 6
# Of a disc, in its standard deviations: 0.63 pixels where discs of other frames close what is left, 1.05 where it is alone. With
# 1.2 surfaces of two frames that lie a little apart show pin holes (docs/splats.md).
RADIUS = 1.5
ROOM = 1560  # of the layout's units that the branch takes


def add_branch(
    tree: bpy.types.NodeTree,
    add: Callable[[str, str, tuple[float, float]], bpy.types.Node],
    points: bpy.types.NodeSocket,
    sized: bpy.types.NodeSocket,
) -> bpy.types.NodeSocket:
    """The points as discs; the geometry. See ``splat_nodes.add_branch``."""
    turned = add("GeometryNodeInputNamedAttribute", "Disc's axes", (460, -860))
    turned.data_type = "QUATERNION"
    turned.inputs["Name"].default_value = ROTATION
    disc = add("GeometryNodeMeshCircle", "", (680, -520))
    disc.fill_type = "NGON"
    disc.inputs["Vertices"].default_value = CORNERS
    disc.inputs["Radius"].default_value = RADIUS
    place = add("GeometryNodeInstanceOnPoints", "", (900, -140))
    # Every corner would have them too.
    without = [add("GeometryNodeRemoveAttribute", "", (1120 + 220 * number, -140)) for number in range(2)]
    real = add("GeometryNodeRealizeInstances", "", (1560, -140))
    link = tree.links.new
    link(points, place.inputs["Points"])
    link(disc.outputs["Mesh"], place.inputs["Instance"])
    link(turned.outputs["Attribute"], place.inputs["Rotation"])
    link(sized, place.inputs["Scale"])
    discs = place.outputs["Instances"]
    for name, node in zip((SCALE, ROTATION), without, strict=True):
        node.inputs["Name"].default_value = name
        link(discs, node.inputs["Geometry"])
        discs = node.outputs["Geometry"]
    link(discs, real.inputs["Geometry"])
    return real.outputs["Geometry"]
