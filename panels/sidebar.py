"""The tab "DA3" of the 3D view's sidebar."""

from __future__ import annotations

import bpy
from bpy.types import Context, Panel

from ..nodes.edits import transforming
from ..operators.state.needs import first_lack
from ..operators.state.session import session
from . import option_rows
from .boxes import draw_outcome, draw_progress
from .option_rows import draw_rows, rows_of
from .result_box import draw_result
from .start import draw_generate, draw_start

#: The sub-panels, closed at first, in their order.
TITLES = {
    option_rows.GEOMETRY: "Geometry",
    option_rows.MOTION: "Motion",
    option_rows.CAMERAS: "Cameras",
    option_rows.FILES: "Files",
    option_rows.ADVANCED: "Advanced",
}


class DA3_PT_main(Panel):
    """Input, Generate, how it goes, and its result"""

    bl_idname = "DA3_PT_main"
    bl_label = "Depth Anything 3"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "DA3"

    def draw(self, context: Context) -> None:
        layout, now = self.layout, session(context)
        is_free = now.job is None
        column = layout.column()
        column.enabled = is_free
        draw_start(column, context, first_lack(context) if is_free else None)
        if is_free:
            draw_generate(layout, context)
            draw_outcome(layout, context, now.status)
        else:
            draw_progress(layout, context, now.status)
        run = transforming.run_of(context)
        if run is not None and (is_free or run.all_objects):
            draw_result(layout, context, run)


def _sub_panel(panel: str) -> type[Panel]:
    """A collapsible panel of settings."""

    def draw(self: Panel, context: Context) -> None:
        column = self.layout.column()
        column.enabled = session(context).job is None
        draw_rows(column, context, panel)
        if panel == option_rows.ADVANCED and session(context).model:
            column.operator("da3.free_model", icon="X")

    def draw_header(self: Panel, context: Context) -> None:
        self.layout.enabled = session(context).job is None
        self.layout.prop(context.scene.da3, option_rows.SWITCH[panel], text="")

    def poll(_cls: type[Panel], context: Context) -> bool:
        return next(rows_of(panel, context.scene.da3), None) is not None

    name = f"DA3_PT_{panel}"
    words = {
        "__doc__": f"Settings: {panel}",
        "bl_idname": name, "bl_label": TITLES[panel], "bl_space_type": "VIEW_3D", "bl_region_type": "UI",
        "bl_category": "DA3", "bl_parent_id": "DA3_PT_main", "bl_options": {"DEFAULT_CLOSED"},
        "draw": draw, "poll": classmethod(poll),
    }  # fmt: skip
    if panel in option_rows.SWITCH:
        words["draw_header"] = draw_header
    return type(name, (Panel,), words)


SUB_PANELS = tuple(_sub_panel(panel) for panel in TITLES)
CLASSES = (DA3_PT_main, *SUB_PANELS)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
