"""What a run sets on the scene it builds into."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

MOST_FPS = 32767  # Blender's limit
#: View settings that show photographs as they are; the looks that there are depend on the view transform, which comes first.
PHOTO = {"view_transform": "Standard", "look": "None", "exposure": 0.0, "gamma": 1.0}


def frame_range(scene: bpy.types.Scene, frames: Iterable[int]) -> None:
    """Fit the timeline to these frames of it."""
    first, last = min(frames := list(frames)), max(frames)
    scene.frame_start = first
    scene.frame_end = last
    scene.frame_start = first  # again: Blender moves whichever of the two the other would overtake


def set_frame_rate(scene: bpy.types.Scene, frame_rate: float) -> None:
    """Frames per second; Blender keeps them as a fraction, such as 30 / 1.001."""
    for name, value in rate_of(frame_rate).items():
        setattr(scene.render, name, value)


def rate_of(frame_rate: float) -> dict[str, float]:
    """Frames per second as Blender keeps them, by the names of a scene's render settings."""
    fps = min(max(1, round(frame_rate)), MOST_FPS)
    return {"fps": fps, "fps_base": fps / frame_rate}


def photo_colors(scene: bpy.types.Scene) -> None:
    """Show photographs as they are, without the film-like curve that new scenes of Blender start with.

    For scenes that we make ourselves (the command line's, the preview's). A person's open scene keeps its own: the
    curve is a choice about everything in it, not only about our points.
    """
    for name, value in PHOTO.items():
        setattr(scene.view_settings, name, value)


def has_photo_colors(scene: bpy.types.Scene) -> bool:
    """Whether the scene shows photographs as they are."""
    return all(getattr(scene.view_settings, name) == value for name, value in PHOTO.items())
