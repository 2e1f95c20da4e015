"""Set Upright and Scale by Distance: a finished run, placed in the scene as a person wants it."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, FloatVectorProperty
from bpy.types import Context, Event, Operator

from ..nodes.edits import transforming
from .picking import Picker
from .state.kept_run import why_no_run
from .state.polling import PollMessage

NEAREST = 1e-6  # scene units; two picked points that are nearer are one


class _MovesRun(PollMessage):
    """Mix into an ``Operator`` that moves the run that the person means."""

    @classmethod
    def why_not(cls, context: Context) -> str:
        return why_no_run(context, moves=True)


class DA3_OT_set_upright(_MovesRun, Operator):
    """Turn the reconstruction so that its ground lies at z = 0 and up is up"""

    bl_idname = "da3.set_upright"
    bl_label = "Set Upright"
    bl_options = {"REGISTER", "UNDO"}
    __annotations__ = {
        "from_above": BoolProperty(
            name="Seen from Above",
            description="The cameras looked straight down, as a drone's do",
            default=False,
        )
    }

    def execute(self, context: Context) -> set[str]:
        run = transforming.run_of(context)
        assert run
        points = transforming.read_points(run)
        from ..core.geometry import upright  # late: enabling the add-on should not pay for it

        found = upright.find(points, transforming.camera_matrices(run), from_above=self.from_above)
        if found is None:
            self.report({"ERROR"}, f"'{run.name}' has neither cameras nor flat pieces that say where up is")
            return {"CANCELLED"}
        for _ in transforming.move_steps(run, found.matrix):
            pass  # a matrix each
        if found.has_ground:
            self.report({"INFO"}, f"'{run.name}' stands upright, its ground at z = 0")
        else:
            self.report(
                {"WARNING"}, f"'{run.name}' stands upright; no ground was found: its lowest points are at z = 0"
            )
        return {"FINISHED"}


class DA3_OT_scale_by_distance(_MovesRun, Operator):
    """Scale the reconstruction by the known distance between two of its points, which are picked with two clicks"""

    bl_idname = "da3.scale_by_distance"
    bl_label = "Scale by Distance"
    bl_options = {"REGISTER", "UNDO"}
    __annotations__ = {
        "distance": FloatProperty(
            name="Distance",
            description="Between the two points, as it really is",
            default=1.0,
            min=0.0,
            soft_min=0.001,
            precision=4,
            unit="LENGTH",
            options={"SKIP_SAVE"},
        ),
        "first": FloatVectorProperty(
            name="First Point", description="In the scene", subtype="XYZ", unit="LENGTH", options={"SKIP_SAVE"}
        ),
        "second": FloatVectorProperty(
            name="Second Point", description="In the scene", subtype="XYZ", unit="LENGTH", options={"SKIP_SAVE"}
        ),
    }

    _picker: Picker | None = None

    def invoke(self, context: Context, event: Event) -> set[str]:
        given = self.properties.is_property_set
        if given("first") and given("second"):
            if not given("distance"):
                self.distance = self._length()
            return context.window_manager.invoke_props_dialog(self)
        if context.area is None or context.area.type != "VIEW_3D":
            self.report({"ERROR"}, "Scale by Distance needs a 3D view to pick two points in")
            return {"CANCELLED"}
        self._picker = Picker(context, transforming.read_points(transforming.run_of(context)))
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        picker = self._picker
        if picker is None or (event.type in {"ESC", "RIGHTMOUSE"} and event.value == "PRESS"):
            self.cancel(context)
            return {"CANCELLED"}
        if event.type == "MOUSEMOVE":
            picker.look(context, event)
        elif event.type == "LEFTMOUSE" and event.value == "PRESS" and picker.is_inside(event):
            picker.look(context, event)
            if picker.take() and len(picker.taken) == 2:
                first, second = picker.taken
                self.cancel(context)
                # Another one asks for the distance and scales: this one has changed nothing, and is no undo step.
                bpy.ops.da3.scale_by_distance("INVOKE_DEFAULT", first=first, second=second)
                return {"CANCELLED"}
        elif event.type in {"BACK_SPACE", "DEL"} and event.value == "PRESS":
            picker.forget()
        else:
            return {"PASS_THROUGH"}  # the view can be turned meanwhile
        return {"RUNNING_MODAL"}

    def cancel(self, context: Context) -> None:
        if self._picker:
            self._picker.close(context)
            self._picker = None

    def draw(self, _context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "distance")
        column = layout.column()
        column.prop(self, "first")
        column.prop(self, "second")

    def execute(self, context: Context) -> set[str]:
        length = self._length()
        if length < NEAREST:
            self.report({"ERROR"}, "The two points are one: pick two that are apart")
            return {"CANCELLED"}
        if self.distance <= 0.0:
            self.report({"ERROR"}, "Distance: 0 is no distance to scale to")
            return {"CANCELLED"}
        run, scale = transforming.run_of(context), self.distance / length
        assert run
        for _ in transforming.move_steps(run, scaling(scale, np.array(self.first))):
            pass  # a matrix each
        self.report({"INFO"}, f"'{run.name}' was scaled by {scale:.4g}")
        return {"FINISHED"}

    def _length(self) -> float:
        return float(np.linalg.norm(np.subtract(self.first, self.second)))


def scaling(scale: float, about: np.ndarray) -> np.ndarray:
    """(4, 4) a scaling that leaves the ground (z = 0) where it is, and what stands on it at x and y of ``about``."""
    matrix = np.eye(4)
    matrix[:3, :3] *= scale
    matrix[:2, 3] = (1.0 - scale) * about[:2]
    return matrix


CLASSES = (DA3_OT_set_upright, DA3_OT_scale_by_distance)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
