"""Use for Rendering: the scene takes camera, size and range of a run, as it does by itself where nobody has set it up."""

from __future__ import annotations

import bpy

from .. import cameras
from ..datablocks import borrowed, scene


def camera_of(run: bpy.types.Collection, active: bpy.types.Object | None = None) -> bpy.types.Object | None:
    """The active camera where it is the run's, else the one that moves, else that of the first frame."""
    own = [obj for obj in run.all_objects if obj.type == "CAMERA" and "placement" in obj]
    if active in own:
        return active
    return min(own, key=lambda camera: (camera.get("frame", -1), camera.name), default=None)


def use(into: bpy.types.Scene, run: bpy.types.Collection, camera: bpy.types.Object) -> None:
    """Set the scene's camera, size, pixel aspect, range and rate; what was there comes back when the run is deleted."""
    from .. import assembly  # late: enabling the add-on should not pay for it

    borrowed.lend_camera(into, run, camera)
    wanted: dict[str, float] = dict(cameras.picture_of(camera))
    if assembly.RATE in run:
        wanted |= scene.rate_of(run[assembly.RATE])
    if assembly.RANGE in run:
        wanted["frame_start"], wanted["frame_end"] = run[assembly.RANGE]
    borrowed.lend(into, run, wanted, is_asked_for=True)
