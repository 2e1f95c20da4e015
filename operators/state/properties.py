"""``scene.da3``: Blender's properties, made from the table in ``core/settings.py``."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty
from bpy.types import Context, PropertyGroup, Scene

from ...core.models.catalogue import MODELS
from ...core.models.segmentation_catalogue import SEG_MODELS
from ...core.settings import Choice, Option, Settings, options

_MAKERS = {bool: BoolProperty, int: IntProperty, float: FloatProperty, str: StringProperty}


def _property(option: Option) -> Any:
    """The declaration of one option, as an annotation of a property group holds it."""
    words: dict[str, Any] = {"name": option.label, "description": option.help}
    if issubclass(option.type, Choice):
        items = [(str(choice), choice.label, choice.help) for choice in option.type]
        return EnumProperty(**words, items=items, default=str(option.default))
    if option.name == "model":
        items = [(m.name, m.label, f"Licence: {m.licence}") for m in MODELS]
        return EnumProperty(**words, items=items, default=option.default)
    words["default"] = option.default
    if option.name == "seg_model":  # a name of the table, or the path of a network of one's own
        return StringProperty(**words, search=_networks, search_options={"SUGGESTION"})
    if option.subtype:
        words["subtype"] = option.subtype
    return _MAKERS[option.type](**words, **option.limits)


def _networks(_settings: PropertyGroup, _context: Context, typed: str) -> list[tuple[str, str]]:
    """Names that hold what was typed, or all, each with what it is."""
    names = [(m.name, f"{m.label}, {m.licence}") for m in SEG_MODELS]
    return [row for row in names if typed.lower() in row[0]] or names


DA3_PG_settings = type(
    "DA3_PG_settings",
    (PropertyGroup,),
    {"__doc__": "The settings of a scene", "__annotations__": {o.name: _property(o) for o in options()}},
)


def rounded_resolution(asked: int) -> int:
    """The process resolution (pixels) that is used where ``asked`` is set."""
    return Settings(process_resolution=asked).resolution


def read(scene: Scene) -> Settings:
    """The scene's settings, paths made absolute."""
    values = {o.name: getattr(scene.da3, o.name) for o in options()}
    values |= {o.name: bpy.path.abspath(values[o.name]) for o in options() if o.is_path or o.name == "seg_model"}
    return Settings.from_strings(values)


def write(scene: Scene, settings: Settings) -> None:
    """Set the scene's settings."""
    for name, value in settings.to_json().items():
        setattr(scene.da3, name, value)


CLASSES = (DA3_PG_settings,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    Scene.da3 = PointerProperty(type=DA3_PG_settings)


def unregister() -> None:
    del Scene.da3
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
