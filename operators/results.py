"""Buttons of the result box: how a finished run is seen, what the scene takes from it, and Delete."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty
from bpy.types import Collection, Context, Object, Operator

from ..nodes.datablocks import scene as scenes
from ..nodes.edits import look, rendering, transforming
from .jobs.showing import gray_views, select, show_colours
from .state.kept_run import why_no_run
from .state.polling import PollMessage


class _OfRun(PollMessage):
    """Mix into an ``Operator`` that does something with the run that the person means."""

    @classmethod
    def why_not(cls, context: Context) -> str:
        return why_no_run(context)


def _camera(operator: Operator, run: Collection, context: Context) -> Object | None:
    """The one to look through; where the run has none, that is said."""
    camera = rendering.camera_of(run, context.active_object)
    if camera is None:
        operator.report({"ERROR"}, f"'{run.name}' has no cameras")
    return camera


class DA3_OT_show_colours(PollMessage, Operator):
    """Show the 3D view with the colours of the points (Material Preview): Solid has none for them"""

    bl_idname = "da3.show_colours"
    bl_label = "Show Colours"

    @classmethod
    def why_not(cls, context: Context) -> str:
        return "" if gray_views(context) else "The 3D views show colours already"

    def execute(self, context: Context) -> set[str]:
        show_colours(context)
        return {"FINISHED"}


class DA3_OT_photo_colors(PollMessage, Operator):
    """Show colours as the photographs have them (View Transform Standard). AgX and Filmic, which new scenes of Blender start with, \
grey them: that curve is for light, and a photograph has been through a camera's already"""

    bl_idname = "da3.photo_colors"
    bl_label = "Colours as in Photo"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def why_not(cls, context: Context) -> str:
        already = "The scene shows colours as the photographs have them already"
        return already if scenes.has_photo_colors(context.scene) else ""

    def execute(self, context: Context) -> set[str]:
        before = context.scene.view_settings.view_transform
        scenes.photo_colors(context.scene)
        self.report({"INFO"}, f"View Transform is Standard now; it was {before}")
        return {"FINISHED"}


class DA3_OT_use_for_rendering(_OfRun, Operator):
    """Give the scene the run's camera, the size of its photographs and its frames. Delete Run brings back what was there"""

    bl_idname = "da3.use_for_rendering"
    bl_label = "Use for Rendering"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        run = transforming.run_of(context)
        assert run
        camera = _camera(self, run, context)
        if camera is None:
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
        from ..nodes.edits import deleting  # late: enabling the add-on should not pay for it

        run = transforming.run_of(context)
        assert run
        name = run.name
        deleting.delete(context.scene, run)
        self.report({"INFO"}, f"'{name}' was deleted")
        return {"FINISHED"}


class DA3_OT_select_run(Operator):
    """Take this run: what it has built is selected"""

    bl_idname = "da3.select_run"
    bl_label = "Select Run"
    bl_options = {"UNDO", "INTERNAL"}

    run: StringProperty(name="Run", description="Name of the run's collection")  # type: ignore[valid-type]

    def execute(self, context: Context) -> set[str]:
        run = next((one for one in transforming.runs_of(context.scene) if one.name == self.run), None)
        if run is None:
            self.report({"ERROR"}, f"There is no run '{self.run}' in this scene")
            return {"CANCELLED"}
        built = [obj for kind in look.KINDS for obj in look.objects_of(run, kind)]
        if context.mode == "OBJECT":
            select(context, built)
        if run not in (transforming.run_of(context), None):  # all of it is hidden
            there = context.view_layer.objects
            there.active = next((obj for obj in built if obj.name in there), there.active)
        return {"FINISHED"}


class DA3_OT_export_points(_OfRun, Operator):
    """Write the points and meshes of the run as a PLY file, with colour and confidence"""

    bl_idname = "da3.export_points"
    bl_label = "Export PLY"

    @classmethod
    def why_not(cls, context: Context) -> str:
        return "Only in Object Mode" if context.mode != "OBJECT" else super().why_not(context)

    def execute(self, context: Context) -> set[str]:
        run = transforming.run_of(context)
        assert run
        kinds = (look.POINTS, look.MESHES, look.SURFACE)
        select(context, [obj for kind in kinds for obj in look.objects_of(run, kind)])
        if not context.selected_objects:
            self.report({"ERROR"}, f"Nothing of '{run.name}' is visible")
            return {"CANCELLED"}
        # Without modifiers: with them the points would be the dots' own geometry.
        words = {"export_selected_objects": True, "apply_modifiers": False, "export_attributes": True}
        return bpy.ops.wm.ply_export("INVOKE_DEFAULT", **words) and {"FINISHED"}


class DA3_OT_set_up_shot(PollMessage, Operator):
    """Make the scene ready to put things into the shot: upright, ground and surface catch shadows and hide what is behind them, \
and renders lie over the plate"""

    bl_idname = "da3.set_up_shot"
    bl_label = "Set Up Shot"
    bl_options = {"REGISTER", "UNDO"}
    __annotations__ = {
        "set_upright": BoolProperty(
            name="Set Upright", description="Turn the run so that its ground lies at z = 0 first", default=True
        )
    }

    @classmethod
    def why_not(cls, context: Context) -> str:
        return why_no_run(context, moves=True)

    def execute(self, context: Context) -> set[str]:
        from ..core.geometry import upright  # late, as above
        from ..nodes.edits import shot

        run = transforming.run_of(context)
        assert run
        camera = _camera(self, run, context)
        if camera is None:
            return {"CANCELLED"}
        if self.set_upright:
            found = upright.find(transforming.read_points(run), transforming.camera_matrices(run))
            if found is not None:
                for _ in transforming.move_steps(run, found.matrix):
                    pass  # a matrix each
        before = context.scene.render.engine
        missing = shot.set_up(context.scene, run, camera)
        told = [] if before == "CYCLES" else ["Cycles renders it, for EEVEE has no shadow catcher"]
        if shot.has_own_sun(run):
            by_sky = shot.sun_of(run) is not None
            told.append("its sun is where the sky shows it" if by_sky else "turn its sun as the shot's shadows fall")
        if missing:
            self.report({"WARNING"}, f"The shot is set up, but {'; '.join([*missing, *told])}")
        else:
            told.append("put things on the ground at z = 0")
            self.report({"INFO"}, f"Renders through '{camera.name}' lie over the plate; {'; '.join(told)}")
        return {"FINISHED"}


class DA3_OT_tracks_as_empties(_OfRun, Operator):
    """Put empties on the tracks whose vertices are selected, and where none is, on the best, spread over the scene"""

    bl_idname = "da3.tracks_as_empties"
    bl_label = "Tracks as Empties"
    bl_options = {"REGISTER", "UNDO"}
    __annotations__ = {
        "count": IntProperty(name="Count", description="How many, where none are selected", default=20, min=1)
    }

    def execute(self, context: Context) -> set[str]:
        from ..nodes.edits import tracks  # late, as above

        run = transforming.run_of(context)
        assert run
        there = tracks.object_of(run)
        if there is None:
            self.report({"ERROR"}, f"'{run.name}' has no tracks: only Classic and DA3 Streaming follow points")
            return {"CANCELLED"}
        made = tracks.as_empties(there, tracks.selected(there) or tracks.best(there, self.count))
        self.report({"INFO"}, f"{len(made)} tracks became empties")
        return {"FINISHED"}


CLASSES = (
    DA3_OT_show_colours, DA3_OT_photo_colors, DA3_OT_use_for_rendering, DA3_OT_set_up_shot, DA3_OT_delete_run, DA3_OT_select_run, DA3_OT_export_points,
    DA3_OT_tracks_as_empties,
)  # fmt: skip
register, unregister = bpy.utils.register_classes_factory(CLASSES)
