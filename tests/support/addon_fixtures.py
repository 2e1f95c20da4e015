"""What tests of operators and panels share."""

import time
from pathlib import Path
from types import SimpleNamespace

import bpy
from da3_blender.operators.jobs import generation
from da3_blender.operators.state import properties
from da3_blender.operators.state.places import places
from da3_blender.operators.state.session import session


def new_run():
    context = bpy.context
    return generation.GenerateJob(session(context), context.scene, properties.read(context.scene), places(context))


def datablocks():
    """Everything a run could leave in the file."""
    kinds = ("objects", "meshes", "cameras", "collections", "materials", "node_groups", "images", "texts", "scenes")
    return {kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in kinds}


def step_until(job, condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        job.step(0.0)  # one small piece of work at a time
        time.sleep(0.002)


def gone(pid, seconds=3.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


def event(kind, value="NOTHING", over=("VIEW_3D", "WINDOW"), **more):
    """As Blender hands it over, with the mouse in the middle of a region of the first area of that type."""
    area = next(area for area in bpy.context.window.screen.areas if area.type == over[0])
    region = next(region for region in area.regions if region.type == over[1])
    place = {"mouse_x": region.x + region.width // 2, "mouse_y": region.y + region.height // 2}
    return SimpleNamespace(type=kind, value=value, ctrl=False, oskey=False, **(place | more))
