"""The add-on's preferences: where the models and the worker's environment are, and which device computes."""

import os
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy.types import AddonPreferences, Context

from ..core import environment

ADDON = __package__.rpartition(".")[0]  # "bl_ext.<repository>.da3_blender", or "da3_blender" for the tools
DEVICES = (
    ("auto", "Automatic", "The graphics card if there is one that can be used, else the processor"),
    ("cuda", "CUDA", "NVIDIA graphics card"),
    ("mps", "Metal", "Apple graphics"),
    ("cpu", "Processor", "No graphics card"),
)


@dataclass(frozen=True)
class Places:
    """What the worker is told that is not a setting of the scene."""

    environment: Path
    models: Path
    device: str | None  # None: the best there is

    def worker_python(self) -> Path:
        """The worker's interpreter: ``$DA3_WORKER_PYTHON`` (development), else the environment's.

        Raises
        ------
        MissingEnvironment
            The environment is not ready; the sentence says why.
        """
        if os.environ.get("DA3_WORKER_PYTHON"):
            return Path(os.environ["DA3_WORKER_PYTHON"])
        return environment.Environment(self.environment).require()

    def looks_installed(self) -> bool:
        """Whether ``worker_python`` is likely to succeed; cheap enough for every redraw."""
        return bool(os.environ.get("DA3_WORKER_PYTHON")) or (self.environment / environment.MARKER).exists()


def places(context: Context) -> Places:
    """From the preferences, then ``$DA3_ENVIRONMENT`` and ``$DA3_MODELS``, then the add-on's own folder for its data."""
    addon = context.preferences.addons.get(ADDON)
    chosen = addon.preferences if addon else None
    folder = Path(bpy.path.abspath(chosen.environment_folder)) if chosen and chosen.environment_folder else None
    models = Path(bpy.path.abspath(chosen.model_folder)) if chosen and chosen.model_folder else None
    device = chosen.device if chosen and chosen.device != "auto" else None
    return Places(folder or environment.default_folder(data_folder()), models or default_model_folder(), device)


def default_model_folder() -> Path:
    """``$DA3_MODELS``, else ``models`` in the data folder of an extension or in the checkout."""
    if os.environ.get("DA3_MODELS"):
        return Path(os.environ["DA3_MODELS"]).expanduser()
    if ADDON.startswith("bl_ext."):  # the extension's own folder is replaced by an update
        return data_folder() / "models"
    return Path(__file__).resolve().parent.parent / "models"


def data_folder() -> Path:
    """Where what the add-on installs survives its own update."""
    if ADDON.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(ADDON))
    return Path(bpy.utils.user_resource("DATAFILES")) / ADDON


class DA3_AddonPreferences(AddonPreferences):
    bl_idname = ADDON

    model_folder: StringProperty(  # type: ignore[valid-type]
        name="Model Folder", description="Where models are; empty: the add-on's own folder", subtype="DIR_PATH"
    )
    environment_folder: StringProperty(  # type: ignore[valid-type]
        name="Environment Folder",
        description="Where the dependencies are; empty: the add-on's own folder",
        subtype="DIR_PATH",
    )
    device: EnumProperty(  # type: ignore[valid-type]
        name="Device", description="What computes", items=DEVICES, default="auto"
    )

    def draw(self, context: Context) -> None:
        here = places(context)
        layout = self.layout
        layout.use_property_split = True
        status = context.window_manager.da3_session.environment_status(here.environment)
        ready = status.state is environment.State.READY
        layout.label(text=status.reason, icon="CHECKMARK" if ready else "ERROR")
        row = layout.row()
        row.enabled = not ready
        row.operator("da3.install_dependencies", icon="IMPORT")
        layout.prop(self, "environment_folder")
        layout.label(text=f"Environment: {here.environment}")
        layout.prop(self, "model_folder")
        layout.label(text=f"Models: {here.models}")
        layout.prop(self, "device")


CLASSES = (DA3_AddonPreferences,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
