"""What a run sets on the scene it builds into."""

from __future__ import annotations

from collections.abc import Iterable

import bpy


def frame_range(scene: bpy.types.Scene, frames: Iterable[int]) -> None:
    """Fit the timeline to the input: timeline frame k is input frame k, the value of the attribute ``frame``."""
    first, last = min(frames := list(frames)), max(frames)
    scene.frame_start = first
    scene.frame_end = last
    scene.frame_start = first  # again: Blender moves whichever of the two the other would overtake


def photo_colors(scene: bpy.types.Scene) -> None:
    """Show photographs as they are, without the film-like curve that new scenes of Blender start with.

    For scenes that we make ourselves (the command line's, the preview's). A person's open scene keeps its own: the
    curve is a choice about everything in it, not only about our points.
    """
    view = scene.view_settings
    view.view_transform, view.look = "Standard", "None"
    view.exposure, view.gamma = 0.0, 1.0
