"""The boxes of the preferences: dependencies, models, network; and the progress that they share with the sidebar."""

from __future__ import annotations

from bpy.types import AddonPreferences, Context, UILayout

from ..core.installer.condition import State
from ..core.installer.torch_builds import Device
from ..core.models import catalogue
from ..core.models.catalogue import NON_COMMERCIAL, ModelInfo
from ..core.models.folder import size_text
from ..operators.state.original import user_folder
from ..operators.state.places import Places, places
from ..operators.state.session import Session, Status, status_text
from .wording import label, lines_of, tr

GENERATE = "Generate"  # the job whose end is told in the sidebar only
INSTALLING = ("Install Dependencies", "Repair")  # jobs whose good end is told in the preferences only
SIZES = "Up to 3.3 GB to download, 6.6 GB on disk"  # of CUDA's packages, which are the largest
SHOWN_LINES = 6  # of what an installer says; more would push the panel's own settings out of sight
INSTALL_WORDS = {
    State.MISSING: ("da3.set_up_dependencies", "Install Dependencies", "IMPORT"),
    State.OUTDATED: ("da3.set_up_dependencies", "Update Dependencies", "FILE_REFRESH"),
    State.BROKEN: ("da3.repair_dependencies", "Repair Dependencies", "TOOL_SETTINGS"),
}


def draw_progress(layout: UILayout, context: Context, status: Status, *, nested: int = 0) -> None:
    """What runs: its name, bar, button that stops, and the last lines it said."""
    column = layout.column(align=True)
    column.label(text=status.title, icon="SORTTIME")
    row = column.row(align=True)
    row.progress(factor=status.fraction, text=status_text(status))
    row.operator("da3.cancel", text="", icon="CANCEL")
    if status.detail:
        label(layout, context, status.detail, nested=nested)
    if status.lines:
        lines = layout.box().column(align=True)
        lines.scale_y = 0.7
        wrapped = [line for text in status.lines for line in lines_of(context, text, nested=nested + 1)]
        for line in wrapped[-SHOWN_LINES:]:
            lines.label(text=line)


def draw_outcome(layout: UILayout, context: Context, status: Status, *, nested: int = 0) -> None:
    """How the last job ended, what is missing beside the scene, and what else it warned of."""
    if not status.outcome:
        return
    if status.title in INSTALLING and not status.failed and nested == 0:  # the preferences have that
        return
    icon = "ERROR" if status.failed else "INFO"
    label(layout, context, status.outcome, icon, alert=status.failed, nested=nested)
    for message in status.failures:
        label(layout, context, message, "CANCEL", alert=True, nested=nested)
    others = [message for message in status.warnings if message not in status.failures]
    if others:
        many = tr("{count} warnings").format(count=len(others)) if len(others) > 1 else tr("1 warning")
        layout.label(text=many, icon="ERROR", translate=False)
        for message in others:
            label(layout, context, message, "DOT", nested=nested)


def draw_online_access(layout: UILayout, context: Context) -> None:
    """Blender's own switch, where something is to be downloaded; it stays where it is when it is on."""
    column = layout.column()
    column.use_property_split = False
    column.prop(context.preferences.system, "use_online_access", text="Allow Online Access")


def draw_environment_button(layout: UILayout, context: Context, here: Places) -> None:
    """The one button that makes the environment usable; none where it is."""
    from ..core.devices import support  # late: enabling the add-on should not pay for it

    status = context.window_manager.da3_session.environment_status(here.environment)
    if support.HERE and status.state is State.MISSING and here.wheels is None:
        label(layout, context, tr(support.HERE), "ERROR", nested=1)
    elif status.state in INSTALL_WORDS:
        name, text, icon = INSTALL_WORDS[status.state]
        column = layout.column(align=True)
        column.scale_y = 1.3
        column.operator(name, text=text, icon=icon)
        if status.state is State.MISSING and here.wheels is None and here.build in (Device.AUTO, Device.CUDA):
            label(layout, context, tr(SIZES), nested=1)


def draw_environment(layout: UILayout, context: Context, chosen: AddonPreferences) -> None:
    """What is installed, and what can be done about it."""
    here, session = places(context), context.window_manager.da3_session
    box = layout.box()
    box.label(text="Dependencies")
    if here.is_development:
        label(box, context, "DA3_WORKER_PYTHON names the Python that is used", "INFO", nested=1)
    status = session.environment_status(here.environment)
    icon = "CHECKMARK" if status.state is State.READY else "ERROR"
    label(box, context, status.reason, icon, nested=1)
    if status.warning:
        label(box, context, status.warning, "ERROR", nested=1)
    _draw_versions(box, context, here)
    _draw_device(box, context, session)
    if session.job is not None:
        draw_progress(box, context, session.status, nested=1)
    else:
        if session.status.title != GENERATE:
            draw_outcome(box, context, session.status, nested=1)
        _draw_buttons(box, context, here, status.state)
    box.prop(chosen, "device")
    if here.has_ray():
        box.prop(chosen, "cards")
    elif status.state is State.READY:
        label(box, context, "Several graphics cards at once need Ray: Install Ray", "INFO", nested=1)
    box.prop(chosen, "wheel_folder")
    box.prop(chosen, "environment_folder")
    if not chosen.environment_folder:
        label(box, context, f"Now: {here.environment}", nested=1)


def _draw_versions(layout: UILayout, context: Context, here: Places) -> None:
    info = context.window_manager.da3_session.environment_info(here.environment)
    if info is None or not info.torch_build:  # the line above says all
        return
    parts = [f"Python {info.python}"]
    parts += [f"PyTorch for {info.torch_build}"] if info.torch_build else []
    parts += [f"{size_text(info.size)} on disk"] if info.size else []
    label(layout, context, ", ".join(parts), nested=1)
    if info.versions:
        label(layout, context, ", ".join(f"{name} {version}" for name, version in info.versions.items()), nested=1)


def _draw_device(layout: UILayout, context: Context, session: Session) -> None:
    row = layout.row()
    state = session.device
    if state is None:
        row.label(text="Device: not asked yet")
    else:
        free = f", {size_text(state.free_memory)} free" if state.free_memory else ""
        row.label(text=f"Device: {state.device_name or state.device} ({state.device}{free})")
    row.operator("da3.check_device", text="Check", icon="VIEWZOOM")
    layout.operator("da3.copy_report", text="Copy Report", icon="COPYDOWN")
    if state is not None and state.warning:
        label(layout, context, state.warning, "ERROR", nested=1)


def _draw_buttons(layout: UILayout, context: Context, here: Places, state: State) -> None:
    draw_environment_button(layout, context, here)
    if state is State.MISSING:
        return
    row = layout.row(align=True)
    if state is State.READY:
        info = context.window_manager.da3_session.environment_info(here.environment)
        if info and info.device is not None and info.device is not here.build and here.build is not Device.AUTO:
            row.operator("da3.set_up_dependencies", text=f"Change to {here.build.label}", icon="FILE_REFRESH")
        row.operator("da3.repair_dependencies", text="Repair", icon="TOOL_SETTINGS")
        if not here.has_ray():
            row.operator("da3.install_ray", text="Install Ray", icon="NETWORK_DRIVE")
    row.operator("da3.remove_dependencies", text="Remove", icon="TRASH")


def draw_models(layout: UILayout, context: Context, chosen: AddonPreferences) -> None:
    """All models: size, licence, what is there, and a button each."""
    here, session = places(context), context.window_manager.da3_session
    box = layout.box()
    box.label(text="Models")
    contents = session.contents(here.models)
    broken = {file.name for file in contents.broken}
    grid = box.column(align=True)
    for model in catalogue.MODELS:
        if model.needs_file and (not model.obsolete or model in contents.models or model.file_name in broken):
            _draw_model(
                grid, session, model, here, is_there=model in contents.models, is_broken=model.file_name in broken
            )
    if any(model.licence == NON_COMMERCIAL for model in catalogue.MODELS):
        label(box, context, f"{NON_COMMERCIAL}: not for commercial use", "INFO", nested=1)
    if contents.unknown:
        label(box, context, f"Not known: {', '.join(file.name for file in contents.unknown)}", nested=1)
    box.prop(chosen, "model_folder")
    if not chosen.model_folder:
        label(box, context, f"Now: {here.models}", nested=1)
    box.operator("da3.bring_models", icon="FILE_FOLDER", text="Move Existing Models Here...")


def _draw_model(
    layout: UILayout, session: Session, model: ModelInfo, here: Places, *, is_there: bool, is_broken: bool
) -> None:
    row = layout.row(align=True)
    split = row.split(factor=0.45)
    split.label(text=model.label, icon="CHECKMARK" if is_there else "ERROR" if is_broken else "BLANK1")
    split = split.split(factor=0.35)
    split.label(text=size_text(model.file_bytes))
    split = split.split(factor=0.5)
    split.label(text=model.licence)
    if is_there:
        split.operator("da3.remove_model", text="Remove", icon="TRASH").model = model.name
        return
    text = "Resume" if session.partial_bytes(here.models, model.name) else "Again" if is_broken else "Download"
    split.operator("da3.fetch_model", text=text, icon="IMPORT").model = model.name


def draw_original(layout: UILayout, context: Context) -> None:
    """What DA3-blender has left; nothing where it left nothing."""
    left = context.window_manager.da3_session.original.get(user_folder())
    if left is None or not (left.models or left.scripts):
        return
    box = layout.box()
    box.label(text="DA3-blender")
    for folder, count, size in left.models:
        said = tr("Uninstalling DA3-blender deletes its models: {folder}").format(folder=folder)
        label(box, context, said, "ERROR", nested=1)
        text = tr("Move {count} Models Here ({size})").format(count=count, size=size_text(size))
        box.operator("da3.bring_models", text=text, icon="FILE_FOLDER", translate=False).directory = str(folder)
    for script in left.scripts:
        said = tr("This script loads PyTorch into every Blender: {script}").format(script=script)
        label(box, context, said, "ERROR", nested=1)
        box.operator("da3.disable_torch_preload", text="Switch Off Torch Preload", icon="CANCEL").script = str(script)


def draw_network(layout: UILayout, context: Context, chosen: AddonPreferences) -> None:
    """Where models come from."""
    box = layout.box()
    box.label(text="Hugging Face")
    box.prop(chosen, "hub_endpoint")
    box.prop(chosen, "hub_token")


def draw_kept_runs(layout: UILayout, context: Context, chosen: AddonPreferences) -> None:
    """Where finished runs are kept for Rebuild, and how much room they may take."""
    box = layout.box()
    box.label(text="Kept Runs")
    box.prop(chosen, "kept_gigabytes")
    box.prop(chosen, "kept_folder")
    if not chosen.kept_folder:
        label(box, context, f"Now: {places(context).kept_runs}", nested=1)
