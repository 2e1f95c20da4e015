"""Add > Depth Anything 3 in the 3D view: all that can be done, for the keyboard and for Blender's menu search (F3)."""

from __future__ import annotations

import bpy
from bpy.types import Context, Menu

ENTRIES = (
    ("da3.choose_input", "FILEBROWSER"), ("da3.generate", "PLAY"), ("da3.cancel", "CANCEL"), None,
    ("da3.set_upright", "EMPTY_SINGLE_ARROW"), ("da3.scale_by_distance", "DRIVER_DISTANCE"),
    ("da3.rebuild", "FILE_REFRESH"), ("da3.merge_points", "AUTOMERGE_ON"), ("da3.fuse", "MESH_ICOSPHERE"),
    ("da3.split_by_object", "MOD_EXPLODE"), None,
    ("da3.fetch_model", "IMPORT"), ("da3.free_model", "NONE"), ("da3.remove_model", "TRASH"),
    ("da3.bring_models", "FILE_FOLDER"), None,
    ("da3.set_up_dependencies", "IMPORT"), ("da3.repair_dependencies", "TOOL_SETTINGS"),
    ("da3.remove_dependencies", "TRASH"), ("da3.check_device", "VIEWZOOM"),
)  # fmt: skip


class DA3_MT_menu(Menu):
    """All that the add-on can do"""

    bl_idname = "DA3_MT_menu"
    bl_label = "Depth Anything 3"

    def draw(self, _context: Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"  # the menu above sets another, which would wait for the end
        for entry in ENTRIES:
            if entry is None:
                layout.separator()
            else:
                layout.operator(entry[0], icon=entry[1])


def draw_in_add(self: Menu, _context: Context) -> None:
    """The line in the 3D view's Add menu."""
    self.layout.separator()
    self.layout.menu(DA3_MT_menu.bl_idname, icon="OUTLINER_OB_POINTCLOUD")


CLASSES = (DA3_MT_menu,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.VIEW3D_MT_add.append(draw_in_add)


def unregister() -> None:
    bpy.types.VIEW3D_MT_add.remove(draw_in_add)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
