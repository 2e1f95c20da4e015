"""How a finished run is shown: size of its dots, least confidence, part that is drawn, colours, and what is visible.

The modifiers, the material and the objects hold these values; nothing is kept beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from ..datablocks import mesh_trees, point_trees, splat_nodes
from ..datablocks.materials import NAME as MATERIAL
from ..datablocks.materials import mix_input
from ..point_cloud import TRACK_LENGTH

POINTS, MESHES, SURFACE, CAMERAS, MOVING, TRACKS = "points", "meshes", "surface", "cameras", "moving", "tracks"
KINDS = (POINTS, MESHES, SURFACE, CAMERAS, MOVING, TRACKS)
MOVING_NAME = "Moving"


def is_mesh(made: bpy.types.ID) -> bool:
    """Whether it is an object with a mesh."""
    return isinstance(made, bpy.types.Object) and made.type == "MESH"


def is_built(obj: bpy.types.Object) -> bool:
    """Whether an object looks like a run's own: a person's, put into the same collection, is left alone."""
    if obj.type == "CAMERA":
        return "placement" in obj
    return is_mesh(obj) and not {"point_color", TRACK_LENGTH}.isdisjoint(obj.data.attributes.keys())


def is_fused(made: bpy.types.ID) -> bool:
    """Whether it is a surface from all frames: of no frame, and of no one confidence."""
    return is_mesh(made) and len(made.data.polygons) > 0 and "conf" not in made.data.attributes


def objects_of(run: bpy.types.Collection, kind: str) -> list[bpy.types.Object]:
    """The objects of a run that are of one of ``KINDS``."""
    return [obj for obj in run.all_objects if kind_of(run, obj) == kind]


def kind_of(run: bpy.types.Collection, obj: bpy.types.Object) -> str:
    """Which of ``KINDS`` an object is; empty for what is none."""
    if obj.type == "CAMERA":
        return CAMERAS
    if obj.type != "MESH":
        return ""
    if any(c.name.startswith(MOVING_NAME) for c in obj.users_collection):
        return MOVING
    if TRACK_LENGTH in obj.data.attributes:
        return TRACKS
    if is_fused(obj):
        return SURFACE
    return MESHES if len(obj.data.polygons) else POINTS


def get(run: bpy.types.Collection, name: str, otherwise: float) -> float:
    """The value of a modifier input, as the first object that has one says it."""
    for modifier in _modifiers(run):
        if point_trees.has_input(modifier, name):
            return float(point_trees.get_input(modifier, name))
    return otherwise


def put(run: bpy.types.Collection, name: str, value: float) -> None:
    """Set a modifier input of all objects."""
    for modifier in _modifiers(run):
        if point_trees.has_input(modifier, name):
            point_trees.set_input(modifier, name, value)
            modifier.id_data.update_tag()


def has_switch(run: bpy.types.Collection, name: str) -> bool:
    """Whether points of the run have that input, of splats or of discs, and the sizes that it wants."""
    clouds = (obj for kind in (POINTS, MOVING) for obj in objects_of(run, kind))
    sized = [obj.modifiers.get(point_trees.MODIFIER) for obj in clouds if splat_nodes.SCALE in obj.data.attributes]
    return any(m is not None and m.node_group is not None and point_trees.has_input(m, name) for m in sized)


def thin(run: bpy.types.Collection, most: int, before: float) -> float:
    """Have the viewport draw about ``most`` dots, unless somebody has set how many; the percentage.

    Parameters
    ----------
    before : the percentage that was set last, by this or by the tree's default
    """
    total = sum(len(obj.data.vertices) for obj in objects_of(run, POINTS))
    percent = float(max(1, min(100, round(100.0 * most / max(1, total)))))
    if get(run, point_trees.DISPLAY, before) == before != percent:
        put(run, point_trees.DISPLAY, percent)
        if point_trees.BUILT in run:
            run[point_trees.BUILT] = {**run[point_trees.BUILT].to_dict(), point_trees.DISPLAY: percent}
    return percent


def confidence_share(run: bpy.types.Collection) -> float:
    """Factor of the dots' material: 0 shows the colour, 1 the confidence."""
    return next((float(factor.default_value) for factor in _factors(run)), 0.0)


def show_confidence(run: bpy.types.Collection, share: float) -> None:
    """See ``confidence_share``."""
    for factor in _factors(run):
        factor.default_value = share


def is_visible(run: bpy.types.Collection, kind: str) -> bool:
    """Whether anything of a kind is to be seen."""
    return any(not obj.hide_get() for obj in objects_of(run, kind))


def set_visible(run: bpy.types.Collection, kind: str, visible: bool) -> None:
    """Show or hide all of a kind: with the eye, and in renders where no animation decides that."""
    for obj in objects_of(run, kind):
        obj.hide_set(not visible)
        if obj.animation_data is None or obj.animation_data.action is None:
            obj.hide_render = not visible
    if kind == MOVING:
        for child in run.children_recursive:
            if child.name.startswith(MOVING_NAME):
                child.hide_render = not visible


def _modifiers(run: bpy.types.Collection) -> Iterator[bpy.types.NodesModifier]:
    for obj in run.all_objects:
        for name in (point_trees.MODIFIER, mesh_trees.NAME):
            modifier = obj.modifiers.get(name)
            if modifier is not None and modifier.type == "NODES" and modifier.node_group is not None:
                yield modifier


def _factors(run: bpy.types.Collection) -> Iterator[bpy.types.NodeSocket]:
    for material in point_materials(run):
        mix = material.node_tree.nodes.get("Mix") if material.node_tree else None
        if mix is not None and mix.bl_idname == "ShaderNodeMix":
            yield mix_input(mix, "Factor")


def point_materials(run: bpy.types.Collection) -> list[bpy.types.Material]:
    """The materials of a run's dots, each once."""
    found: dict[str, bpy.types.Material] = {}
    for obj in run.all_objects:
        for material in obj.data.materials if obj.type == "MESH" else ():
            if material is not None and material.name.startswith(MATERIAL):
                found[material.name] = material
    return list(found.values())
