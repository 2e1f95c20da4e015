"""A run taken out of the scene, which gets back what the run had set."""

from __future__ import annotations

import bpy

from ..assembly import REPORT, TABLE
from ..datablocks import borrowed, compositing
from ..datablocks.created import is_there
from ..plate import CLIP
from . import shot, tracks, transforming
from .look import is_built
from .replacing import remove


def delete(scene: bpy.types.Scene, run: bpy.types.Collection) -> None:
    """Remove what a run has built. What a person has put into its collections moves to the scene's own."""
    borrowed.give_back(scene, run)
    shot.remove(run)
    if not any(shot.SHOT in other for other in transforming.runs_of(scene)):
        compositing.remove(scene)
    own = [obj for obj in run.all_objects if is_built(obj)]
    groups = {m.node_group for obj in own for m in obj.modifiers if m.type == "NODES" and m.node_group}
    texts, clip = {run.get(TABLE), run.get(REPORT)}, run.get(CLIP)
    if clip is not None and scene.active_clip == clip:
        scene.active_clip = None
    bpy.data.batch_remove(tracks.empties_of(run))
    remove(own)
    for obj in list(run.all_objects):
        if obj.name not in scene.collection.objects:
            scene.collection.objects.link(obj)
    bpy.data.batch_remove([*run.children_recursive, run])
    materials = {
        node.inputs["Material"].default_value
        for group in groups
        for node in group.nodes
        if node.bl_idname == "GeometryNodeSetMaterial"
    }
    for made in (groups, materials - {None}, texts - {None}, {clip} - {None}):
        bpy.data.batch_remove([one for one in made if is_there(one) and one.users - one.use_fake_user == 0])
