"""Add > Depth Anything 3 in the 3D view: what makes something new. All else has its button where it belongs."""

from __future__ import annotations

import bpy
from bpy.types import Context, Menu


class DA3_MT_menu(Menu):
    """Point clouds and cameras from images"""

    bl_idname = "DA3_MT_menu"
    bl_label = "Depth Anything 3"

    def draw(self, _context: Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"  # the menu above sets another, which would wait for the end
        layout.operator("da3.generate", icon="PLAY")
        layout.operator("da3.import_images", icon="IMAGE_DATA")


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
