"""Collections: ``<input name>`` > objects and ``Cameras``; where there are several batches, ``<input name>_Batch_<k>`` between."""

from __future__ import annotations

import bpy

from ...core.files.names import cut, readable

# Bytes of UTF-8 in a datablock's name.
LONGEST_NAME = 255 if bpy.app.version >= (5, 0, 0) else 63
# Left free, so that Blender's own ".001" never eats the end of a name.
ROOM_FOR_NUMBER = 4
# What a run's name leaves free for a number and its batches', so that no name of theirs is cut, and each stays its own.
ROOM_FOR_BATCHES = ROOM_FOR_NUMBER + len("_Batch_999_Points")
# What an object or a collection was built as, whatever a person calls it now.
PART = "da3_part"


def fitting(base: str, suffix: str = "") -> str:
    """``base + suffix`` as a datablock's name; where that is too long, ``base`` is cut, between two characters."""
    suffix = readable(suffix)
    return cut(readable(base), LONGEST_NAME - ROOM_FOR_NUMBER - len(suffix.encode())) + suffix


def new_top(input_name: str) -> bpy.types.Collection:
    """The collection of a run, not linked yet; a second run's is called ``<input name>.001``."""
    name = fitting(input_name or "DA3", "_" * ROOM_FOR_BATCHES)
    return bpy.data.collections.new(name[:-ROOM_FOR_BATCHES])


def new_batch(top: bpy.types.Collection, number: int) -> bpy.types.Collection:
    """The collection of batch ``number``, not linked yet, named after the run's collection as it is really called."""
    return bpy.data.collections.new(fitting(top.name, f"_Batch_{number}"))
