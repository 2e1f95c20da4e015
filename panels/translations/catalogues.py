"""Gives the catalogues to Blender, which looks into them where its own have not what is to be shown."""

from __future__ import annotations

import bpy

from .chinese import CHINESE
from .german import GERMAN

#: By Blender's name of the language.
CATALOGUES = {"de_DE": GERMAN, "zh_HANS": CHINESE}
CONTEXTS = ("*", "Operator")  # in which Blender looks labels up, and names of buttons
NAME = __package__


def register() -> None:
    words = {
        language: {(context, text): translated for text, translated in known.items() for context in CONTEXTS}
        for language, known in CATALOGUES.items()
    }
    bpy.app.translations.register(NAME, words)


def unregister() -> None:
    bpy.app.translations.unregister(NAME)
