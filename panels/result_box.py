"""The result of a run, directly under Generate: how it is seen, what is visible, and what can be done with it."""

from __future__ import annotations

import bpy
from bpy.types import Collection, Context, Menu, UILayout

from ..nodes.datablocks import disc_nodes, splat_nodes
from ..nodes.datablocks import scene as scenes
from ..nodes.edits import look, transforming
from ..operators.jobs.showing import gray_views
from ..operators.state.kept_run import NOT_KEPT, why_not_kept
from ..operators.state.run_properties import VISIBLE
from .wording import fits, label, tr

BESIDE_NUMBER = 68.0  # pixels at scale 1 that the box and a number take of their row


def draw_result(layout: UILayout, context: Context, run: Collection) -> None:
    """The run that the person means. A button that is grey says why when the mouse rests on it."""
    box = layout.box()
    runs = transforming.runs_of(context.scene)
    if len(runs) > 1:
        box.menu("DA3_MT_runs", text=run.name, icon="OUTLINER_COLLECTION", translate=False)
    else:
        box.label(text=run.name, icon="OUTLINER_COLLECTION", translate=False)
    kinds = [kind for kind in look.KINDS if look.objects_of(run, kind)]
    if gray_views(context):
        box.operator("da3.show_colours", icon="SHADING_TEXTURE")
    if not scenes.has_photo_colors(context.scene):
        box.operator("da3.photo_colors", icon="COLOR")
    draw_look(box, context, run, kinds)
    draw_visible(box, run, kinds)
    draw_buttons(box, kinds)
    if why_not_kept(context) == NOT_KEPT:
        label(box, context, NOT_KEPT, "INFO", nested=1)


def draw_look(layout: UILayout, context: Context, run: Collection, kinds: list[str]) -> None:
    """Size and colour of the dots, and which are left out."""
    column = layout.column(align=True)
    if look.POINTS in kinds or look.MOVING in kinds:
        for name, switch in (("splats", splat_nodes.SWITCH), ("discs", disc_nodes.SWITCH)):
            if look.has_switch(run, switch):
                column.prop(run.da3, name)
        column.prop(run.da3, "point_size")
        _draw_confidence(column, context, run)
        column.prop(run.da3, "display", slider=True)
        layout.prop(run.da3, "show_confidence")
    elif look.MESHES in kinds:
        _draw_confidence(column, context, run)


def _draw_confidence(layout: UILayout, context: Context, run: Collection) -> None:
    if fits(context, tr("Min Confidence"), BESIDE_NUMBER):
        layout.prop(run.da3, "min_confidence")
    else:
        layout.label(text="Min Confidence")
        layout.prop(run.da3, "min_confidence", text="")


def draw_visible(layout: UILayout, run: Collection, kinds: list[str]) -> None:
    """A switch for each kind of thing that is there."""
    column = layout.column(align=True)
    for kind in kinds:
        is_on = getattr(run.da3, f"show_{kind}")
        column.prop(
            run.da3, f"show_{kind}", text=VISIBLE[kind][0], icon="HIDE_OFF" if is_on else "HIDE_ON", toggle=True
        )


def draw_buttons(layout: UILayout, kinds: list[str]) -> None:
    """What can be done with the run."""
    column = layout.column(align=True)
    column.operator("da3.rebuild", icon="FILE_REFRESH")
    column.operator("da3.merge_points", icon="AUTOMERGE_ON")
    if splat_nodes.DRAWN:
        column.operator("da3.refine_splats", icon="OUTLINER_OB_POINTCLOUD")
    column.operator("da3.fuse", icon="MESH_ICOSPHERE")
    column.operator("da3.split_by_object", icon="MOD_EXPLODE")
    column = layout.column(align=True)
    column.operator("da3.set_upright", icon="EMPTY_SINGLE_ARROW")
    column.operator("da3.scale_by_distance", icon="DRIVER_DISTANCE")
    column.operator("da3.use_for_rendering", icon="RESTRICT_RENDER_OFF")
    column.operator("da3.set_up_shot", icon="SCENE")
    if look.TRACKS in kinds:
        column.operator("da3.tracks_as_empties", icon="EMPTY_AXIS")
    column = layout.column(align=True)
    column.operator("da3.export_points", icon="EXPORT")
    column.operator("da3.delete_run", icon="TRASH")


class DA3_MT_runs(Menu):
    """The runs of this scene"""

    bl_idname = "DA3_MT_runs"
    bl_label = "Result"

    def draw(self, context: Context) -> None:
        for run in reversed(transforming.runs_of(context.scene)):
            self.layout.operator("da3.select_run", text=run.name, translate=False).run = run.name


CLASSES = (DA3_MT_runs,)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
