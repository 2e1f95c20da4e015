"""What a running job shows in Blender's windows: timer, progress at the mouse, status bar, fresh panels."""

from __future__ import annotations

import time

import bpy
from bpy.types import Context, Window

from .session import Session, status_text

SHOWING = {"VIEW_3D": {"UI"}, "PREFERENCES": {"WINDOW"}}  # regions that show progress, by area
INTERVAL = 0.2  # seconds from one drawing of the progress to the next; drawing costs more than a tick


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

    def show(self) -> None:
        """Draw the progress, now and then."""
        now = time.monotonic()
        if not self._open or now - self._shown < INTERVAL:
            return
        self._shown = now
        context, status = bpy.context, self._session.status
        context.window_manager.progress_update(round(status.fraction * 1000))
        line = f"{status.title}: {status_text(status)}  |  Esc: cancel"
        for window in context.window_manager.windows:
            window.workspace.status_text_set(line)
        redraw(context)
        self._listen(context)

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
    """Ask every region that shows progress to draw itself anew."""
    for window in context.window_manager.windows if context.window_manager else ():
        for area in window.screen.areas:
            for region in area.regions:
                if region.type in SHOWING.get(area.type, ()):
                    region.tag_redraw()
