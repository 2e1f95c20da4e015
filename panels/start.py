"""The top of the tab: input, model, quality, result, Generate, and what is missing for it."""

from __future__ import annotations

import math

import bpy
from bpy.types import Context, Menu, PropertyGroup, UILayout

from ..core.frames.found import Found
from ..core.models import catalogue
from ..core.models.catalogue import NON_COMMERCIAL, ModelInfo
from ..core.models.folder import size_text
from ..core.options.presets import Result
from ..core.settings import BatchMode, ResizeMethod
from ..core.worker import pace
from ..operators.state import first_model
from ..operators.state.needs import Lack, Mend, looked_at
from ..operators.state.places import places
from ..operators.state.properties import rounded_resolution
from ..operators.state.session import session, time_text
from .boxes import draw_environment_button, draw_online_access
from .wording import fits, label, tr

BESIDE_RESULT = 3.0  # pixels at scale 1 that a button takes beside its text


def draw_start(layout: UILayout, context: Context, lack: Lack | None) -> None:
    """What a run is made from, and what of it is missing. The button itself: ``draw_generate``."""
    settings = context.scene.da3
    draw_input(layout, context)
    if first_model.is_open(context.scene):
        first_model.choose_soon()
    draw_model(layout, context)
    column = layout.column(align=True)
    column.label(text="Quality:")
    column.prop(settings, "quality", text="")
    column = layout.column(align=True)
    column.label(text="Result:")
    is_row = all(fits(context, tr(result.label), BESIDE_RESULT, 1 / len(Result)) for result in Result)
    (column.row(align=True) if is_row else column).prop(settings, "results", expand=True)
    if lack and lack.mend is not Mend.INPUT:  # that is said above
        draw_lack(layout, context, lack)


def draw_input(layout: UILayout, context: Context) -> None:
    """The path, its chooser, and what is there."""
    settings = context.scene.da3
    column = layout.column(align=True)
    column.label(text="Input:")
    row = column.row(align=True)
    row.prop(settings, "input", text="", placeholder=tr("Folder, image or video"))
    row.operator("da3.choose_input", text="", icon="FILEBROWSER")
    if not settings.input:
        return
    found = looked_at(context)
    if found is None:
        column.label(text="Looking at it...")
    elif found.problem:
        words = f"{found.where}: {tr(found.problem)}" if found.where else found.problem
        label(column, context, words, "ERROR", alert=True)
    else:
        label(column, context, found_text(found))


def found_text(found: Found) -> str:
    """What an input is made of, in a line."""
    if found.is_video:
        return tr("{count} videos").format(count=len(found.each)) if found.each else tr("A video")
    many = tr("{count} images").format(count=found.images) if found.images > 1 else tr("1 image")
    return f"{many}, {found.size[0]} x {found.size[1]}" if found.size else many


def draw_model(layout: UILayout, context: Context) -> None:
    """The chosen model, and for what it may be used."""
    model = catalogue.known(context.scene.da3.model)
    column = layout.column(align=True)
    column.label(text="Model:")
    if model is None:
        column.menu("DA3_MT_models", text="Choose...")
        return
    column.menu("DA3_MT_models", text=name_of(model), translate=False)
    label(column, context, tr(model.purpose))
    if model.licence == NON_COMMERCIAL:
        label(column, context, tr("Not for commercial use") + f" ({model.licence})", "ERROR")


def name_of(model: ModelInfo) -> str:
    """The model's name alone; what is said in brackets behind it is said elsewhere."""
    return model.label.partition(" (")[0]


class DA3_MT_models(Menu):
    """All models, with size, purpose and licence; a mark stands at those that are there"""

    bl_idname = "DA3_MT_models"
    bl_label = "Model"

    def draw(self, context: Context) -> None:
        here = places(context)
        models = session(context).contents(here.models).models
        groups = (
            (tr("For any use"), [m for m in catalogue.MODELS if not m.obsolete and m.licence != NON_COMMERCIAL]),
            (
                tr("Not for commercial use"),
                [m for m in catalogue.MODELS if not m.obsolete and m.licence == NON_COMMERCIAL],
            ),
            (tr("Obsolete"), [m for m in catalogue.MODELS if m.obsolete]),
        )
        for title, rows in groups:
            self.layout.label(text=title, translate=False)
            for model in rows:
                is_there = not model.needs_file or model in models
                words = [name_of(model), *([size_text(model.file_bytes)] if model.needs_file else [])]
                text = f"{', '.join([*words, model.licence])}: {tr(model.purpose)}"
                icon = "CHECKMARK" if is_there else "IMPORT"
                self.layout.operator("da3.choose_model", text=text, icon=icon, translate=False).model = model.name
            self.layout.separator()


def draw_lack(layout: UILayout, context: Context, lack: Lack) -> None:
    """What is missing, and the button that mends it."""
    box = layout.box()
    broken = {file.name for file in session(context).contents(places(context).models).broken}
    if lack.model and lack.model.file_name not in broken:
        label(box, context, tr("{model} is not downloaded").format(model=name_of(lack.model)), "INFO", nested=1)
    else:
        label(box, context, lack.reason, "INFO", nested=1)
    if lack.mend is Mend.ENVIRONMENT:
        draw_environment_button(box, context, places(context))
        if places(context).wheels is None:
            draw_online_access(box, context)
    elif lack.mend is Mend.MODEL and lack.model:
        draw_download(box, context, lack.model)


def draw_download(layout: UILayout, context: Context, model: ModelInfo) -> None:
    """Size of a model, and the button that downloads it."""
    kept = session(context).partial_bytes(places(context).models, model.name)
    if kept:
        label(layout, context, tr("{size} of it are here already").format(size=size_text(kept)), nested=1)
    if model.licence == NON_COMMERCIAL and model.name != context.scene.da3.model:
        label(layout, context, tr("Not for commercial use") + f" ({model.licence})", "ERROR", nested=1)
    size = size_text(model.file_bytes)
    text = tr("Resume Download ({size})" if kept else "Download ({size})").format(size=size)
    layout.operator("da3.fetch_model", text=text, icon="IMPORT", translate=False).model = model.name
    draw_online_access(layout, context)


def draw_generate(layout: UILayout, context: Context) -> None:
    """The button, and what it will use."""
    column = layout.column(align=True)
    column.scale_y = 1.6
    column.operator("da3.generate", icon="PLAY")
    settings = context.scene.da3
    found = looked_at(context)
    if found is not None and found.images:
        words = use_text(settings, *(found.each or (found.images,)))
        seconds = seconds_text(context, found)
        label(layout, context, f"{words}, {seconds}" if seconds else words)


def images_used(settings: PropertyGroup, *each: int) -> int:
    """How many images a run takes of inputs that have so many each."""
    ends = (images if settings.end_frame < 0 else min(images, settings.end_frame + 1) for images in each)
    return sum(len(range(settings.start_frame, end, settings.frame_stride)) for end in ends)


def seconds_text(context: Context, found: Found) -> str:
    """About how long a run will take; empty where no such run was made on this machine yet."""
    settings, here = context.scene.da3, places(context)
    if not found.size or not here.kept_bytes or settings.batch_mode == str(BatchMode.DA3_STREAMING):
        return ""  # where no runs are kept, nothing is learned; streaming knows only once it runs
    short, long = sorted(found.size)
    is_upper = settings.resize_method == str(ResizeMethod.UPPER_BOUND)
    pixels = round(rounded_resolution(settings.process_resolution) ** 2 * (short / long if is_upper else long / short))
    seconds = session(context).seconds_of(
        here.kept_runs, pace.work_of(settings), images_used(settings, *(found.each or (found.images,))), pixels
    )
    return tr("about {time}").format(time=time_text(seconds)) if seconds else ""


def use_text(settings: PropertyGroup, *each: int) -> str:
    """How many images a run takes of its inputs, in how many passes as far as that is known before it."""
    used = images_used(settings, *each)
    words = [tr("Uses {used} of {all} images").format(used=used, all=sum(each))]
    model, mode = catalogue.known(settings.model), settings.batch_mode
    is_one = mode == str(BatchMode.IGNORE_BATCH_SIZE) or (model is not None and not model.needs_file)
    if mode != str(BatchMode.DA3_STREAMING) and (is_one or settings.batch_size):
        passes = 1 if is_one or not settings.batch_size else math.ceil(used / settings.batch_size)
        if passes == 1:
            words.append(tr("1 pass"))
        elif mode == str(BatchMode.NO_OVERLAP):
            words.append(tr("{passes} passes").format(passes=passes))
    return ", ".join(words)


CLASSES = (DA3_MT_models,)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
