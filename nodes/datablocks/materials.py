"""``PointMaterial``: a photo's colours as they are, or the confidence as red, green, blue."""

from __future__ import annotations

import bpy

from .point_trees import add_node

NAME = "PointMaterial"
# DA3's confidence starts at 1 and rarely passes 10.
CONFIDENCE_RANGE = (0.0, 10.0)
RAMP = ((0.0, (1.0, 0.0, 0.0, 1.0)), (0.5, (0.0, 1.0, 0.0, 1.0)), (1.0, (0.0, 0.0, 1.0, 1.0)))


def point_material() -> bpy.types.Material:
    """A new material: the Factor of its Mix node shows ``point_color`` at 0 and ``conf`` at 1."""
    material = new_material(NAME)
    tree = material.node_tree

    color = add_node(tree, "ShaderNodeAttribute", "Photo colour", (-900, 200))
    color.attribute_type, color.attribute_name = "GEOMETRY", "point_color"
    conf = add_node(tree, "ShaderNodeAttribute", "Confidence", (-900, -60))
    conf.attribute_type, conf.attribute_name = "GEOMETRY", "conf"

    to_unit = add_node(tree, "ShaderNodeMapRange", "Confidence 0 to 10", (-680, -60))
    to_unit.clamp = True
    to_unit.inputs["From Min"].default_value, to_unit.inputs["From Max"].default_value = CONFIDENCE_RANGE
    ramp = add_node(tree, "ShaderNodeValToRGB", "Low red, high blue", (-470, -60))
    elements = ramp.color_ramp.elements
    while len(elements) < len(RAMP):
        elements.new(0.5)
    for element, (position, rgba) in zip(elements, RAMP, strict=True):
        element.position, element.color = position, rgba

    mix = add_node(tree, "ShaderNodeMix", "0 colour, 1 confidence", (-150, 200))
    mix.name = "Mix"
    mix.data_type = "RGBA"
    factor, first, second = (mix_input(mix, name) for name in ("Factor", "A", "B"))
    factor.default_value = 0.0

    # Emission: the photo was lit when it was taken, and must not be lit a second time.
    emission = add_node(tree, "ShaderNodeEmission", "Unlit", (80, 200))
    output = add_node(tree, "ShaderNodeOutputMaterial", "", (290, 200))

    link = tree.links.new
    link(color.outputs["Color"], first)
    link(conf.outputs["Fac" if "Fac" in conf.outputs else "Factor"], to_unit.inputs["Value"])
    link(to_unit.outputs["Result"], ramp.inputs[0])
    link(ramp.outputs["Color"], second)
    link(next(s for s in mix.outputs if s.type == "RGBA"), emission.inputs["Color"])
    link(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def new_material(name: str) -> bpy.types.Material:
    """A material with an empty node tree."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True  # from 5.0 on a material always has nodes, and 5.2 warns about the property
    material.node_tree.nodes.clear()
    return material


def mix_input(mix: bpy.types.Node, name: str) -> bpy.types.NodeSocket:
    """The Mix node's socket of that name for colours: it holds one per type, and shows those of the current one."""
    kind = "VALUE" if name == "Factor" else "RGBA"
    return next(s for s in mix.inputs if s.name == name and s.type == kind)
