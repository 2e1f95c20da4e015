"""Choosing the input: by the file browser, File > Import, or by dropping files onto the 3D view."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, StringProperty
from bpy.types import Context, Event, FileHandler, Menu, Operator, OperatorFileListElement

from ..core.errors import BadInput
from ..core.frames.input_files import IMAGE_SUFFIXES, SEPARATOR, VIDEO_SUFFIXES, select
from .state.needs import why_not
from .state.polling import PollMessage


class _Chooser(PollMessage):
    """Sets the input of the scene from what the file browser, or a drop, hands over. Mix into an ``Operator``."""

    filepath: StringProperty(  # type: ignore[valid-type]
        name="Path", description="The image or video; empty: the folder", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    directory: StringProperty(  # type: ignore[valid-type]
        name="Folder", description="The folder of the images", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    files: CollectionProperty(  # type: ignore[valid-type]
        name="Files", description="Images of the folder; none: all", type=OperatorFileListElement,
        options={"HIDDEN", "SKIP_SAVE"},
    )  # fmt: skip
    display_type: EnumProperty(  # type: ignore[valid-type]
        name="Display", description="How files are shown", items=[("THUMBNAIL", "Thumbnails", "Pictures", 3)],
        options={"HIDDEN", "SKIP_SAVE"},
    )  # fmt: skip
    filter_image: BoolProperty(  # type: ignore[valid-type]
        name="Images", description="Show images", default=True, options={"HIDDEN", "SKIP_SAVE"}
    )
    filter_movie: BoolProperty(  # type: ignore[valid-type]
        name="Videos", description="Show videos", default=True, options={"HIDDEN", "SKIP_SAVE"}
    )
    filter_folder: BoolProperty(  # type: ignore[valid-type]
        name="Folders", description="Show folders", default=True, options={"HIDDEN", "SKIP_SAVE"}
    )

    def invoke(self: Operator, context: Context, _event: Event) -> set[str]:
        if self.files or self.filepath or self.directory:  # dropped
            return self.execute(context)
        now = bpy.path.abspath(context.scene.da3.input)
        if now and Path(now).exists():  # start where the person was
            self.directory = now if Path(now).is_dir() else str(Path(now).parent)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self: Operator, context: Context) -> set[str]:
        try:
            selection = select(self.chosen())
        except (BadInput, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        settings = context.scene.da3
        settings.input, settings.more_inputs = str(selection.path), SEPARATOR.join(map(str, selection.more))
        settings.start_frame, settings.end_frame = selection.start, selection.end
        settings.frame_stride = selection.stride
        return self.go_on(context)

    def chosen(self: Operator) -> list[Path]:
        """The files that were marked, or the folder where none was."""
        folder = bpy.path.abspath(self.directory)
        names = [file.name for file in self.files if file.name]
        if names:
            return [Path(folder, name) for name in names]
        path = bpy.path.abspath(self.filepath or self.directory)
        if not path:
            raise BadInput("Choose a folder of images, an image or a video")
        if not Path(path).exists():
            raise BadInput(f"There is no '{path}'")
        return [Path(path)]

    def go_on(self, context: Context) -> set[str]:
        raise NotImplementedError


class DA3_OT_choose_input(_Chooser, Operator):
    """Choose the input: open a folder and accept to take all images in it, or mark one image, several, or a video"""

    bl_idname = "da3.choose_input"
    bl_label = "Choose Input"
    bl_options = {"UNDO"}
    __annotations__ = _Chooser.__annotations__

    def go_on(self, _context: Context) -> set[str]:
        return {"FINISHED"}


class DA3_OT_import_images(_Chooser, Operator):
    """Make a point cloud and cameras from a folder of images, an image or a video, with the settings of the tab DA3"""

    bl_idname = "da3.import_images"
    bl_label = "Import with DA3"
    bl_options = {"UNDO"}
    __annotations__ = _Chooser.__annotations__

    def go_on(self, context: Context) -> set[str]:
        reason = why_not(context)
        if reason:
            self.report({"WARNING"}, f"The input is set. {reason}: see the tab DA3 in the sidebar (N)")
            show_tab(context)
        else:
            bpy.ops.da3.generate("INVOKE_DEFAULT")
        return {"FINISHED"}


def show_tab(context: Context) -> None:
    """Open the sidebar of a 3D view, where there is one; Blender lets the tab itself be chosen once it is drawn."""
    areas = [area for area in context.screen.areas if area.type == "VIEW_3D"] if context.screen else []
    if areas:
        areas[0].spaces.active.show_region_ui = True


class DA3_FH_images(FileHandler):
    """Images and videos that are dropped onto the 3D view (Blender hands over no folders)"""

    bl_idname = "DA3_FH_images"
    bl_label = "Depth Anything 3"
    bl_import_operator = "da3.import_images"
    bl_file_extensions = ";".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


def draw_import(self: Menu, _context: Context) -> None:
    """The line in File > Import."""
    self.layout.operator("da3.import_images", text="DA3 Images (folder, image or video)")


CLASSES = (DA3_OT_choose_input, DA3_OT_import_images, DA3_FH_images)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(draw_import)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(draw_import)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
