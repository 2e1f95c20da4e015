"""The settings, each a row over the whole width of its panel; those that do nothing as things are set are left out."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
from bpy.types import Context, PropertyGroup, UILayout

from ..core.models import catalogue
from ..core.settings import PATCH, Option, options
from ..operators.state.properties import AUTOMATIC, rounded_resolution
from .usefulness import why_unused
from .wording import fits, label, tr

GEOMETRY, MOTION, CAMERAS, FILES, ADVANCED = "geometry", "motion", "cameras", "files", "advanced"
BESIDE_NUMBER = 58.0  # pixels at scale 1 that a number takes of its row
BESIDE_SWITCH = 28.0  # and a switch
#: In which sub-panel the options of a group stand, in the order of the panel; of another group: Advanced.
PANELS = {
    "filters": GEOMETRY, "surfaces": GEOMETRY, "motion": MOTION, "cameras": CAMERAS, "animation": CAMERAS,
    "input": FILES, "output": FILES,
}  # fmt: skip
#: Where an option of its group stands elsewhere.
ELSEWHERE = {
    "point_scale": GEOMETRY, "field_of_view": CAMERAS, "use_ray_pose": CAMERAS, "use_metric": CAMERAS,
    "metric_mode": CAMERAS, "metric_source": CAMERAS, "per_frame_geometry": MOTION,
}  # fmt: skip
#: The switch in a sub-panel's header.
SWITCH = {MOTION: "detect_motion"}
#: These stand above, or Result is made of them.
ABOVE = frozenset({"input", "model", "generate_meshes", "splats", "fuse_frames"})


def panel_of(option: Option) -> str:
    """In which sub-panel an option stands; empty for those above them."""
    return "" if option.name in ABOVE else ELSEWHERE.get(option.name) or PANELS.get(option.group, ADVANCED)


def rows_of(panel: str, settings: PropertyGroup) -> Iterator[Option]:
    """The options of a sub-panel that have an effect now."""
    model = catalogue.known(settings.model)
    for option in options():
        is_metric = (
            option.name in ("use_metric", "metric_mode", "metric_source") and model is not None and model.is_metric
        )
        if panel_of(option) == panel and not is_metric and not why_unused(option.name, settings):
            yield option


def draw_rows(layout: UILayout, context: Context, panel: str) -> None:
    """All that can be set in a sub-panel."""
    settings = context.scene.da3
    column = layout.column()
    group = ""
    for option in rows_of(panel, settings):
        if option.name == SWITCH.get(panel):
            continue
        if group and option.group != group:
            column.separator(factor=0.5)
        group = option.group
        draw_option(column, context, settings, option)
        if option.name == "process_resolution":
            draw_rounding(column, context)


def draw_option(layout: UILayout, context: Context, settings: PropertyGroup, option: Option) -> None:
    """A switch or a number with its name in it; what is chosen or typed, or has a long name, with its name above."""
    name = tr(option.label)
    if option.type is bool:
        _draw_switch(layout, context, settings, option)
        return
    is_number = option.type in (int, float) and not option.word
    if is_number and fits(context, name, BESIDE_NUMBER):
        layout.prop(settings, option.name)
        return
    column = layout.column(align=True)
    label(column, context, f"{name}:")
    if option.word:
        _draw_number_or_word(column, settings, option)
    elif option.name == "known_cameras_collection":
        column.prop_search(settings, option.name, bpy.data, "collections", text="")
    elif option.name == "known_camera":
        column.prop_search(settings, option.name, context.scene, "objects", text="")
    else:
        column.prop(settings, option.name, text="")


def _draw_switch(layout: UILayout, context: Context, settings: PropertyGroup, option: Option) -> None:
    if fits(context, tr(option.label), BESIDE_SWITCH):
        layout.prop(settings, option.name)
        return
    row = layout.row()
    row.prop(settings, option.name, text="")
    label(row, context, option.label, nested=3)


def _draw_number_or_word(layout: UILayout, settings: PropertyGroup, option: Option) -> None:
    row = layout.row(align=True)
    if getattr(settings, option.name) == option.default:
        row.prop(settings, AUTOMATIC + option.name, toggle=True, text=option.word)
    else:
        row.prop(settings, option.name, text="")
        row.prop(settings, AUTOMATIC + option.name, toggle=True, text="", icon="LOOP_BACK")


def draw_rounding(layout: UILayout, context: Context) -> None:
    """A note where the resolution is no multiple of a patch."""
    asked = context.scene.da3.process_resolution
    used = rounded_resolution(asked)
    if used != asked:
        label(layout, context, tr("{used} is used: a multiple of {patch}").format(used=used, patch=PATCH), "INFO")
