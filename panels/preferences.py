"""The add-on's preferences: dependencies, models, and where they are."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty
from bpy.types import AddonPreferences, Context

from ..core.files.user_cache import KEPT_BYTES
from ..core.installer.torch_builds import Device
from ..operators.state.places import ADDON
from .boxes import draw_environment, draw_kept_runs, draw_models, draw_network, draw_online_access, draw_original


def _devices() -> list[tuple[str, str, str]]:
    return [(device.value, device.label, device.help) for device in Device]


class DA3_AddonPreferences(AddonPreferences):
    """Dependencies, models, and where they are"""

    bl_idname = ADDON
    __annotations__ = {
        "model_folder": StringProperty(
            name="Model Folder", description="Where models are; empty: the add-on's own folder", subtype="DIR_PATH"
        ),
        "last_model": StringProperty(
            name="Last Model", description="The model that was chosen last: new files begin with it", options={"HIDDEN"}
        ),
        "environment_folder": StringProperty(
            name="Environment Folder",
            description="Where the dependencies are; empty: the add-on's own folder",
            subtype="DIR_PATH",
        ),
        "device": EnumProperty(
            name="Compute Device",
            description="What the dependencies are installed for, and what computes",
            items=_devices(),
            default=Device.AUTO.value,
        ),
        "cards": EnumProperty(
            name="Devices",
            description="How many graphics cards of this machine compute",
            items=[
                ("one", "One", "The best card"),
                (
                    "all",
                    "All",
                    "Passes of the model on all cards at the same time, through Ray, unless the scene says where",
                ),
            ],
            default="one",
        ),
        "wheel_folder": StringProperty(
            name="Wheel Folder",
            description="Install from the packages in this folder, without network; empty: download them",
            subtype="DIR_PATH",
        ),
        "hub_endpoint": StringProperty(
            name="Endpoint",
            description="Address of the Hugging Face hub or of a mirror of it; empty: the public hub",
        ),
        "hub_token": StringProperty(
            name="Access Token",
            description="Token for models that need one; kept in Blender's preferences as readable text. "
            "Empty: the one this machine is logged in with",
            subtype="PASSWORD",
        ),
        "show_colours": BoolProperty(
            name="Show Colours after a Run",
            description="Change 3D views from Solid, which has no colours for points, to Material Preview",
            default=True,
        ),
        "kept_folder": StringProperty(
            name="Folder",
            description="Where finished runs are kept, so that Rebuild and Fuse need no model; empty: the user's cache",
            subtype="DIR_PATH",
        ),
        "kept_gigabytes": FloatProperty(
            name="Limit (GB)",
            description="Most that kept runs may take on the disk, the oldest go first; 0 keeps none",
            default=round(KEPT_BYTES / 1e9, 1),
            min=0.0,
            soft_max=100.0,
            precision=1,
        ),
    }

    def draw(self, context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "show_colours")
        draw_online_access(layout, context)
        draw_environment(layout, context, self)
        draw_models(layout, context, self)
        draw_original(layout, context)
        draw_network(layout, context, self)
        draw_kept_runs(layout, context, self)


CLASSES = (DA3_AddonPreferences,)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
