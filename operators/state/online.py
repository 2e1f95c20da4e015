"""Whether the add-on may use the network: asked before anything reaches for it."""

from __future__ import annotations

import bpy

from ...core.errors import DA3Error


def allowed(asked: bool = False) -> bool:
    """Blender's Allow Online Access, or ``--online`` where Blender was not started with ``--offline-mode``.

    Parameters
    ----------
    asked : whether the command line says ``--online``, which machines without Blender's preferences need
    """
    return bool(bpy.app.online_access or (asked and not bpy.app.online_access_override))


def require(what: str, asked: bool = False) -> None:
    """Raise ``DA3Error`` where the network may not be used; ``what``: begins the sentence."""
    if not allowed(asked):
        raise DA3Error(
            f"{what} needs the network, and Online Access is off: allow it in Blender's System preferences, or add --online"
        )
