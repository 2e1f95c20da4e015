"""Which model a file begins with that names none: the one that was chosen last, else the best that is there, else Classic."""

from __future__ import annotations

import bpy
from bpy.types import Context, Scene

from ...core.models import catalogue
from .looking import redraw
from .places import places, preferences


def is_open(scene: Scene) -> bool:
    """Whether nobody has chosen a model for the scene yet."""
    return not scene.da3.is_property_set("model")


def choose_soon() -> None:
    """Choose for all scenes in a moment: drawing may change nothing."""
    if not bpy.app.timers.is_registered(choose):
        bpy.app.timers.register(choose, first_interval=0.0)


def choose() -> None:
    """Set the model of the scenes that have none."""
    name = first_model(bpy.context)
    for scene in bpy.data.scenes:
        if is_open(scene) and scene.library is None:
            scene.da3.model = name
    redraw()


def first_model(context: Context) -> str:
    """Name of the model that new files begin with."""
    chosen = preferences(context)
    last = catalogue.known(chosen.last_model) if chosen is not None else None
    return (last or catalogue.best_installed(places(context).models)).name
