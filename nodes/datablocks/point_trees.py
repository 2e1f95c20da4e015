"""The geometry nodes that turn a mesh's vertices into dots."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import bpy

from . import disc_nodes, splat_nodes

NAME = "DA3 Point Cloud"
MODIFIER = "GeometryNodes"
THRESHOLD, POINT_SIZE, DISPLAY = "Threshold", "Point Size", "Display"
# Radius of a dot in scene units at Point Size 1, of points that do not know how large the pixel was that saw them.
RADIUS = 0.002
SHOWN_FROM, SHOWN_UNTIL = "shown_from", "shown_until"  # attributes: frames of the timeline
# Of a run's collection: values of the modifiers' inputs as they were built, by name: others are the person's.
BUILT = "da3_built"
#: What closes the gaps between the dots in this Blender.
CLOSED = splat_nodes if splat_nodes.DRAWN else disc_nodes
# Until 5.2 a modifier kept the group's inputs as properties of its own.
TYPED_INPUTS = "properties" in bpy.types.NodesModifier.bl_rna.properties


def point_cloud_tree(material: bpy.types.Material) -> bpy.types.NodeTree:
    """A new node group: Mesh to Points, Delete Geometry where ``conf`` < Threshold, Set Material; with a switch between dots
    and what closes their gaps: splats from Blender 5.3 on, discs before.

    One group serves all batches of a run, so that a change to it is a change to the whole cloud; another run has a
    group of its own, and is not touched by it.
    """
    tree = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
    tree.is_modifier = True
    socket = tree.interface.new_socket
    socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    threshold = socket(THRESHOLD, in_out="INPUT", socket_type="NodeSocketFloat")
    threshold.default_value, threshold.min_value = 0.5, 0.0
    threshold.description = "Points of less confidence are hidden"
    size = socket(POINT_SIZE, in_out="INPUT", socket_type="NodeSocketFloat")
    size.default_value, size.min_value = 1.0, 0.0
    size.description = "Size of the dots; at 1 those of neighbouring pixels just touch, near and far"
    display = socket(DISPLAY, in_out="INPUT", socket_type="NodeSocketFloat")
    display.default_value, display.min_value, display.max_value = 100.0, 0.0, 100.0
    display.subtype = "PERCENTAGE"
    display.description = "Part of the points that the viewport shows; a render has all of them"

    closed = socket(CLOSED.SWITCH, in_out="INPUT", socket_type="NodeSocketBool")
    closed.default_value, closed.description = False, CLOSED.HELP

    group_in = add_node(tree, "NodeGroupInput", "", (-1200, 0))
    known = add_node(tree, "GeometryNodeInputNamedAttribute", "Footprint of a pixel", (-960, -160))
    known.data_type = "FLOAT"
    known.inputs["Name"].default_value = "radius"
    either = add_node(tree, "GeometryNodeSwitch", "Or one for all", (-720, -120))
    either.input_type = "FLOAT"
    either.inputs["False"].default_value = RADIUS
    wanted = add_node(tree, "ShaderNodeMath", "Times Point Size", (-480, -120))
    radius = add_node(tree, "ShaderNodeMath", "Dot radius", (-240, -100))
    wanted.operation = radius.operation = "MULTIPLY"
    conf = add_node(tree, "GeometryNodeInputNamedAttribute", "Confidence", (-240, -300))
    conf.data_type = "FLOAT"
    conf.inputs["Name"].default_value = "conf"
    to_points = add_node(tree, "GeometryNodeMeshToPoints", "", (0, 80))
    too_low = add_node(tree, "FunctionNodeCompare", "Below threshold", (0, -240))
    too_low.data_type, too_low.operation = "FLOAT", "LESS_THAN"
    delete = add_node(tree, "GeometryNodeDeleteGeometry", "", (240, 60))
    delete.domain = "POINT"
    paint = add_node(tree, "GeometryNodeSetMaterial", "", (460 + CLOSED.ROOM, 40))
    paint.inputs["Material"].default_value = material
    group_out = add_node(tree, "NodeGroupOutput", "", (680 + CLOSED.ROOM, 0))

    drawn, larger = _drawn(tree, group_in)
    link = tree.links.new
    link(known.outputs["Exists"], either.inputs["Switch"])
    link(known.outputs["Attribute"], either.inputs["True"])
    link(either.outputs["Output"], wanted.inputs[1])
    link(group_in.outputs[POINT_SIZE], wanted.inputs[0])
    link(wanted.outputs["Value"], radius.inputs[0])
    link(larger, radius.inputs[1])
    link(group_in.outputs["Geometry"], to_points.inputs["Mesh"])
    link(radius.outputs["Value"], to_points.inputs["Radius"])
    link(drawn, to_points.inputs["Selection"])
    link(conf.outputs["Attribute"], float_input(too_low, "A"))
    link(group_in.outputs[THRESHOLD], float_input(too_low, "B"))
    link(to_points.outputs["Points"], delete.inputs["Geometry"])
    link(too_low.outputs["Result"], delete.inputs["Selection"])
    drawn_as = _closed(tree, group_in, delete.outputs["Geometry"], larger)
    link(drawn_as, paint.inputs["Geometry"])
    link(paint.outputs["Geometry"], group_out.inputs["Geometry"])
    return tree


def _drawn(tree: bpy.types.NodeTree, group_in: bpy.types.Node) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket]:
    """Which points are drawn, and how much larger, so that fewer still close a surface.

    In the viewport it is a part of them, always the same, so that none flickers; in a render it is all.
    """
    part = add_node(tree, "ShaderNodeMath", "Part", (-960, 260))
    part.operation = "DIVIDE"
    part.inputs[1].default_value = 100.0
    chance = add_node(tree, "FunctionNodeRandomValue", "The same at every redraw", (-720, 260))
    chance.data_type = "BOOLEAN"
    viewport = add_node(tree, "GeometryNodeIsViewport", "", (-720, 560))
    drawn = add_node(tree, "GeometryNodeSwitch", "All in a render", (-480, 260))
    drawn.input_type = "BOOLEAN"
    drawn.inputs["False"].default_value = True
    larger = add_node(tree, "ShaderNodeMath", "Larger where fewer", (-720, 80))
    larger.operation = "INVERSE_SQRT"
    size = add_node(tree, "GeometryNodeSwitch", "Not in a render", (-480, 80))
    size.input_type = "FLOAT"
    size.inputs["False"].default_value = 1.0
    link = tree.links.new
    link(group_in.outputs[DISPLAY], part.inputs[0])
    link(part.outputs["Value"], chance.inputs["Probability"])
    link(part.outputs["Value"], larger.inputs[0])
    for switch in (drawn, size):
        link(viewport.outputs["Is Viewport"], switch.inputs["Switch"])
    link(next(s for s in chance.outputs if s.type == "BOOLEAN"), drawn.inputs["True"])
    link(larger.outputs["Value"], size.inputs["True"])
    return drawn.outputs["Output"], size.outputs["Output"]


def _closed(
    tree: bpy.types.NodeTree, group_in: bpy.types.Node, points: bpy.types.NodeSocket, larger: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """What is drawn: the points as they are, or those that no better one covers as ``CLOSED`` draws them; the geometry.

    ``larger``: the factor of a point's size that is not the person's.
    """
    known = add_node(tree, "GeometryNodeInputNamedAttribute", "Size", (0, -480))
    known.data_type = "FLOAT_VECTOR"
    known.inputs["Name"].default_value = splat_nodes.SCALE
    length = add_node(tree, "ShaderNodeVectorMath", "", (240, -480))
    length.operation = "LENGTH"
    covered = add_node(tree, "FunctionNodeCompare", "Another covers it", (460, -320))
    covered.data_type, covered.operation = "FLOAT", "LESS_EQUAL"
    drop = add_node(tree, "GeometryNodeDeleteGeometry", "", (680, -140))
    drop.domain = "POINT"
    both = add_node(tree, "ShaderNodeMath", "Times Point Size", (0, -680))
    both.operation = "MULTIPLY"
    sized = add_node(tree, "ShaderNodeVectorMath", "Sized", (460, -560))
    sized.operation = "SCALE"
    either = add_node(tree, "GeometryNodeSwitch", f"Dots or {CLOSED.SWITCH.lower()}", (220 + CLOSED.ROOM, 60))
    either.input_type = "GEOMETRY"
    link = tree.links.new
    link(known.outputs["Attribute"], length.inputs[0])
    link(length.outputs["Value"], float_input(covered, "A"))
    link(points, drop.inputs["Geometry"])
    link(covered.outputs["Result"], drop.inputs["Selection"])
    link(group_in.outputs[POINT_SIZE], both.inputs[0])
    link(larger, both.inputs[1])
    link(known.outputs["Attribute"], sized.inputs[0])
    link(both.outputs["Value"], sized.inputs["Scale"])
    shown = CLOSED.add_branch(tree, partial(add_node, tree), drop.outputs["Geometry"], sized.outputs["Vector"])
    link(group_in.outputs[CLOSED.SWITCH], either.inputs["Switch"])
    link(points, either.inputs["False"])
    link(shown, either.inputs["True"])
    return either.outputs["Output"]


def playing_tree() -> bpy.types.NodeTree:
    """A new node group that leaves, of a mesh's vertices, those that the timeline's frame shows."""
    tree = bpy.data.node_groups.new("DA3 Play", "GeometryNodeTree")
    tree.is_modifier = True
    for direction in ("OUTPUT", "INPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    group_in = add_node(tree, "NodeGroupInput", "", (-480, 80))
    now = add_node(tree, "GeometryNodeInputSceneTime", "", (-720, -200))
    hidden = add_node(tree, "FunctionNodeBooleanMath", "Not yet, or no more", (-200, -160))
    hidden.operation = "OR"
    delete = add_node(tree, "GeometryNodeDeleteGeometry", "", (0, 60))
    delete.domain = "POINT"
    group_out = add_node(tree, "NodeGroupOutput", "", (220, 60))
    link = tree.links.new
    for number, (name, operation) in enumerate(((SHOWN_FROM, "LESS_THAN"), (SHOWN_UNTIL, "GREATER_EQUAL"))):
        frame = add_node(tree, "GeometryNodeInputNamedAttribute", name, (-720, -40 - 320 * number))
        frame.data_type = "INT"
        frame.inputs["Name"].default_value = name
        compare = add_node(tree, "FunctionNodeCompare", "", (-440, -60 - 240 * number))
        compare.data_type, compare.operation = "FLOAT", operation
        link(now.outputs["Frame"], float_input(compare, "A"))
        link(frame.outputs["Attribute"], float_input(compare, "B"))
        link(compare.outputs["Result"], hidden.inputs[number])
    link(group_in.outputs["Geometry"], delete.inputs["Geometry"])
    link(hidden.outputs["Boolean"], delete.inputs["Selection"])
    link(delete.outputs["Geometry"], group_out.inputs["Geometry"])
    return tree


def add_playing(obj: bpy.types.Object, tree: bpy.types.NodeTree) -> bpy.types.NodesModifier:
    """Put ``playing_tree`` on an object, before what is there already."""
    modifier = attach(obj, "Play", tree)
    obj.modifiers.move(len(obj.modifiers) - 1, 0)
    return modifier


def add_modifier(
    obj: bpy.types.Object, tree: bpy.types.NodeTree, *, threshold: float = 0.5, scale: float = 1.0, closed: bool = False
) -> bpy.types.NodesModifier:
    """Put the node group on an object as its modifier "GeometryNodes"; ``closed``: drawn as splats, or as discs."""
    modifier = attach(obj, MODIFIER, tree, {THRESHOLD: threshold, POINT_SIZE: scale})
    if closed and has_input(modifier, CLOSED.SWITCH):
        set_input(modifier, CLOSED.SWITCH, True)
    return modifier


def attach(
    obj: bpy.types.Object, name: str, tree: bpy.types.NodeTree, inputs: Mapping[str, float] | None = None
) -> bpy.types.NodesModifier:
    """Put a node group on an object as its modifier ``name``; ``inputs``: values of the group's inputs by their name."""
    modifier = obj.modifiers.new(name, "NODES")
    modifier.node_group = tree
    for key, value in (inputs or {}).items():
        set_input(modifier, key, value)
    return modifier


def set_input(modifier: bpy.types.NodesModifier, name: str, value: float) -> None:
    """Set the group input called ``name``; the value is seen at the next evaluation of the object."""
    if TYPED_INPUTS:
        _typed_input(modifier, name).value = value
    else:
        modifier[_identifier(modifier.node_group, name)] = value


def get_input(modifier: bpy.types.NodesModifier, name: str) -> float:
    """The value of the group input called ``name``."""
    if TYPED_INPUTS:
        return _typed_input(modifier, name).value
    return modifier[_identifier(modifier.node_group, name)]


def has_input(modifier: bpy.types.NodesModifier, name: str) -> bool:
    """Whether the modifier's group has an input of that name: one of an older file may not."""
    sockets = modifier.node_group.interface.items_tree
    return any(s.item_type == "SOCKET" and s.in_out == "INPUT" and s.name == name for s in sockets)


def _typed_input(modifier: bpy.types.NodesModifier, name: str) -> bpy.types.bpy_struct:
    return getattr(modifier.properties.inputs, _identifier(modifier.node_group, name))


def _identifier(tree: bpy.types.NodeTree, name: str) -> str:
    """Names are for people: a modifier keeps its values under the sockets' identifiers."""
    for item in tree.interface.items_tree:
        if item.item_type == "SOCKET" and item.in_out == "INPUT" and item.name == name:
            return item.identifier
    raise KeyError(f"The node group {tree.name} has no input called {name}")


def add_node(tree: bpy.types.NodeTree, kind: str, label: str, location: tuple[float, float]) -> bpy.types.Node:
    """A new node; ``label`` is what the person reads on it, empty for its own name."""
    node = tree.nodes.new(kind)
    node.label, node.location = label, location
    return node


def float_input(compare: bpy.types.Node, name: str) -> bpy.types.NodeSocket:
    """The Compare node holds an A and a B for every type."""
    return next(s for s in compare.inputs if s.name == name and s.type == "VALUE")
