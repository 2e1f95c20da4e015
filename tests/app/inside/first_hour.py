"""The first hour, at two widths of the sidebar: a picture of every state that a person meets. For docs/images and docs/first_hour.md."""

import ctypes
import os
import shutil
import struct
import sys
from pathlib import Path

import bpy
import driver as ui

ARRAY = 1000  # bytes of Blender's memory that are looked into
MARGIN = 16  # pixels by which a region over another is wider than its number says
WIDTHS = (291, 211)
PANELS = ("geometry", "motion", "cameras", "files", "advanced")
TAB = 244  # pixels from the top of the window, of the tab DA3
LANGUAGES = ("de_DE", "zh_HANS")


def open_all():
    """The sub-panels, to be registered one by one, open."""
    classes = list(sys.modules[f"{ui.NAME}.panels.sidebar"].SUB_PANELS)
    for cls in classes:
        bpy.utils.unregister_class(cls)
        cls.bl_options = set()
    return classes


def narrow(width: int):
    """Give the sidebar that width. Blender's Python cannot: its number is found in Blender's memory, behind what is known
    of the region (``ARegion`` in DNA_screen_types.h: winrct, drawrct, winx, winy, ..., sizex)."""
    for _ in range(3):  # the second time with what the first has shown of Blender's rounding
        place = ui.region()
        if place.width == width:
            return
        start = place.as_pointer()
        memory = ctypes.string_at(start, ARRAY)
        corners = struct.pack("4i", place.x, place.x + place.width - 1, place.y, place.y + place.height - 1)
        behind = memory.index(corners) + 32  # both rectangles
        shorts = struct.unpack("20h", memory[behind : behind + 40])
        number = next(n for n in range(2, 20) if abs(place.width - shorts[n]) <= MARGIN)
        ctypes.c_short.from_address(start + behind + 2 * number).value = shorts[number] + width - place.width
        for is_open in (False, True):
            ui.area().spaces.active.show_region_ui = is_open
            yield from ui.settle()
        ui.region().active_panel_category = "DA3"
        yield from ui.settle()


def picture(width: int, name: str):
    yield from ui.settle()
    ui.shot(f"{width}_{name}")


def scenario():
    ui.install()
    classes = open_all()
    pictures = shutil.copytree(ui.COURTYARD, "/tmp/courtyard", dirs_exist_ok=True)
    empty = Path("/tmp/empty")
    empty.mkdir()
    yield from ui.open_tab()
    for width in WIDTHS:
        settings = bpy.context.scene.da3
        yield from narrow(width)
        ui.record(width=ui.region().width)
        settings.property_unset("model")
        settings.input = ""
        yield from ui.settle()  # the panel is drawn, which has the model chosen
        yield from ui.until(lambda: bpy.context.scene.da3.is_property_set("model"), 20)
        ui.record(first_model=settings.model)
        yield from picture(width, "1_start")
        settings.input = str(empty)
        yield from picture(width, "2_empty_folder")
        settings.input, settings.model = str(pictures), "da3-large-1.1"
        yield from picture(width, "3_model_to_download")
        settings.model = "classic"
        yield from picture(width, "4_ready")
        for cls in classes:
            bpy.utils.register_class(cls)
            yield from picture(width, f"5_{cls.__name__.removeprefix('DA3_PT_')}")
            bpy.utils.unregister_class(cls)
        everything()
        for cls in classes:
            bpy.utils.register_class(cls)
            yield from picture(width, f"6_all_{cls.__name__.removeprefix('DA3_PT_')}")
            bpy.utils.unregister_class(cls)
        nothing()
        os.environ["DA3_ENVIRONMENT"] = "/tmp/no environment"
        ui.session().forget_environment()
        yield from picture(width, "0_install")
        os.environ["DA3_ENVIRONMENT"] = os.environ["DA3_KEPT_ENVIRONMENT"]
        ui.session().forget_environment()
        for language in LANGUAGES:
            view = bpy.context.preferences.view
            view.language, view.use_translate_interface = language, True
            yield from picture(width, f"7_{language}")
            view.language = "en_US"
    yield from in_three_clicks(pictures)
    yield from ui.until(lambda: ui.session().status.fraction > 0.1 or ui.session().job is None, 120)
    yield from picture(WIDTHS[-1], "8_running")
    yield from ui.until(lambda: ui.session().job is None, 500)
    ui.record(outcome=ui.session().status.outcome, failed=ui.session().status.failed)
    yield 6.0  # shaders are compiled
    chosen = bpy.context.selected_objects
    ui.record(
        result=[len(obj.data.vertices) for obj in chosen], shading=ui.area().spaces.active.shading.type,
        cube_hidden=not bpy.data.objects["Cube"].visible_get(),
    )  # fmt: skip
    for width in reversed(WIDTHS):
        yield from narrow(width)
        yield from picture(width, "9_result")
        for language in LANGUAGES:
            bpy.context.preferences.view.language = language
            yield from picture(width, f"9_{language}")
            bpy.context.preferences.view.language = "en_US"


def in_three_clicks(pictures: str):
    """The tab, the chooser, Generate, by mouse; and the folder in the file browser."""
    settings, place = bpy.context.scene.da3, ui.region()
    settings.input, settings.quality = "", "draft"  # what is to be seen is the same
    place.active_panel_category = "Item"
    yield from ui.settle()
    clicks = 1
    ui.keys.press(f"move {place.x + place.width - 10} {TAB}")
    yield 0.3
    ui.keys.press("button 1")
    yield from ui.settle()
    ui.record(tab=ui.region().active_panel_category)
    clicks += 1
    yield from ui.click("da3.choose_input", 1 - 50 / ui.region().width)
    yield from ui.browse(f"{pictures}/", name="browse")
    yield from ui.until(lambda: settings.input, 10)
    yield from ui.settle()
    clicks += 1
    yield from ui.click("da3.generate")
    ui.record(clicks=clicks)


def everything():
    """All rows that there are, as far as they go together."""
    settings = bpy.context.scene.da3
    settings.model, settings.batch_mode, settings.output_folder = "da3-small", "da3_streaming", "/tmp/out"
    for name in ("use_metric", "detect_motion", "use_segmentation", "merge_points", "fuse_frames", "animate_sequence"):
        setattr(settings, name, True)
    settings.known_cameras = "collection"
    settings.end_frame, settings.batch_size, settings.fuse_faces = 12, 4, 1000


def nothing():
    settings = bpy.context.scene.da3
    for name in settings.bl_rna.properties.keys():  # noqa: SIM118  # not a dict
        if name not in ("rna_type", "name", "input"):
            settings.property_unset(name)
    settings.model = "classic"
