"""A photo as the material of the meshes that were made from it."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from ...core.files.names import readable
from ...core.frames.pixels import kinds
from .collections import fitting
from .created import Created
from .materials import mix_input, new_material
from .point_trees import add_node

#: Names of nodes, for people and for other programs' exporters that look for them.
IMAGE, MIX = "Image", "Mix"
SOURCE = "da3_source"  # where a picture comes from that has no path Blender can open
LONGEST_PATH = 1024  # bytes, Blender's limit


def image_material(image: bpy.types.Image) -> bpy.types.Material:
    """A new material, named after its image: the Factor of its Mix node shows the image at 0, ``point_color`` at 1.

    It shines by itself: the photo was lit when it was taken, and must not be lit a second time. A second output, not in
    use, has a Principled BSDF with the same image: exporters to OBJ and USD know no other way to a texture, and a person who
    wants the mesh to be lit has it ready.
    """
    material = new_material(fitting(Path(image.name).stem))
    tree = material.node_tree
    photo = add_node(tree, "ShaderNodeTexImage", "Photo", (-560, 240))
    photo.name, photo.image, photo.extension = IMAGE, image, "EXTEND"
    color = add_node(tree, "ShaderNodeAttribute", "Photo colour", (-560, -60))
    color.attribute_type, color.attribute_name = "GEOMETRY", "point_color"
    mix = add_node(tree, "ShaderNodeMix", "0 image, 1 colour of the points", (-220, 240))
    mix.name, mix.data_type = MIX, "RGBA"
    factor, first, second = (mix_input(mix, name) for name in ("Factor", "A", "B"))
    factor.default_value = 0.0
    emission = add_node(tree, "ShaderNodeEmission", "Unlit", (20, 240))
    output = add_node(tree, "ShaderNodeOutputMaterial", "", (320, 240))
    lit = add_node(tree, "ShaderNodeBsdfPrincipled", "", (20, 80))
    lit.inputs["Roughness"].default_value = 1.0
    second_output = add_node(tree, "ShaderNodeOutputMaterial", "Lit, and for OBJ and USD", (320, 80))

    link = tree.links.new
    link(photo.outputs["Color"], first)
    link(color.outputs["Color"], second)
    link(next(s for s in mix.outputs if s.type == "RGBA"), emission.inputs["Color"])
    link(emission.outputs["Emission"], output.inputs["Surface"])
    link(photo.outputs["Color"], lit.inputs["Base Color"])
    link(lit.outputs["BSDF"], second_output.inputs["Surface"])
    output.is_active_output = True
    tree.nodes.active = photo  # what the viewport shows when its colour is set to Texture
    return material


def load(path: str, made: Created, *, packed: bool = False, is_video: bool = False) -> bpy.types.Image | None:
    """The image of that path; None where there is no such file, or none that Blender reads: the scene may be built where the images are not.

    One that is in the file already is taken again. Its path is kept as Blender does it: relative to the .blend, where that
    has been saved and the preferences do not say otherwise.

    Parameters
    ----------
    path : absolute
    made : learns of the image if it is new
    packed : put the picture into the .blend, for the file will be gone
    is_video : the image is a movie
    """
    if not path or not Path(path).is_file() or not (is_video or kinds.opens_in_blender(Path(path))):
        return None  # of HEIC, AVIF or raw, Blender would make an image without pixels
    if is_out_of_reach(path):
        return None if is_video else _load_content(Path(path), made)
    if is_video:  # Blender would take another image for every user
        known = (image for image in bpy.data.images if image.source == "MOVIE")
        if shared := next((image for image in known if bpy.path.abspath(image.filepath) == path), None):
            return shared
    if packed and (shared := next((image for image in bpy.data.images if image.get(SOURCE) == path), None)):
        return shared
    before = len(bpy.data.images)
    try:
        image = bpy.data.images.load(path, check_existing=not packed)
    except RuntimeError:  # removed this very moment, or not readable by this person
        return None
    if len(bpy.data.images) == before:
        return image
    made.add(image)
    if packed:
        image.pack()
        image.filepath_raw = f"//{Path(path).name}"  # where Blender would put it if it were unpacked
        image[SOURCE] = path
    else:
        keep_path(image)
    return image


def keep_path(shown: bpy.types.Image | bpy.types.MovieClip) -> None:
    """Keep where a picture lies as Blender does it: relative to the .blend, where that has been saved and the person wants it."""
    if bpy.data.filepath and bpy.context.preferences.filepaths.use_relative_paths:
        name = "filepath_raw" if isinstance(shown, bpy.types.Image) else "filepath"
        setattr(shown, name, bpy.path.relpath(shown.filepath))


def is_out_of_reach(path: str) -> bool:
    """Whether Blender cannot open a file that is there: it takes a backslash for a separator, also where it is none."""
    return (os.sep != "\\" and "\\" in path) or len(os.fsencode(path)) >= LONGEST_PATH


def _load_content(file: Path, made: Created) -> bpy.types.Image | None:
    """The picture in the .blend, without a path; one that is in there already is taken again."""
    name = fitting(readable(file.name).replace("\\", "_"))
    known = next((image for image in bpy.data.images if image.get(SOURCE) == str(file)), None)
    if known is not None:
        return known
    try:
        content = file.read_bytes()
    except OSError:  # removed this very moment, or not readable by this person
        return None
    image = made.add(bpy.data.images.new(name, 1, 1))
    image.pack(data=content, data_len=len(content))
    image.source = "FILE"
    image.filepath_raw = f"//{name}"
    image[SOURCE] = str(file)
    return image
