"""The tab "DA3" of the 3D view's sidebar."""

from __future__ import annotations

import bpy
from bpy.types import Context, Panel, UILayout

from ..core import models
from ..core.settings import BatchMode, Option, options
from ..operators.session import Status, status_text

GROUPS = tuple(dict.fromkeys(o.group for o in options() if o.group != "input"))


class DA3_PT_main(Panel):
    bl_idname = "DA3_PT_main"
    bl_label = "Depth Anything 3"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "DA3"

    def draw(self, context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        draw_group(layout, context, "input")
        session = context.window_manager.da3_session
        if session.job is not None:
            draw_progress(layout, session.status)
            return
        column = layout.column(align=True)
        column.scale_y = 1.4
        column.operator("da3.generate", icon="PLAY")
        layout.operator("da3.unload_model", icon="TRASH")
        if session.status.outcome:
            layout.label(text=session.status.outcome, icon="INFO")
        for message in session.status.warnings:
            layout.label(text=message, icon="ERROR")


def draw_progress(layout: UILayout, status: Status) -> None:
    """Stage, bar and a button that stops."""
    column = layout.column(align=True)
    column.progress(factor=status.fraction, text=status_text(status))
    column.operator("da3.cancel", icon="CANCEL")


def draw_group(layout: UILayout, context: Context, group: str) -> None:
    """The settings of one group."""
    column = layout.column()
    settings = context.scene.da3
    for option in options():
        if option.group == group:
            row = column.row()
            row.active = is_used(option, settings)
            row.prop(settings, option.name)


def is_used(option: Option, settings: bpy.types.PropertyGroup) -> bool:
    """Whether an option matters with the others as they are; one that does not is drawn grey."""
    model = models.find(settings.model)
    match option.name:
        case "fp16":
            return model.needs_file
        case "ref_view_strategy" | "use_ray_pose":
            return model.needs_file and model.gives_cameras
        case "field_of_view":
            return not model.gives_cameras
        case "batch_size":
            return settings.batch_mode != str(BatchMode.IGNORE_BATCH_SIZE)
        case "merge_voxel_size":
            return settings.merge_points
    return True


def _group_panel(group: str) -> type[Panel]:
    """A collapsible panel for one group of settings."""

    def draw(self: Panel, context: Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        draw_group(self.layout, context, group)

    name = f"DA3_PT_{group}"
    words = {
        "bl_idname": name, "bl_label": group.title(), "bl_space_type": "VIEW_3D", "bl_region_type": "UI",
        "bl_category": "DA3", "bl_parent_id": "DA3_PT_main", "draw": draw,
        "bl_options": set() if group == "model" else {"DEFAULT_CLOSED"},
    }  # fmt: skip
    return type(name, (Panel,), words)


CLASSES = (DA3_PT_main, *(_group_panel(group) for group in GROUPS))


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
