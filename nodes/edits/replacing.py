"""What a run has built, taken away for what is built anew; the run's collection, look and place stay."""

from __future__ import annotations

import re

import bpy

from ..assembly import Run
from ..datablocks import point_trees
from ..datablocks.collections import PART
from ..datablocks.created import is_there
from ..plate import CLIP
from . import keeping
from .look import is_built, is_fused

NUMBERED = re.compile(r"(.+)\.\d{3,}")


class Seen:
    """Camera, picture and time of a scene, so that building again does not change what a person looks at."""

    RENDER = ("resolution_x", "resolution_y", "pixel_aspect_x", "pixel_aspect_y", "fps", "fps_base")

    def __init__(self, scene: bpy.types.Scene):
        self._scene = scene
        self._frame = scene.frame_current
        self._render = {name: getattr(scene.render, name) for name in self.RENDER}
        self._camera = scene.camera

    def restore(self) -> None:
        """Put them back. A camera that was deleted meanwhile is not brought back."""
        if not is_there(self._scene):
            return
        for name, value in self._render.items():
            setattr(self._scene.render, name, value)
        if self._camera is not None and is_there(self._camera):
            self._scene.camera = self._camera
        self._scene.frame_current = self._frame

    def evaluate(self) -> None:
        """Have what shows at its frame only look at which frame it is."""
        if is_there(self._scene):
            self._scene.frame_set(self._frame)


def replace(run: Run, top: bpy.types.Collection) -> None:
    """Put what a run has built in the place of what ``top`` holds of an earlier one. All or nothing: no steps.

    The old goes last: whatever fails before that has cost nothing.
    """
    camera = run.scene.camera
    scene_camera = camera.name if camera is not None and camera.name in top.all_objects else ""
    old = [obj for obj in top.all_objects if is_built(obj)]
    if not any(is_fused(made) for made in run.built if is_there(made)):
        old = [obj for obj in old if not is_fused(obj)]  # it took long, and nobody asked for another
    filled = [child for child in top.children_recursive if child.all_objects]
    kept = keeping.note(old, top)
    _keep_look(run, old)
    _link(run, top)
    new = [made for made in run.built if is_there(made) and isinstance(made, bpy.types.Object)]
    keeping.bring_over(kept, new, moves_back=run.shares_collection)
    remove(old)
    bpy.data.batch_remove([child for child in filled if is_there(child) and not child.all_objects])
    _settle(run, top)
    keeping.name(kept, new)
    if scene_camera and run.scene.camera is None:
        cameras = [
            made for made in run.built if is_there(made) and getattr(made, "type", "") == "CAMERA" and made.users
        ]
        named = [made for made in cameras if isinstance(made, bpy.types.Object) and made.name == scene_camera]
        run.scene.camera = next((made for made in named or cameras if isinstance(made, bpy.types.Object)), None)


def add(run: Run, top: bpy.types.Collection) -> None:
    """Move what a run has built into ``top``; its own collection goes."""
    _link(run, top)
    _settle(run, top)


def _link(run: Run, top: bpy.types.Collection) -> None:
    """What a run has built into ``top`` too; nothing else changes."""

    def into(source: bpy.types.Collection, target: bpy.types.Collection) -> None:
        for obj in source.objects:
            target.objects.link(obj)
        for child in source.children:
            twin = _twin(target, child, _plain(child.name, run.top.name, top.name))
            if twin is None:
                target.children.link(child)
            else:  # of the earlier run, or such as Segmented, in which something of the person's has stayed
                into(child, twin)

    into(run.top, top)


def _twin(target: bpy.types.Collection, child: bpy.types.Collection, name: str) -> bpy.types.Collection | None:
    """The collection that was built as the same, whatever it is called now."""
    known = [one for one in target.children if PART in one and one[PART] == child.get(PART)]
    return known[0] if known else target.children.get(name)


def _settle(run: Run, top: bpy.types.Collection) -> None:
    """Take away what a run was built in, and give what it has built its names."""
    before = run.top.name
    bpy.data.batch_remove([run.text, run.report])  # the cameras' table is there already
    bpy.data.batch_remove([child for child in run.top.children_recursive if child not in set(top.children_recursive)])
    for made in run.built:
        if is_there(made):
            name = _plain(made.name, before, top.name)
            if name != made.name and _is_free(made, name):
                made.name = name
    if point_trees.BUILT in run.top:
        top[point_trees.BUILT] = run.top[point_trees.BUILT].to_dict()
    if run.top.get(CLIP) is not None:
        top[CLIP] = run.top[CLIP]
    bpy.data.collections.remove(run.top)
    run.top = top


def _keep_look(run: Run, old: list[bpy.types.Object]) -> None:
    """The dots' node group and material as the person has perhaps changed them."""
    groups = [m.node_group for obj in old for m in obj.modifiers if m.type == "NODES" and m.node_group]
    known = next((group for group in groups if group.name.startswith(point_trees.NAME)), None)
    if known is None or known == run.tree:
        return
    run.tree.user_remap(known)
    bpy.data.node_groups.remove(run.tree)
    run.tree = known
    paint = next((node for node in known.nodes if node.bl_idname == "GeometryNodeSetMaterial"), None)
    material = paint.inputs["Material"].default_value if paint else None
    if material is not None and material != run.material:
        run.material.user_remap(material)
        bpy.data.materials.remove(run.material)
        run.material = material


def remove(objects: list[bpy.types.Object]) -> None:
    """Objects with what only they use."""
    data = {obj.data for obj in objects}
    owners = [owner for owner in (*objects, *data) if owner.animation_data and owner.animation_data.action]
    actions = {owner.animation_data.action for owner in owners}
    materials = {material for mesh in data for material in getattr(mesh, "materials", ()) if material}
    images = {
        node.image
        for material in materials
        if material.node_tree
        for node in material.node_tree.nodes
        if getattr(node, "image", None)
    }
    images |= {back.image for camera in data for back in getattr(camera, "background_images", ()) if back.image}
    bpy.data.batch_remove(objects)
    for group in (data, actions, materials, images):
        bpy.data.batch_remove([made for made in group if is_there(made) and made.users == 0])


def _plain(name: str, before: str, after: str) -> str:
    """A name without the number that a second of it gets, and with the right collection's name in front."""
    numbered = NUMBERED.fullmatch(name)
    name = numbered.group(1) if numbered else name
    return after + name[len(before) :] if name.startswith(before + "_") else name


def _is_free(made: bpy.types.ID, name: str) -> bool:
    kinds = {
        bpy.types.Object: bpy.data.objects, bpy.types.Collection: bpy.data.collections, bpy.types.Mesh: bpy.data.meshes,
        bpy.types.Camera: bpy.data.cameras, bpy.types.Material: bpy.data.materials, bpy.types.Action: bpy.data.actions,
    }  # fmt: skip
    return any(isinstance(made, kind) and name not in there for kind, there in kinds.items())
