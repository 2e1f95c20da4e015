"""The first hour, at two widths of the sidebar: a picture of every state that a person meets. For docs/images and docs/first_hour.md."""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bpy
from driver import (
    COURTYARD,
    NAME,
    generate,
    install,
    keys,
    open_tab,
    play,
    record,
    region,
    session,
    settle,
    shot,
    until,
)  # fmt: skip

WIDTHS = (291, 211)
PANELS = ("geometry", "motion", "cameras", "files", "advanced")
LANGUAGES = ("de_DE", "zh_HANS")


def open_all():
    """The sub-panels, to be registered one by one, open."""
    classes = list(sys.modules[f"{NAME}.panels.sidebar"].SUB_PANELS)
    for cls in classes:
        bpy.utils.unregister_class(cls)
        cls.bl_options = set()
    return classes


def narrow(width: int):
    """Draw the sidebar's edge to where it gets that width."""
    place, of = region(), window_height()
    y = of - (place.y + place.height - 300)
    keys.press(f"move {place.x} {y}")
    yield 0.5
    keys.press("down 1")
    yield 0.2
    steps = 8
    for step in range(1, steps + 1):
        keys.press(f"move {place.x + (291 - width) * step // steps} {y}")
        yield 0.08
    keys.press("up 1")
    yield 0.3
    keys.press("move 400 600")
    yield from settle()


def window_height():
    return bpy.context.window_manager.windows[0].height


def picture(width: int, name: str):
    yield from settle()
    shot(f"{width}_{name}")


def scenario():
    install()
    classes = open_all()
    pictures = shutil.copytree(COURTYARD, "/tmp/courtyard", dirs_exist_ok=True)
    empty = Path("/tmp/empty")
    empty.mkdir()
    yield from open_tab()
    for width in WIDTHS:
        settings = bpy.context.scene.da3
        if width != WIDTHS[0]:
            yield from narrow(width)
        record(width=region().width)
        settings.property_unset("model")
        settings.input = ""
        yield from settle()
        record(first_model=settings.model)
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
        session().forget_environment()
        yield from picture(width, "0_install")
        os.environ["DA3_ENVIRONMENT"] = os.environ["DA3_KEPT_ENVIRONMENT"]
        session().forget_environment()
        for language in LANGUAGES:
            view = bpy.context.preferences.view
            view.language, view.use_translate_interface = language, True
            yield from picture(width, f"7_{language}")
            view.language = "en_US"
        if width == WIDTHS[0]:
            settings.quality = "draft"  # what is to be seen is the same
            generate()
            yield from until(lambda: session().status.fraction > 0.1 or session().job is None, 120)
            yield from picture(width, "8_running")
            yield from until(lambda: session().job is None, 500)
            record(outcome=session().status.outcome, failed=session().status.failed)
            yield 6.0  # shaders are compiled
        yield from picture(width, "9_result")
        for language in LANGUAGES:
            view.language = language
            yield from picture(width, f"9_{language}")
            view.language = "en_US"


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


play(scenario)
