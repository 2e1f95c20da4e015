"""The geometry nodes that leave of a mesh what is sure, and not drawn out between near and far."""

from __future__ import annotations

import bpy

from .point_trees import add_node, attach, float_input

NAME = "FilterMesh"
EDGE_LENGTH = "Edge Length"


def filter_tree() -> bpy.types.NodeTree:
    """A new node group: faces with a corner below Threshold or an edge beyond Edge Length go, and what hung on them.

    The length of an edge counts relative to the mean of ``depth`` at its ends, so that one limit fits near and far.
    """
    tree = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
    tree.is_modifier = True
    socket = tree.interface.new_socket
    socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    threshold = socket("Threshold", in_out="INPUT", socket_type="NodeSocketFloat")
    threshold.default_value, threshold.min_value = 0.5, 0.0
    threshold.description = "Vertices of less confidence are hidden"
    limit = socket("Edge Length", in_out="INPUT", socket_type="NodeSocketFloat")
    limit.default_value, limit.min_value = 0.1, 0.0
    limit.description = (
        "Edges longer than this part of their depth are hidden; longer than when it was built there are none"
    )

    group_in = add_node(tree, "NodeGroupInput", "", (-1080, 120))
    conf = _attribute(tree, "conf", "Confidence", (-1080, -120))
    depth = _attribute(tree, "depth", "Depth", (-1080, -300))
    ends = add_node(tree, "GeometryNodeInputMeshEdgeVertices", "", (-1080, -480))
    sure = _compare(tree, "GREATER_EQUAL", "At least the threshold", (-620, 20))
    length = add_node(tree, "ShaderNodeVectorMath", "Length", (-860, -440))
    length.operation = "DISTANCE"
    longest = add_node(tree, "ShaderNodeMath", "Longest allowed", (-860, -240))
    longest.operation = "MULTIPLY"
    short = _compare(tree, "LESS_EQUAL", "Short", (-620, -260))
    by_edge = _on_domain(tree, "FLOAT", "EDGE", "Mean of the ends", (-860, -60))
    # Looked at where they belong, and only then brought to the faces: of a face all corners and all edges must do.
    sure_points = _on_domain(tree, "BOOLEAN", "POINT", "Of each vertex", (-400, 20))
    short_edges = _on_domain(tree, "BOOLEAN", "EDGE", "Of each edge", (-400, -260))
    keep = _logic(tree, "AND", "All corners and all edges", (-180, -60))
    drop = _logic(tree, "NOT", "The rest", (20, -60))
    delete = add_node(tree, "GeometryNodeDeleteGeometry", "", (220, 120))
    delete.domain = "FACE"
    group_out = add_node(tree, "NodeGroupOutput", "", (440, 120))

    link = tree.links.new
    link(conf.outputs["Attribute"], float_input(sure, "A"))
    link(group_in.outputs["Threshold"], float_input(sure, "B"))
    link(depth.outputs["Attribute"], by_edge.inputs[0])
    link(by_edge.outputs[0], longest.inputs[0])
    link(group_in.outputs["Edge Length"], longest.inputs[1])
    link(ends.outputs["Position 1"], length.inputs[0])
    link(ends.outputs["Position 2"], length.inputs[1])
    link(length.outputs["Value"], float_input(short, "A"))
    link(longest.outputs["Value"], float_input(short, "B"))
    link(short.outputs["Result"], short_edges.inputs[0])
    link(sure.outputs["Result"], sure_points.inputs[0])
    link(sure_points.outputs[0], keep.inputs[0])
    link(short_edges.outputs[0], keep.inputs[1])
    link(keep.outputs["Boolean"], drop.inputs[0])
    link(group_in.outputs["Geometry"], delete.inputs["Geometry"])
    link(drop.outputs["Boolean"], delete.inputs["Selection"])
    link(delete.outputs["Geometry"], group_out.inputs["Geometry"])
    return tree


def add_filter(
    obj: bpy.types.Object, tree: bpy.types.NodeTree, *, threshold: float = 0.5, edge_length: float = 0.1
) -> bpy.types.NodesModifier:
    """Put ``filter_tree`` on an object as its modifier "FilterMesh"."""
    return attach(obj, NAME, tree, {"Threshold": threshold, EDGE_LENGTH: edge_length})


def _attribute(tree: bpy.types.NodeTree, name: str, label: str, location: tuple[float, float]) -> bpy.types.Node:
    node = add_node(tree, "GeometryNodeInputNamedAttribute", label, location)
    node.data_type = "FLOAT"
    node.inputs["Name"].default_value = name
    return node


def _compare(tree: bpy.types.NodeTree, operation: str, label: str, location: tuple[float, float]) -> bpy.types.Node:
    node = add_node(tree, "FunctionNodeCompare", label, location)
    node.data_type, node.operation = "FLOAT", operation
    return node


def _logic(tree: bpy.types.NodeTree, operation: str, label: str, location: tuple[float, float]) -> bpy.types.Node:
    node = add_node(tree, "FunctionNodeBooleanMath", label, location)
    node.operation = operation
    return node


def _on_domain(
    tree: bpy.types.NodeTree, kind: str, domain: str, label: str, location: tuple[float, float]
) -> bpy.types.Node:
    node = add_node(tree, "GeometryNodeFieldOnDomain", label, location)
    node.data_type, node.domain = kind, domain
    return node
