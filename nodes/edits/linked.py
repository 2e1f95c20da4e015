"""Runs that belong to another file: linked from a library, or overriding one. Nothing here may change or remove them."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from .look import is_built


def why_not_local(run: bpy.types.Collection, *, moves: bool) -> str:
    """Why a run may not be changed; empty where it may.

    Parameters
    ----------
    moves : whether all of its objects are to be changed; else only those that it has built: a person may have linked others
    """
    for made in _parts(run, moves):
        if made.library is not None:
            return (
                f"'{made.name}' is linked from '{bpy.path.basename(made.library.filepath)}': make it local first, or "
                "open that file"
            )
        if made.override_library is not None:
            return f"'{made.name}' is a library override, which only its own file can change: make it local first"
    return ""


def _parts(run: bpy.types.Collection, moves: bool) -> Iterator[bpy.types.ID]:
    yield run
    yield from run.children_recursive
    for obj in run.all_objects:
        own = [obj, obj.data, obj.animation_data.action if obj.animation_data else None]
        foreign = [made for made in own if made is not None and (made.library or made.override_library)]
        if foreign and (moves or is_built(obj)):
            yield from foreign
