"""The tab "DA3" of the 3D view's sidebar."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.types import Context, Panel, UILayout

from ..core.models import catalogue
from ..core.models.catalogue import NON_COMMERCIAL, ModelInfo
from ..core.models.folder import partial_bytes, size_text
from ..core.settings import PATCH, Choice, Option, options
from ..nodes.edits import transforming
from ..operators.state.needs import Lack, Mend, first_lack
from ..operators.state.places import places
from ..operators.state.properties import rounded_resolution
from .boxes import draw_after_run, draw_environment_button, draw_online_access, draw_outcome, draw_progress
from .usefulness import why_unused
from .wording import fits_beside, label

GROUPS = tuple(dict.fromkeys(o.group for o in options()))
TITLES = {"motion": "Motion & Segmentation"}  # other groups are called by their name
METRIC = {"use_metric", "metric_mode"}  # hidden where the model is metric already
OPEN = {"model"}  # the rest is seldom used
#: Where the label of the table is too long for half a sidebar.
SHORT = {
    "process_resolution": "Resolution",
    "resize_method": "Method",
    "ref_view_strategy": "Ref. View",
    "min_confidence": "Min Conf.",
    "batch_mode": "Mode",
    "batch_size": "Size",
    "start_frame": "Start",
    "end_frame": "End",
    "frame_stride": "Stride",
    "motion_threshold": "Threshold",
    "seg_model": "Model",
    "seg_confidence": "Confidence",
    "fuse_voxel_size": "Voxel Size",
}


class DA3_PT_main(Panel):
    """Input, Generate, and how it goes"""

    bl_idname = "DA3_PT_main"
    bl_label = "Depth Anything 3"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "DA3"

    def draw(self, context: Context) -> None:
        layout = self.layout
        session = context.window_manager.da3_session
        column = layout.column()
        column.enabled = session.job is None
        column.prop(context.scene.da3, "input", text="")
        if session.job is not None:
            draw_progress(layout, context, session.status)
            return
        lack = first_lack(context)
        if lack:
            draw_lack(layout, context, lack)
        column = layout.column(align=True)
        column.scale_y = 1.6
        column.operator("da3.generate", icon="PLAY")
        draw_outcome(layout, context, session.status)


def draw_lack(layout: UILayout, context: Context, lack: Lack) -> None:
    """What is missing, and the button that mends it."""
    box = layout.box()
    label(box, context, lack.reason, "INFO", nested=1)
    if lack.mend is Mend.INPUT:
        box.operator("da3.choose_input", icon="FILEBROWSER")
    elif lack.mend is Mend.ENVIRONMENT:
        if places(context).wheels is None:
            draw_online_access(box, context)
        draw_environment_button(box, context, places(context))
    elif lack.mend is Mend.MODEL and lack.model:
        draw_download(box, context, lack.model)


def draw_download(layout: UILayout, context: Context, model: ModelInfo) -> None:
    """Size and licence of a model, and the button that downloads it."""
    kept = partial_bytes(places(context).models, model.name)
    size = size_text(model.file_bytes)
    label(layout, context, f"{size}, {_licence(model)}", nested=1)
    if kept:
        label(layout, context, f"{size_text(kept)} of it are here already", nested=1)
    draw_online_access(layout, context)
    text = f"{'Resume Download' if kept else 'Download'} ({size})"
    layout.operator("da3.fetch_model", text=text, icon="IMPORT").model = model.name


def _licence(model: ModelInfo) -> str:
    return f"{model.licence}: not for commercial use" if model.licence == NON_COMMERCIAL else model.licence


def draw_group(layout: UILayout, context: Context, group: str) -> None:
    """The settings of one group; those that do nothing are grey, with the reason below."""
    settings = context.scene.da3
    model = catalogue.known(settings.model)
    hidden = {"input"} | (METRIC if model and model.is_metric else set())
    rows = [option for option in options() if option.group == group and option.name not in hidden]
    column = layout.column()
    for number, option in enumerate(rows):
        reason = why_unused(option.name, settings)
        draw_option(column, context, settings, option, is_used=not reason)
        following = rows[number + 1] if number + 1 < len(rows) else None
        if reason and not (following and why_unused(following.name, settings) == reason):
            inactive = column.column()
            inactive.active = False
            label(inactive, context, reason, "INFO")
        if option.name == "process_resolution":
            draw_rounding(column, context)


def draw_option(
    layout: UILayout, context: Context, settings: bpy.types.PropertyGroup, option: Option, *, is_used: bool
) -> None:
    """One setting. A switch takes the whole width; so does one whose name or choices would be cut off beside each other."""
    name = SHORT.get(option.name, option.label)
    choices = [choice.label for choice in option.type] if issubclass(option.type, Choice) else []
    is_wide = option.type is not bool and not fits_beside(context, name, choices)
    place = layout.column(align=True)
    place.active = is_used
    place.use_property_split = option.type is not bool and not is_wide
    if is_wide and option.name != "model":
        place.label(text=f"{name}:")
    text = "" if is_wide else name
    if option.name == "model":
        place.use_property_split = False
        place.prop(settings, option.name, text="")
    elif option.name == "known_cameras_collection":
        place.prop_search(settings, option.name, bpy.data, "collections", text=text)
    else:
        place.prop(settings, option.name, text=text)


def draw_rounding(layout: UILayout, context: Context) -> None:
    """A note where the resolution is no multiple of a patch."""
    asked = context.scene.da3.process_resolution
    used = rounded_resolution(asked)
    if used != asked:
        label(layout, context, f"{used} is used: a multiple of {PATCH}", "INFO")


def draw_model(layout: UILayout, context: Context) -> None:
    """Licence, size, whether it is there, and Unload Model."""
    session, here = context.window_manager.da3_session, places(context)
    model = catalogue.known(context.scene.da3.model)
    box = layout.box()
    if model is None:
        label(box, context, "This file names a model that is not known here: choose another", "ERROR", nested=1)
    elif not model.needs_file:
        label(box, context, "Needs no download: cameras and depth are computed from overlapping images", nested=1)
    elif session.has(model, here.models):
        label(box, context, f"Installed, {size_text(model.file_bytes)}", "CHECKMARK", nested=1)
        label(box, context, _licence(model), nested=1)
    else:
        label(box, context, f"Not installed, {size_text(model.file_bytes)}", nested=1)
        label(box, context, _licence(model), nested=1)
    if session.model:
        box.operator("da3.free_model", icon="TRASH")


def _group_panel(group: str) -> type[Panel]:
    """A collapsible panel for one group of settings."""

    def draw(self: Panel, context: Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        column = self.layout.column()
        column.enabled = context.window_manager.da3_session.job is None
        draw_group(column, context, group)
        if group == "model":
            draw_model(column, context)

    name = f"DA3_PT_{group}"
    words = {
        "__doc__": f"Settings: {group}",
        "bl_idname": name, "bl_label": TITLES.get(group, group.title()), "bl_space_type": "VIEW_3D",
        "bl_region_type": "UI", "bl_category": "DA3", "bl_parent_id": "DA3_PT_main", "draw": draw,
        "bl_options": set() if group in OPEN else {"DEFAULT_CLOSED"},
    }  # fmt: skip
    return type(name, (Panel,), words)


class DA3_PT_after(Panel):
    """What can be done with a reconstruction that is there"""

    bl_idname = "DA3_PT_after"
    bl_label = "After a Run"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "DA3"
    bl_parent_id = "DA3_PT_main"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return transforming.run_of(context) is not None

    def draw(self, context: Context) -> None:
        run = transforming.run_of(context)
        if run is not None:
            draw_after_run(self.layout, context, run)


CLASSES = (DA3_PT_main, *(_group_panel(group) for group in GROUPS), DA3_PT_after)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
