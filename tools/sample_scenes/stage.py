"""A Blender scene under construction: textures become materials, shapes become objects that carry an id."""

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Vector

from .shapes.meshes import Shape
from .shapes.textures import Texture


class Stage:
    """An empty scene of its own and the list of named things in it.

    Attributes
    ----------
    things : name -> id 1..255; several objects may be one thing
    """

    def __init__(self) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.things: dict[str, int] = {}

    def put(self, thing: str, shape: Shape, material: bpy.types.Material) -> bpy.types.Object:
        """Add a shape as part of ``thing``. Texture coordinates are metres and are divided by the material's size."""
        mesh = bpy.data.meshes.new(thing)
        mesh.from_pydata(shape.points, [], shape.polygons)
        size = np.array(material.get("size", (1.0, 1.0)))
        uv = np.array([corner for polygon in shape.uvs for corner in polygon]) / size
        mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", uv.astype(np.float32).ravel())
        mesh.polygons.foreach_set("use_smooth", shape.smooth)
        mesh.validate()
        mesh.update()
        mesh.materials.append(material)
        return self.adopt(thing, bpy.data.objects.new(thing, mesh))

    def adopt(self, thing: str, item: bpy.types.Object) -> bpy.types.Object:
        """Put an object that exists already into the scene as part of ``thing``."""
        item["thing"] = self.things.setdefault(thing, len(self.things) + 1)
        if item.name not in bpy.context.scene.collection.objects:
            bpy.context.scene.collection.objects.link(item)
        return item

    def remove(self, thing: str) -> None:
        """Take all objects of a thing out again; its id stays taken."""
        for item in [o for o in bpy.data.objects if o.get("thing") == self.things[thing]]:
            mesh = item.data
            bpy.data.objects.remove(item)
            bpy.data.meshes.remove(mesh)

    def material(self, texture: Texture, relief: float = 0.012) -> bpy.types.Material:
        """Matte material of a painted texture; ``relief`` is the depth in metres that the shading suggests (nothing moves)."""
        height, width = texture.pixels.shape[:2]
        image = bpy.data.images.new(texture.name, width, height, alpha=True)
        image.alpha_mode = "CHANNEL_PACKED"
        image.pixels.foreach_set(np.ascontiguousarray(texture.pixels[::-1]).ravel())
        image.update()
        material, nodes, links, surface = _matte(texture.name)
        material["size"] = texture.size
        picture = nodes.new("ShaderNodeTexImage")
        picture.image = image
        picture.location = (-600, 0)
        links.new(picture.outputs["Color"], surface.inputs["Base Color"])
        _bump(nodes, links, surface, picture.outputs["Alpha"], relief)
        return material

    def glazed(self, name: str, tones: Sequence[tuple[float, float, float]], scale: float) -> bpy.types.Material:
        """Material painted through the solid by its own coordinates, for shapes that have no useful texture coordinates.

        tones : linear colours from the noise's low to its high values
        scale : coarsest noise cells per metre
        """
        material, nodes, links, surface = _matte(name)
        where = nodes.new("ShaderNodeTexCoord")
        noise = nodes.new("ShaderNodeTexNoise")
        noise.inputs["Scale"].default_value = scale
        noise.inputs["Detail"].default_value = 8.0
        noise.inputs["Roughness"].default_value = 0.78
        noise.inputs["Distortion"].default_value = 0.6
        links.new(where.outputs["Object"], noise.inputs["Vector"])
        ramp = nodes.new("ShaderNodeValToRGB")
        elements = ramp.color_ramp.elements
        while len(elements) < len(tones):
            elements.new(0.5)
        for i, tone in enumerate(tones):
            elements[i].position = 0.3 + 0.4 * i / (len(tones) - 1)
            elements[i].color = (*tone, 1.0)
        links.new(noise.outputs["Factor" if "Factor" in noise.outputs else "Fac"], ramp.inputs[0])
        links.new(ramp.outputs["Color"], surface.inputs["Base Color"])
        return material


def _matte(name: str) -> tuple:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    surface = nodes["Principled BSDF"]
    surface.inputs["Roughness"].default_value = 0.9
    surface.inputs["Specular IOR Level"].default_value = 0.08
    return material, nodes, links, surface


def _bump(nodes, links, surface, height, distance: float) -> None:
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = 0.8
    bump.inputs["Distance"].default_value = distance
    links.new(height, bump.inputs["Height"])
    links.new(bump.outputs["Normal"], surface.inputs["Normal"])


def light(sun_from: tuple[float, float, float], strength: float = 3.1, sky: float = 1.0, fill: float = 1.35) -> None:
    """A sun shining from a direction, and a blue sky with clouds that does not move with the camera."""
    scene = bpy.context.scene
    lamp = bpy.data.lights.new("Sun", "SUN")
    lamp.energy, lamp.angle, lamp.color = strength, np.radians(1.2), (1.0, 0.93, 0.82)
    item = bpy.data.objects.new("Sun", lamp)
    item.rotation_euler = Vector(sun_from).to_track_quat("Z", "Y").to_euler()
    scene.collection.objects.link(item)
    world = scene.world = bpy.data.worlds.new("Sky")
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    background = nodes["Background"]
    background.inputs["Strength"].default_value = sky

    def math(operation: str, first, second: float) -> bpy.types.NodeSocket:
        node = nodes.new("ShaderNodeMath")
        node.operation = operation
        links.new(first, node.inputs[0])
        node.inputs[1].default_value = second
        return node.outputs[0]

    where = nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    split = nodes.new("ShaderNodeSeparateXYZ")
    links.new(where, split.inputs[0])
    gradient = nodes.new("ShaderNodeValToRGB")
    links.new(split.outputs["Z"], gradient.inputs[0])
    first, last = gradient.color_ramp.elements
    first.position, first.color = 0.0, (0.62, 0.76, 0.92, 1)
    last.position, last.color = 0.75, (0.10, 0.25, 0.62, 1)
    # Clouds lie on a plane above: direction divided by its height.
    height = math("MAXIMUM", math("ADD", split.outputs["Z"], 0.12), 0.05)
    plane = nodes.new("ShaderNodeVectorMath")
    plane.operation = "DIVIDE"
    links.new(where, plane.inputs[0])
    spread = nodes.new("ShaderNodeCombineXYZ")
    for axis in range(3):
        links.new(height, spread.inputs[axis])
    links.new(spread.outputs[0], plane.inputs[1])
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 1.15
    noise.inputs["Detail"].default_value = 9.0
    noise.inputs["Roughness"].default_value = 0.62
    noise.inputs["Distortion"].default_value = 0.25
    links.new(plane.outputs[0], noise.inputs["Vector"])
    cover = nodes.new("ShaderNodeValToRGB")
    cover.color_ramp.elements[0].position, cover.color_ramp.elements[1].position = 0.47, 0.68
    links.new(noise.outputs["Factor" if "Factor" in noise.outputs else "Fac"], cover.inputs[0])
    blend = nodes.new("ShaderNodeMix")
    blend.data_type = "RGBA"
    links.new(cover.outputs["Color"], blend.inputs["Factor"])
    links.new(gradient.outputs["Color"], blend.inputs[6])
    blend.inputs[7].default_value = (0.98, 0.96, 0.93, 1)
    links.new(blend.outputs[2], background.inputs["Color"])
    # Only the camera sees the clouds; to light the yard a plain sky does, and is many times faster to sample.
    plain = nodes.new("ShaderNodeBackground")
    plain.inputs["Color"].default_value = (0.80, 0.85, 0.96, 1)
    plain.inputs["Strength"].default_value = fill
    choice = nodes.new("ShaderNodeMixShader")
    links.new(nodes.new("ShaderNodeLightPath").outputs["Is Camera Ray"], choice.inputs[0])
    links.new(plain.outputs[0], choice.inputs[1])
    links.new(background.outputs[0], choice.inputs[2])
    links.new(choice.outputs[0], nodes["World Output"].inputs["Surface"])
    world.cycles.sampling_method = "NONE"
