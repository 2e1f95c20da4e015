"""What a running job shows in Blender's windows: timer, progress at the mouse, status bar, fresh panels."""

from __future__ import annotations

import time

import bpy
from bpy.types import Context, Region, Window

from ..state.session import Session, status_text

TAB = "DA3"  # of the sidebar
SHOWING = {"VIEW_3D": {"UI"}, "PREFERENCES": {"WINDOW"}}  # regions that show progress, by area
INTERVAL = 0.2  # seconds from one drawing of the progress to the next, at least
LONGEST = 1.0  # seconds; at most
SHARE = 0.1  # of all time, what drawing the progress may take: without a graphics card it takes cores from the worker


class Display:
    """Ticks and progress of one job. Holds no operator: Blender may take that away at any time.

    Parameters
    ----------
    window : the one whose events the job gets
    tick : seconds between two timer events
    """

    def __init__(self, context: Context, window: Window, tick: float, session: Session):
        self._session = session
        manager = context.window_manager
        self._timer = manager.event_timer_add(tick, window=window)
        self._listening = {window.as_pointer()}  # the windows in which Esc is heard
        manager.progress_begin(0, 1000)
        self._open = True
        self._shown = 0.0
        self._pause = INTERVAL
        self._asked: float | None = None  # when a drawing was asked for, until the tick after it
        self._told: tuple[object, ...] = ()  # what is on the screen

    def show(self) -> None:
        """Draw the progress, now and then; called at every tick."""
        now = time.monotonic()
        if self._asked is not None:  # Blender has drawn since
            self._pause = min(max(INTERVAL, (now - self._asked) / SHARE), LONGEST)
            self._asked = None
        if not self._open or now - self._shown < self._pause:
            return
        self._shown = now
        context, status = bpy.context, self._session.status
        self._listen(context)
        workspaces = [window.workspace for window in context.window_manager.windows]
        told = (repr(status), *workspaces)
        if told == self._told:
            return
        self._told, self._asked = told, now
        context.window_manager.progress_update(round(status.fraction * 1000))
        for workspace in workspaces:
            workspace.status_text_set(f"{status.title}: {status_text(status)}  |  Esc over the 3D view: cancel")
        redraw(context)

    def _listen(self, context: Context) -> None:
        """Have Esc heard in the other windows too, such as the preferences, also in those that are opened meanwhile."""
        for window in context.window_manager.windows:
            if window.as_pointer() not in self._listening:
                self._listening.add(window.as_pointer())
                with context.temp_override(window=window):
                    bpy.ops.da3.listen("INVOKE_DEFAULT")

    def close(self) -> None:
        """Take it all away; again is no harm."""
        if not self._open:
            return
        self._open = False
        context = bpy.context
        manager = context.window_manager
        if manager:
            manager.event_timer_remove(self._timer)
            manager.progress_end()
        for workspace in bpy.data.workspaces:  # all: the person may have gone from one to another
            workspace.status_text_set(None)
        redraw(context)


def redraw(context: Context) -> None:
    """Ask every region that shows progress to draw itself anew; where none does, Blender draws nothing."""
    for window in context.window_manager.windows if context.window_manager else ():
        for area in window.screen.areas:
            for region in area.regions:
                if region.type in SHOWING.get(area.type, ()) and _is_open(region):
                    region.tag_redraw()


def _is_open(region: Region) -> bool:
    """Whether a region is to be seen, and of a sidebar the tab that shows progress."""
    return region.width > 1 and (region.type != "UI" or region.active_panel_category == TAB)
