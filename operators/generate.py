"""Generate."""

from __future__ import annotations

import bpy
from bpy.types import Context, Operator

from ..core import models
from ..panels.preferences import places
from ..panels.properties import read
from .job import Job, JobOperator
from .session import session


def why_not(context: Context) -> str:
    """Why Generate cannot start now; empty where it can. Cheap: asked on every redraw."""
    if session(context).job is not None:
        return "A job is running"
    settings, here = context.scene.da3, places(context)
    if not settings.input:
        return "Choose an input: a folder of images, or one image"
    if not here.looks_installed():
        return "The dependencies are not installed: see the add-on's preferences"
    model = models.find(settings.model)
    if model.needs_file and not models.path(model, here.models).is_file():
        return f"{model.label} is not downloaded"
    return ""


class DA3_OT_generate(JobOperator, Operator):
    """Make a point cloud and cameras from the input"""

    bl_idname = "da3.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        reason = why_not(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def make_job(self, context: Context) -> Job:
        from .generation import GenerateJob  # late: enabling the add-on should not pay for it

        return GenerateJob(session(context), context.scene, read(context.scene), places(context))


CLASSES = (DA3_OT_generate,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
