"""Set Up Shot: the run as what is really there, unseen: it catches shadows and hides what stands behind it.

That is Cycles' shadow catcher, for the ground and for the fused surface: what lies behind a catcher is not seen, and its
own light and shadow are the plate's.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Euler, Vector

from ..assembly import SUN
from ..datablocks import borrowed, collections, compositing
from ..datablocks import scene as scenes
from ..datablocks.created import is_there
from ..datablocks.materials import new_material
from ..plate import CLIP
from . import look, rendering, transforming

MATERIAL = "DA3_Catcher"
SHOT = "da3_shot"  # on a run's collection: that of ground and sun
REACH = 2.0  # how much wider than the cloud the ground is
BELOW = 1e-3  # of its width, by which it lies below 0: one of two catchers in one place would keep the other dark
# For a scene without any light: a sun that stands behind the scene, to one side, so that shadows fall towards the camera.
LOWEST_SUN = 0.05  # sine of how high it stands; one that is lower is a lamp, or the run lies on its side
SUN_STRENGTH, SUN_TILT, SUN_TURN = 3.0, 0.8, 2.2


def set_up(scene: bpy.types.Scene, run: bpy.types.Collection, camera: bpy.types.Object) -> list[str]:
    """Set a scene up for things to be put into a run, which stands upright; what is missing, in sentences.

    Parameters
    ----------
    camera : the run's, through which it is rendered
    """
    rendering.use(scene, run, camera)
    borrowed.lend(scene, run, {"engine": "CYCLES", "film_transparent": True, **scenes.PHOTO}, is_asked_for=True)
    missing = []
    surfaces = look.objects_of(run, look.SURFACE) or look.objects_of(run, look.MESHES)
    for obj in surfaces:
        obj.is_shadow_catcher, obj.hide_render = True, False
        for slot in obj.material_slots:  # the photograph shines by itself, and what shines has no shadow on it
            slot.link, slot.material = "OBJECT", _catching()
    for obj in (*look.objects_of(run, look.POINTS), *look.objects_of(run, look.MOVING)):
        obj.hide_render = True
    if not surfaces:
        missing.append("nothing hides what stands behind it: Fuse Frames to Mesh, then set up again")
    _stage(scene, run, camera)
    clip = run.get(CLIP)
    if clip is not None:  # Blender counts a clip that is active twice as a new node's, and lets go of it once
        scene.active_clip = None
    background = next(iter(camera.data.background_images), None)
    if background is None or (background.image is None and background.clip is None):
        missing.append(f"there is no plate behind '{camera.name}'")
    elif background.rotation or background.use_flip_x:
        missing.append("the plate is stored turned (EXIF), which the compositor does not know: turn the files")
    elif compositing.lay_over(scene, background, straighten=background.clip_user.use_render_undistorted) is None:
        missing.append("the compositor has nodes of yours: lay the render over the plate there")
    if clip is not None:
        scene.active_clip = clip
    return missing


def _catching() -> bpy.types.Material:
    """What a catcher is made of; it takes light, and its colour is not seen."""
    known = bpy.data.materials.get(MATERIAL)
    if known is not None:
        return known
    material = new_material(MATERIAL)
    tree = material.node_tree
    shader, output = (tree.nodes.new(kind) for kind in ("ShaderNodeBsdfDiffuse", "ShaderNodeOutputMaterial"))
    tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    return material


def _stage(scene: bpy.types.Scene, run: bpy.types.Collection, camera: bpy.types.Object) -> None:
    """The ground at z = 0 as a shadow catcher, and a sun where nothing shines; anew, where they are there."""
    remove(run)
    stage = bpy.data.collections.new(collections.fitting(run.name, "_Shot"))
    scene.collection.children.link(stage)
    run[SHOT] = stage
    points = transforming.read_points(run)
    low, high = np.percentile(points[:, :2], (1.0, 99.0), axis=0) if len(points) else np.array([[-5.0] * 2, [5.0] * 2])
    middle, half = (low + high) / 2.0, REACH * (high - low) / 2.0
    depth = -BELOW * float(half.max())
    corners = [(*(middle + half * (x, y)), depth) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    mesh = bpy.data.meshes.new(f"{run.name}_Ground")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    ground = bpy.data.objects.new(f"{run.name}_Ground", mesh)
    ground.is_shadow_catcher, ground.visible_shadow, ground.display_type = True, False, "WIRE"
    stage.objects.link(ground)
    if not any(obj.type == "LIGHT" and not obj.hide_render for obj in scene.objects):
        light = bpy.data.lights.new(f"{run.name}_Sun", "SUN")
        light.energy = SUN_STRENGTH
        sun = bpy.data.objects.new(f"{run.name}_Sun", light)
        seen = sun_of(run)
        if seen is not None:
            sun.rotation_euler = seen.to_track_quat("Z", "Y").to_euler()  # it shines along its -z
        else:
            ahead = -np.array(camera.matrix_world)[:3, 2]
            sun.rotation_euler = Euler((SUN_TILT, 0.0, float(np.arctan2(-ahead[0], ahead[1])) + SUN_TURN))
        sun.location = (*middle.tolist(), float(np.abs(half).max()))
        stage.objects.link(sun)


def sun_of(run: bpy.types.Collection) -> Vector | None:
    """The direction to the sun as the run stands now, where its photographs show it above the ground."""
    kept = run.get(SUN)
    if kept is None:
        return None
    seen = Vector((transforming.place_of(run)[:3, :3] @ np.array(kept, np.float64)).tolist()).normalized()
    return seen if seen.z > LOWEST_SUN else None


def has_own_sun(run: bpy.types.Collection) -> bool:
    """Whether the run's stage brought a sun, because nothing shone before."""
    stage = run.get(SHOT)
    return stage is not None and any(obj.name.startswith(f"{run.name}_Sun") for obj in stage.objects)


def remove(run: bpy.types.Collection) -> None:
    """Take ground and sun away again; what a person has put beside them goes to the scene's own collection."""
    stage = run.get(SHOT)
    if stage is None or not is_there(stage):
        return
    own = [obj for obj in stage.objects if obj.name.startswith((f"{run.name}_Ground", f"{run.name}_Sun"))]
    data = [obj.data for obj in own]
    for scene in bpy.data.scenes:
        if stage in scene.collection.children_recursive:
            for obj in stage.objects:
                if obj not in own and obj.name not in scene.collection.objects:
                    scene.collection.objects.link(obj)
    bpy.data.batch_remove([*own, *data, stage])
    del run[SHOT]
