"""Blender's ``poll``, with the reason why not: a button that is disabled shows it."""

from __future__ import annotations

from bpy.types import Context, Operator

from .session import session


class PollMessage:
    """Mix into an ``Operator``, before it."""

    @classmethod
    def poll(cls: type[Operator], context: Context) -> bool:
        reason = cls.why_not(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    @classmethod
    def why_not(cls, context: Context) -> str:
        """Why it cannot be used now, as the person reads it; empty where it can. Cheap: asked on every redraw.

        Unless derived: while a job runs.
        """
        return why_busy(context)


def why_busy(context: Context) -> str:
    """That a job runs, which most operators wait for; empty where none does."""
    return "A job is running" if session(context).job is not None else ""
