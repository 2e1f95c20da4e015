"""Every word of the panel is in every catalogue."""

import ast
import re
from pathlib import Path

import bpy
import pytest
from da3_blender import addon
from da3_blender.core.devices import support
from da3_blender.core.errors import Cancelled
from da3_blender.core.frames import found
from da3_blender.core.models import catalogue
from da3_blender.core.options import choices, presets
from da3_blender.core.options.option import Choice
from da3_blender.core.settings import options
from da3_blender.operators.jobs import generation
from da3_blender.operators.state import kept_run, needs, run_properties
from da3_blender.panels import boxes, sidebar
from da3_blender.panels.translations import catalogues

PANELS = Path(__file__).resolve().parents[3] / "panels"
NO_WORDS = re.compile(r"[^A-Za-z]*")
PLACES = {"text", "placeholder"}  # keywords whose value is shown
SAYING = {"tr", "label", "Lack", "Found"}  # functions that are handed what is shown


def constants(node):
    """The texts that an expression may be; of f-strings and names nothing."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from constants(node.left)
        yield from constants(node.right)


def said_in(file):
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        for word in node.keywords:
            if word.arg in PLACES or (name in SAYING and word.arg == "problem"):
                yield from constants(word.value)
        if name in SAYING:
            for argument in node.args:
                yield from constants(argument)


def shown():
    """All texts that the tab, its menus and the preferences may show, as they stand in the code."""
    files = [*PANELS.glob("*.py"), Path(needs.__file__), Path(found.__file__), Path(kept_run.__file__)]
    files += [Path(generation.__file__)]
    texts = {text for file in files for text in said_in(file)}
    texts |= {needs.NO_INPUT, kept_run.NOT_KEPT, boxes.SIZES, *(words[1] for words in boxes.INSTALL_WORDS.values())}
    texts |= {text for o in options() for text in (o.label, o.word)}
    kinds = [kind for module in (choices, presets) for kind in vars(module).values() if isinstance(kind, type)]
    texts |= {choice.label for kind in kinds if issubclass(kind, Choice) for choice in kind}
    texts |= set(sidebar.TITLES.values()) | {model.purpose for model in catalogue.MODELS}
    texts |= {words[0] for words in run_properties.VISIBLE.values()}
    texts |= {d.keywords["name"] for d in run_properties.DA3_PG_run.__annotations__.values()}
    texts |= {support.INTEL_MAC, support.OLD_MACOS, support.WINDOWS_ARM, support.LINUX_ARM, support.MUSL}
    texts |= {
        str(Cancelled()),
        "Quality",
        "Result",
        "The dependencies are not installed",
    }  # core/installer/environment.py
    classes = [cls for module in addon.MODULES for cls in getattr(module, "CLASSES", ())]
    texts |= {cls.bl_label for cls in classes if issubclass(cls, bpy.types.Operator) and cls.__name__ in BUTTONS}
    upper = re.compile(r"[A-Z_0-9]+")  # an icon's name
    return {text for text in texts if not NO_WORDS.fullmatch(text) and not upper.fullmatch(text)}


#: Operators that show their own name.
BUTTONS = {
    "DA3_OT_generate", "DA3_OT_show_colours", "DA3_OT_rebuild", "DA3_OT_merge_points", "DA3_OT_refine_splats", "DA3_OT_fuse",
    "DA3_OT_split_by_object", "DA3_OT_set_upright", "DA3_OT_scale_by_distance", "DA3_OT_use_for_rendering",
    "DA3_OT_export_points", "DA3_OT_delete_run", "DA3_OT_free_model", "DA3_OT_import_images", "DA3_OT_photo_colors", "DA3_OT_set_up_shot",
    "DA3_OT_tracks_as_empties",
}  # fmt: skip


@pytest.mark.parametrize("language", catalogues.CATALOGUES)
def test_every_text_of_the_panel_is_in_the_catalogue(language):
    known = catalogues.CATALOGUES[language]
    assert sorted(shown() - set(known)) == []


@pytest.mark.parametrize("language", catalogues.CATALOGUES)
def test_a_translation_keeps_what_is_filled_in(language):
    for text, translated in catalogues.CATALOGUES[language].items():
        assert translated.strip(), text
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", translated)), text


def test_no_catalogue_has_what_nobody_shows():
    for language, known in catalogues.CATALOGUES.items():
        assert set(known) - shown() == set(), language
