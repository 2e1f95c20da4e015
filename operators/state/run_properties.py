"""``collection.da3``: how a finished run is shown, for the panel. Nothing is kept here: ``nodes/edits/look.py`` reads and writes."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, PointerProperty
from bpy.types import Collection, PropertyGroup

from ...nodes.datablocks import disc_nodes, point_trees, splat_nodes
from ...nodes.edits import look

VISIBLE = {
    look.POINTS: ("Points", "The point clouds"),
    look.MESHES: ("Meshes", "The meshes of single images"),
    look.SURFACE: ("Surface", "The surface from all images"),
    look.CAMERAS: ("Cameras", "The cameras that took the images"),
    look.MOVING: ("Moving", "What moves"),
    look.TRACKS: ("Tracks", "The points that were followed from image to image"),
}


def _input(socket: str, otherwise: float, **words: Any) -> Any:
    """An input of all modifiers of a run."""
    return FloatProperty(
        get=lambda self: look.get(self.id_data, socket, otherwise),
        set=lambda self, value: look.put(self.id_data, socket, value),
        **words,
    )


def _switch(socket: str, help: str) -> Any:
    """An input of all modifiers of a run that is on or off."""
    return BoolProperty(
        name=socket,
        description=help,
        get=lambda self: look.get(self.id_data, socket, 0.0) > 0.5,
        set=lambda self, value: look.put(self.id_data, socket, value),
    )


def _visible(kind: str) -> Any:
    label, help = VISIBLE[kind]
    return BoolProperty(
        name=label,
        description=f"{help} are visible, in the viewport and in renders",
        get=lambda self: look.is_visible(self.id_data, kind),
        set=lambda self, value: look.set_visible(self.id_data, kind, value),
    )


class DA3_PG_run(PropertyGroup):
    """How a run is shown"""

    __annotations__ = {
        "point_size": _input(
            point_trees.POINT_SIZE, 1.0, name="Point Size", min=0.0, soft_max=5.0,
            description="Size of the dots; at 1 those of neighbouring pixels just touch, near and far",
        ),
        "min_confidence": _input(
            point_trees.THRESHOLD, 0.5, name="Min Confidence", min=0.0, soft_max=10.0,
            description="Points and faces of less confidence are hidden",
        ),
        "display": _input(
            point_trees.DISPLAY, 100.0, name="Display", min=0.0, max=100.0, subtype="PERCENTAGE", precision=0,
            description="Part of the points that the viewport shows; a render has all of them",
        ),
        "splats": _switch(splat_nodes.SWITCH, splat_nodes.HELP),
        "discs": _switch(disc_nodes.SWITCH, disc_nodes.HELP),
        "show_confidence": BoolProperty(
            name="Show Confidence",
            description="Paint the points by their confidence, from red for low to blue for high, instead of their colour",
            get=lambda self: look.confidence_share(self.id_data) > 0.5,
            set=lambda self, value: look.show_confidence(self.id_data, float(value)),
        ),
        **{f"show_{kind}": _visible(kind) for kind in VISIBLE},
    }  # fmt: skip


def register() -> None:
    bpy.utils.register_class(DA3_PG_run)
    Collection.da3 = PointerProperty(type=DA3_PG_run)


def unregister() -> None:
    del Collection.da3
    bpy.utils.unregister_class(DA3_PG_run)
