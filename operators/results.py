"""Buttons of the result box: how a finished run is seen, what the scene takes from it, and Delete."""

from __future__ import annotations

import bpy
from bpy.types import Context, Operator

from ..nodes.edits import deleting, rendering, transforming
from .jobs.showing import gray_views, show_colours
from .state.kept_run import why_no_run


class _OfRun:
    """Mix into an ``Operator`` that does something with the run that the person means."""

    @classmethod
    def poll(cls: type[Operator], context: Context) -> bool:
        reason = why_no_run(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason


class DA3_OT_show_colours(Operator):
    """Show the 3D view with the colours of the points (Material Preview): Solid has none for them"""

    bl_idname = "da3.show_colours"
    bl_label = "Show Colours"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not gray_views(context):
            cls.poll_message_set("The 3D views show colours already")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        show_colours(context)
        return {"FINISHED"}


class DA3_OT_use_for_rendering(_OfRun, Operator):
    """Give the scene the run's camera, the size of its photographs and its frames. Delete Run brings back what was there"""

    bl_idname = "da3.use_for_rendering"
    bl_label = "Use for Rendering"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        run = transforming.run_of(context)
        assert run
        camera = rendering.camera_of(run, context.active_object)
        if camera is None:
            self.report({"ERROR"}, f"'{run.name}' has no cameras")
            return {"CANCELLED"}
        rendering.use(context.scene, run, camera)
        render = context.scene.render
        self.report({"INFO"}, f"Renders through '{camera.name}', {render.resolution_x} x {render.resolution_y}")
        return {"FINISHED"}


class DA3_OT_delete_run(_OfRun, Operator):
    """Remove all that the run has built, and put the scene's settings back to what they were before it"""

    bl_idname = "da3.delete_run"
    bl_label = "Delete Run"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        run = transforming.run_of(context)
        assert run
        name = run.name
        deleting.delete(context.scene, run)
        self.report({"INFO"}, f"'{name}' was deleted")
        return {"FINISHED"}


CLASSES = (DA3_OT_show_colours, DA3_OT_use_for_rendering, DA3_OT_delete_run)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
