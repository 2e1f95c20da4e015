"""Whether a key or a click is meant for the running job, or for something else that the person does meanwhile."""

from __future__ import annotations

import enum

import bpy
from bpy.types import Area, Context, Event, Region

ASIDE = {"UI", "TOOLS", "HEADER", "TOOL_HEADER", "ASSET_SHELF", "ASSET_SHELF_HEADER", "TOOL_PROPS", "HUD", "EXECUTE"}


class Wish(enum.Enum):
    """What a person wants of the job."""

    NOTHING = enum.auto()
    MAYBE = enum.auto()  # ask
    STOP = enum.auto()


def wish(context: Context, event: Event) -> Wish:
    """Esc stops over the 3D view and over what shows the progress; a right-click in the 3D view asks first.

    All else is somebody else's: other editors, a playing animation, a render. Menus, text fields and tools hear a key
    before this does.
    """
    if event.value != "PRESS" or event.type not in {"ESC", "RIGHTMOUSE"} or is_elsewhere(context):
        return Wish.NOTHING
    area = _area_at(context, event)
    if area is None:
        is_progress = event.type == "ESC" and _is_status_bar(context, event)
        return Wish.STOP if is_progress else Wish.NOTHING
    region = _region_at(area, event)
    kind = region.type if region else ""
    if event.type == "ESC":
        over = {"VIEW_3D": {"UI", "WINDOW"}, "PREFERENCES": {"WINDOW"}}.get(area.type, set())
        return Wish.STOP if kind in over else Wish.NOTHING
    is_menu = area.type == "VIEW_3D" and kind == "WINDOW" and not _selects_by_right_click(context)
    return Wish.MAYBE if is_menu else Wish.NOTHING


def is_elsewhere(context: Context) -> bool:
    """Whether something runs that Esc stops in Blender itself."""
    playing = any(window.screen.is_animation_playing for window in context.window_manager.windows)
    return playing or bpy.app.is_job_running("RENDER")


def _area_at(context: Context, event: Event) -> Area | None:
    window = context.window
    return next((area for area in window.screen.areas if _is_in(area, event)), None) if window else None


def _region_at(area: Area, event: Event) -> Region | None:
    """The region under the pointer; those at the side lie over the view."""
    found = [region for region in area.regions if region.width > 1 and region.height > 1 and _is_in(region, event)]
    return next((region for region in found if region.type in ASIDE), found[0] if found else None)


def _is_in(part: Area | Region, event: Event) -> bool:
    across, up = event.mouse_x - part.x, event.mouse_y - part.y
    return 0 <= across < part.width and 0 <= up < part.height


def _is_status_bar(context: Context, event: Event) -> bool:
    """Below all editors is the bar that shows the progress."""
    window = context.window
    return window is not None and event.mouse_y < min((area.y for area in window.screen.areas), default=0)


def _selects_by_right_click(context: Context) -> bool:
    chosen = context.window_manager.keyconfigs.active.preferences
    return getattr(chosen, "select_mouse", "LEFT") == "RIGHT"
