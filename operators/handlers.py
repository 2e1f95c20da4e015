"""What Blender tells of: undo, redo, and that another file is about to be opened."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent
from bpy.types import WindowManager

from .state.session import Status


@persistent
def scene_was_replaced(*_: object) -> None:
    """After an undo or redo a running job must not trust what it holds of the scene."""
    job = WindowManager.da3_session.job
    if job:
        job.scene_was_replaced()


@persistent
def file_is_left(*_: object) -> None:
    """Before another file is read: a run cannot go on in it, and its half-built batch must go while it is still there."""
    job = WindowManager.da3_session.job
    if job:
        job.cancel()


@persistent
def file_was_read(*_: object) -> None:
    """What was told of a run in another file is not told in this one."""
    session = WindowManager.da3_session
    if session.job is None:
        session.status = Status()


def _lists() -> list[tuple[list, object]]:  # type: ignore[type-arg]
    handlers = bpy.app.handlers
    return [
        (handlers.undo_post, scene_was_replaced),
        (handlers.redo_post, scene_was_replaced),
        (handlers.load_pre, file_is_left),
        (handlers.load_post, file_was_read),
    ]


def register() -> None:
    for handlers, function in _lists():
        handlers.append(function)


def unregister() -> None:
    for handlers, function in _lists():
        handlers.remove(function)
