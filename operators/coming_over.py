"""What DA3-blender has left, seen to: the script of its that loads torch into every Blender."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event, Operator

from ..core.errors import DA3Error
from .state import original
from .state.session import session


class DA3_OT_disable_torch_preload(Operator):
    """Rename the script of DA3-blender that loads its PyTorch into every Blender, so that it does not run any more. It outlives that add-on; if you still use it, leave the script"""

    bl_idname = "da3.disable_torch_preload"
    bl_label = "Switch Off Torch Preload"

    script: StringProperty(  # type: ignore[valid-type]
        name="Script", description="The file", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self, event, title="Switch Off Torch Preload?",
            message="The file is renamed to end in .disabled; nothing of it is lost. DA3-blender writes it anew when it installs.",
            confirm_text="Switch Off",
        )  # fmt: skip

    def execute(self, context: Context) -> set[str]:
        try:
            renamed = original.switch_off(Path(self.script))
        except (DA3Error, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        session(context).original.forget()
        self.report({"INFO"}, f"It is now called '{renamed}', and is not run from the next start on")
        return {"FINISHED"}


CLASSES = (DA3_OT_disable_torch_preload,)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
