"""``scene.da3``: Blender's properties, made from the table in ``core/settings.py``."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty
from bpy.types import Context, PropertyGroup, Scene

from ...core.frames.input_files import SEPARATOR, inputs_of
from ...core.models.catalogue import MODELS
from ...core.models.segmentation_catalogue import SEG_MODELS
from ...core.options.presets import QUALITIES, Quality, Result, options_for, quality_of, results_of
from ...core.settings import Choice, Option, Settings, options
from ...nodes.datablocks import disc_nodes, splat_nodes

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
    if option.subtype and option.name != "input":  # which has a chooser of its own, for folders and files
        words["subtype"] = option.subtype
    return _MAKERS[option.type](**words, **option.limits)


def _networks(_settings: PropertyGroup, _context: Context, typed: str) -> list[tuple[str, str]]:
    """Names that hold what was typed, or all, each with what it is."""
    names = [(m.name, f"{m.label}, {m.licence}") for m in SEG_MODELS]
    return [row for row in names if typed.lower() in row[0]] or names


DISCS = "Points that are drawn as flat discs on the surfaces, with fewer holes, or as dots"  # where no splats are
AUTOMATIC = "auto_"  # before an option's name: whether it is left at the number that its word stands for


def _automatic(option: Option) -> Any:
    """A switch between an option's word and a number of one's own."""

    def put(self: PropertyGroup, is_automatic: bool) -> None:
        if is_automatic != (getattr(self, option.name) == option.default):
            setattr(self, option.name, option.default if is_automatic else option.type(option.instead))

    return BoolProperty(
        name=option.word, description=option.help, set=put,
        get=lambda self: bool(getattr(self, option.name) == option.default),
    )  # fmt: skip


def _items(choices: type[Choice]) -> list[tuple[str, str, str, str, int]]:
    words = {choice: (choice.label, choice.help) for choice in choices}
    if Result.SPLATS in words and not splat_nodes.DRAWN:
        words[Result.SPLATS] = disc_nodes.SWITCH, DISCS
    return [(str(choice), *words[choice], "NONE", 1 << number) for number, choice in enumerate(choices)]


def _get_quality(self: PropertyGroup) -> int:
    quality = Quality.CUSTOM if self.is_custom else quality_of(_values(self))
    return 1 << list(Quality).index(quality)


def _set_quality(self: PropertyGroup, value: int) -> None:
    quality = next(q for number, q in enumerate(Quality) if value == 1 << number)
    self.is_custom = quality is Quality.CUSTOM
    for name, wanted in QUALITIES.get(quality, {}).items():
        setattr(self, name, wanted)


def _get_results(self: PropertyGroup) -> int:
    return sum(1 << number for number, result in enumerate(Result) if result in results_of(_values(self)))


def _set_results(self: PropertyGroup, value: int) -> None:
    wanted = {result for number, result in enumerate(Result) if value & 1 << number}
    for name, is_on in options_for(wanted, _values(self)).items():
        setattr(self, name, is_on)


def _values(settings: PropertyGroup) -> dict[str, Any]:
    return {o.name: getattr(settings, o.name) for o in options()}


#: For the panel: they set options and read them back.
_PRESETS = {
    "quality": EnumProperty(
        name="Quality", description="Resolution and passes; Custom leaves both to Advanced", items=_items(Quality),
        get=_get_quality, set=_set_quality,
    ),
    "is_custom": BoolProperty(
        name="Custom", description="Whether Custom was chosen, whatever resolution and passes are", options={"HIDDEN"}
    ),
    "results": EnumProperty(
        name="Result", description="What a run makes: one, or with Shift several", items=_items(Result),
        options={"ENUM_FLAG"}, get=_get_results, set=_set_results,
    ),
    **{AUTOMATIC + o.name: _automatic(o) for o in options() if o.word},
}  # fmt: skip

DA3_PG_settings = type(
    "DA3_PG_settings",
    (PropertyGroup,),
    {"__doc__": "The settings of a scene", "__annotations__": {o.name: _property(o) for o in options()} | _PRESETS},
)


def rounded_resolution(asked: int) -> int:
    """The process resolution (pixels) that is used where ``asked`` is set."""
    return Settings(process_resolution=asked).resolution


def read(scene: Scene) -> Settings:
    """The scene's settings, paths made absolute."""
    values = _values(scene.da3)
    values |= {o.name: bpy.path.abspath(values[o.name]) for o in options() if o.is_path or o.name == "seg_model"}
    more = inputs_of("", values["more_inputs"])[1:]
    return Settings.from_strings({**values, "more_inputs": SEPARATOR.join(map(bpy.path.abspath, more))})


def write(scene: Scene, settings: Settings) -> None:
    """Set the scene's settings. Blender's strings are UTF-8: of a file's name that is not, the odd bytes become "?"."""
    for name, value in settings.to_json().items():
        setattr(scene.da3, name, value.encode("utf-8", "replace").decode() if isinstance(value, str) else value)


CLASSES = (DA3_PG_settings,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    Scene.da3 = PointerProperty(type=DA3_PG_settings)


def unregister() -> None:
    del Scene.da3
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
