"""The geometry nodes that turn a mesh's vertices into dots."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

NAME = "DA3 Point Cloud"
MODIFIER = "GeometryNodes"
# Radius of a dot in scene units at Scale 1.
RADIUS = 0.002
# Until 5.2 a modifier kept the group's inputs as properties of its own.
TYPED_INPUTS = "properties" in bpy.types.NodesModifier.bl_rna.properties


def point_cloud_tree(material: bpy.types.Material) -> bpy.types.NodeTree:
    """A new node group: Mesh to Points, Delete Geometry where ``conf`` < Threshold, Set Material.

    One group serves all batches of a run, so that a change to it is a change to the whole cloud; another run has a
    group of its own, and is not touched by it.
    """
    tree = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
    tree.is_modifier = True
    socket = tree.interface.new_socket
    socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    threshold = socket("Threshold", in_out="INPUT", socket_type="NodeSocketFloat")
    threshold.default_value, threshold.min_value = 0.5, 0.0
    threshold.description = "Points of less confidence are hidden"
    scale = socket("Scale", in_out="INPUT", socket_type="NodeSocketFloat")
    scale.default_value, scale.min_value = 1.0, 0.0
    scale.description = f"Radius of a dot, in units of {RADIUS}"

    group_in = add_node(tree, "NodeGroupInput", "", (-720, 0))
    radius = add_node(tree, "ShaderNodeMath", "Dot radius", (-480, -80))
    radius.operation = "MULTIPLY"
    radius.inputs[1].default_value = RADIUS
    conf = add_node(tree, "GeometryNodeInputNamedAttribute", "Confidence", (-480, -280))
    conf.data_type = "FLOAT"
    conf.inputs["Name"].default_value = "conf"
    to_points = add_node(tree, "GeometryNodeMeshToPoints", "", (-240, 80))
    too_low = add_node(tree, "FunctionNodeCompare", "Below threshold", (-240, -240))
    too_low.data_type, too_low.operation = "FLOAT", "LESS_THAN"
    delete = add_node(tree, "GeometryNodeDeleteGeometry", "", (0, 60))
    delete.domain = "POINT"
    paint = add_node(tree, "GeometryNodeSetMaterial", "", (220, 40))
    paint.inputs["Material"].default_value = material
    group_out = add_node(tree, "NodeGroupOutput", "", (440, 0))

    link = tree.links.new
    link(group_in.outputs["Scale"], radius.inputs[0])
    link(group_in.outputs["Geometry"], to_points.inputs["Mesh"])
    link(radius.outputs["Value"], to_points.inputs["Radius"])
    link(conf.outputs["Attribute"], float_input(too_low, "A"))
    link(group_in.outputs["Threshold"], float_input(too_low, "B"))
    link(to_points.outputs["Points"], delete.inputs["Geometry"])
    link(too_low.outputs["Result"], delete.inputs["Selection"])
    link(delete.outputs["Geometry"], paint.inputs["Geometry"])
    link(paint.outputs["Geometry"], group_out.inputs["Geometry"])
    return tree


def playing_tree() -> bpy.types.NodeTree:
    """A new node group that leaves, of a mesh's vertices, those whose ``frame`` is the timeline's."""
    tree = bpy.data.node_groups.new("DA3 Play", "GeometryNodeTree")
    tree.is_modifier = True
    for direction in ("OUTPUT", "INPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    group_in = add_node(tree, "NodeGroupInput", "", (-480, 80))
    now = add_node(tree, "GeometryNodeInputSceneTime", "", (-480, -80))
    frame = add_node(tree, "GeometryNodeInputNamedAttribute", "Frame", (-480, -220))
    frame.data_type = "INT"
    frame.inputs["Name"].default_value = "frame"
    another = add_node(tree, "FunctionNodeCompare", "Of another frame", (-240, -120))
    another.data_type, another.operation = "FLOAT", "NOT_EQUAL"
    float_input(another, "Epsilon").default_value = 0.5
    delete = add_node(tree, "GeometryNodeDeleteGeometry", "", (0, 60))
    delete.domain = "POINT"
    group_out = add_node(tree, "NodeGroupOutput", "", (220, 60))
    link = tree.links.new
    link(frame.outputs["Attribute"], float_input(another, "A"))
    link(now.outputs["Frame"], float_input(another, "B"))
    link(group_in.outputs["Geometry"], delete.inputs["Geometry"])
    link(another.outputs["Result"], delete.inputs["Selection"])
    link(delete.outputs["Geometry"], group_out.inputs["Geometry"])
    return tree


def add_playing(obj: bpy.types.Object, tree: bpy.types.NodeTree) -> bpy.types.NodesModifier:
    """Put ``playing_tree`` on an object, before what is there already."""
    modifier = attach(obj, "Play", tree)
    obj.modifiers.move(len(obj.modifiers) - 1, 0)
    return modifier


def add_modifier(
    obj: bpy.types.Object, tree: bpy.types.NodeTree, *, threshold: float = 0.5, scale: float = 1.0
) -> bpy.types.NodesModifier:
    """Put the node group on an object as its modifier "GeometryNodes"."""
    return attach(obj, MODIFIER, tree, {"Threshold": threshold, "Scale": scale})


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
