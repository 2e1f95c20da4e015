"""Generate."""

from __future__ import annotations

import bpy
from bpy.types import Context, Operator

from .jobs.job import Job, JobOperator
from .state.needs import why_not
from .state.places import places
from .state.properties import read
from .state.session import session


class DA3_OT_generate(JobOperator, Operator):
    """Make a point cloud and cameras from the input"""

    bl_idname = "da3.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}

    @classmethod
    def why_not(cls, context: Context) -> str:
        return why_not(context)

    def make_job(self, context: Context) -> Job:
        from .jobs.generation import GenerateJob  # late: enabling the add-on should not pay for it

        return GenerateJob(session(context), context.scene, read(context.scene), places(context))


CLASSES = (DA3_OT_generate,)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
