"""What a person has changed on the objects of a run, brought over to those that are built in their place.

An old and a new object are the same where both were built as the same part; what they are called now does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
from mathutils import Matrix

from ..datablocks import mesh_trees, point_trees
from ..datablocks.collections import PART
from ..datablocks.created import is_there

INPUTS = (point_trees.THRESHOLD, point_trees.POINT_SIZE, point_trees.DISPLAY, mesh_trees.EDGE_LENGTH)


@dataclass
class Kept:
    """Of one object that goes."""

    name: str
    data_name: str
    inputs: dict[str, float]  # of its modifiers, that are not as they were built
    materials: list[bpy.types.Material | None]
    hidden: tuple[bool, bool, bool, bool] | None  # eye, viewport, render, selectable; None where an animation decides
    is_selected: bool
    is_active: bool
    parent: (
        tuple[bpy.types.Object, str, str, Matrix, Matrix] | None
    )  # with type, bone, its inverse and what is relative to it
    children: list[bpy.types.Object]


def key_of(obj: bpy.types.Object) -> str:
    """What an object was built as."""
    part = obj.get(PART)
    return str(part) if part is not None else f"{obj.type} {obj.get('frame', obj.name)}"


def note(objects: list[bpy.types.Object], run: bpy.types.Collection) -> dict[str, Kept]:
    """What is to be kept of the objects of a run, by what they were built as."""
    built = dict(run[point_trees.BUILT].to_dict()) if point_trees.BUILT in run else {}
    own = set(objects)
    active = bpy.context.view_layer.objects.active
    return {key_of(obj): _note(obj, built, own, obj == active) for obj in objects}


def _note(obj: bpy.types.Object, built: dict[str, Any], own: set[bpy.types.Object], is_active: bool) -> Kept:
    is_animated = obj.animation_data is not None and obj.animation_data.action is not None
    hidden = None if is_animated else (obj.hide_get(), obj.hide_viewport, obj.hide_render, obj.hide_select)
    inputs = {}
    for modifier in _modifiers(obj):
        for name in INPUTS:
            if point_trees.has_input(modifier, name):
                value = point_trees.get_input(modifier, name)
                if abs(value - built.get(name, value)) > 1e-6:
                    inputs[name] = value
    parent = None
    if obj.parent is not None and obj.parent not in own:
        inverse, relative = obj.matrix_parent_inverse.copy(), obj.matrix_basis.copy()
        parent = (obj.parent, obj.parent_type, obj.parent_bone, inverse, relative)
    return Kept(
        obj.name, obj.data.name, inputs, list(getattr(obj.data, "materials", ())), hidden, obj.select_get(), is_active,
        parent, [child for child in obj.children if child not in own],
    )  # fmt: skip


def bring_over(kept: dict[str, Kept], objects: list[bpy.types.Object], *, moves_back: bool) -> None:
    """Give new objects what was kept; the old ones still hold their names.

    Parameters
    ----------
    moves_back : whether the old ones were built elsewhere and moved, as chunks of a long way are: then only the parent is kept
    """
    for obj in objects:
        old = kept.get(key_of(obj))
        if old is None:
            continue
        for modifier in _modifiers(obj):
            for name, value in old.inputs.items():
                if point_trees.has_input(modifier, name):
                    point_trees.set_input(modifier, name, value)
        for number, material in enumerate(old.materials):
            if "Fused" in key_of(obj):
                break  # its texture was baked anew
            if material is not None and is_there(material) and number < len(obj.data.materials):
                obj.data.materials[number] = material
        if old.parent is not None:
            _join(obj, *old.parent, moves_back=moves_back)
        for child in filter(is_there, old.children):
            child.parent = obj
        if old.hidden is not None:
            obj.hide_viewport, obj.hide_render, obj.hide_select = old.hidden[1:]
        if obj.name in bpy.context.view_layer.objects:
            if old.hidden is not None:
                obj.hide_set(old.hidden[0])
            obj.select_set(old.is_selected)
            if old.is_active:
                bpy.context.view_layer.objects.active = obj


def name(kept: dict[str, Kept], objects: list[bpy.types.Object]) -> None:
    """Give new objects the names of those that have gone."""
    for obj in objects:
        old = kept.get(key_of(obj))
        if old is not None:
            obj.name, obj.data.name = old.name, old.data_name


def _join(
    obj: bpy.types.Object, parent: bpy.types.Object, kind: str, bone: str, inverse: Matrix, relative: Matrix,
    *, moves_back: bool,
) -> None:  # fmt: skip
    world = obj.matrix_basis.copy()
    obj.parent, obj.parent_type, obj.parent_bone = parent, kind, bone
    if moves_back:
        obj.matrix_parent_inverse = (parent.matrix_world @ Matrix.Identity(4)).inverted_safe()
        obj.matrix_basis = world
    else:
        obj.matrix_parent_inverse, obj.matrix_basis = inverse, relative


def _modifiers(obj: bpy.types.Object) -> list[bpy.types.NodesModifier]:
    found = [obj.modifiers.get(known) for known in (point_trees.MODIFIER, mesh_trees.NAME)]
    return [modifier for modifier in found if modifier is not None and modifier.type == "NODES" and modifier.node_group]
