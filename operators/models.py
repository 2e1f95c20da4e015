"""Unload Model."""

from __future__ import annotations

import bpy
from bpy.types import Context, Operator

from .session import session


class DA3_OT_unload_model(Operator):
    """Free the memory that the loaded model holds"""

    bl_idname = "da3.unload_model"
    bl_label = "Unload Model"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if session(context).job is not None:
            cls.poll_message_set("A job is running")
            return False
        if session(context).model is None:
            cls.poll_message_set("No model is loaded")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        name = session(context).model
        session(context).unload()
        self.report({"INFO"}, f"{name} is unloaded")
        return {"FINISHED"}


CLASSES = (DA3_OT_unload_model,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
