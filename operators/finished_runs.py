"""What can be done with a finished run without the model: Rebuild, Merge Points, Refine Splats, Fuse Frames to Mesh, Split by Object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import bpy
from bpy.types import Context, Operator

from ..core.worker.requests import ALL, FUSED, REFINED
from ..nodes.datablocks import splat_nodes
from ..nodes.edits import transforming
from .jobs.job import Job, JobOperator
from .state.kept_run import why_no_run, why_not_kept
from .state.places import places
from .state.properties import read
from .state.session import session


class _OfKeptRun(JobOperator):
    """An operator that has the worker build a kept run again. Mix into an ``Operator``."""

    what = ALL

    @classmethod
    def why_not(cls, context: Context) -> str:
        return why_not_kept(context)

    def make_job(self, context: Context) -> Job:
        from .jobs.rebuilding import RebuildJob  # late: enabling the add-on should not pay for it

        settings = replace(read(context.scene), **self.changes())
        job = RebuildJob(
            session(context), context.scene, settings, places(context), transforming.run_of(context), self.what
        )
        job.title = self.bl_label
        return job

    def changes(self) -> dict[str, Any]:
        """Settings that are not the scene's."""
        return {}


class DA3_OT_rebuild(_OfKeptRun, Operator):
    """Build the run again with the filters, motion, surfaces and animation that are set now, without the model.
    What it had built is replaced"""

    bl_idname = "da3.rebuild"
    bl_label = "Rebuild"
    bl_options = {"UNDO"}


class DA3_OT_merge_points(_OfKeptRun, Operator):
    """Build the run again with one point per voxel (Filters: Voxel Size). What it had built is replaced"""

    bl_idname = "da3.merge_points"
    bl_label = "Merge Points"
    bl_options = {"UNDO"}

    def changes(self) -> dict[str, Any]:
        return {"merge_points": True}


class DA3_OT_refine_splats(_OfKeptRun, Operator):
    """Fit the splats' colours, opacities and sizes to the photographs, and build the run again with them.
    Views that take no part decide when it ends"""

    bl_idname = "da3.refine_splats"
    bl_label = "Refine Splats"
    bl_options = {"UNDO"}
    what = REFINED

    @classmethod
    def why_not(cls, context: Context) -> str:
        reason = super().why_not(context)
        if not reason and not splat_nodes.DRAWN:
            return "Blender draws splats from version 5.3 on"
        run = transforming.run_of(context)
        if not reason and run is not None and any(o.type == "MESH" and o.data.polygons for o in run.all_objects):
            return "Refine Splats builds points, and the run's meshes would go: Rebuild it with Result: Points first"
        return reason

    def changes(self) -> dict[str, Any]:
        return {"splats": True, "generate_meshes": False}


class DA3_OT_fuse(_OfKeptRun, Operator):
    """Add one surface, made from all frames of the run, with the Surfaces settings"""

    bl_idname = "da3.fuse"
    bl_label = "Fuse Frames to Mesh"
    bl_options = {"UNDO"}
    what = FUSED

    def changes(self) -> dict[str, Any]:
        return {"fuse_frames": True}


class DA3_OT_split_by_object(JobOperator, Operator):
    """Split points and meshes by the things that segmentation found (attribute object_id), an object for each.
    Of the selected objects, or where none fits, of the whole run"""

    bl_idname = "da3.split_by_object"
    bl_label = "Split by Object"
    bl_options = {"UNDO"}

    @classmethod
    def why_not(cls, context: Context) -> str:
        reason = why_no_run(context)
        if not reason and not _splittable(context):
            return "Nothing here has the attribute object_id: Generate with Use Segmentation first"
        return reason

    def make_job(self, context: Context) -> Job:
        from .jobs.splitting import SplitJob  # late, as above

        run = transforming.run_of(context)
        return SplitJob(session(context), context.scene, run, _splittable(context), places(context).kept_runs)


def _splittable(context: Context) -> list[bpy.types.Object]:
    """The selected objects of the run that know their things, or all of them where none is selected."""
    run = transforming.run_of(context)
    if run is None:
        return []
    known = [obj for obj in run.all_objects if obj.type == "MESH" and "object_id" in obj.data.attributes]
    return [obj for obj in known if obj.select_get()] or known


CLASSES = (DA3_OT_rebuild, DA3_OT_merge_points, DA3_OT_refine_splats, DA3_OT_fuse, DA3_OT_split_by_object)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
