"""The sidebar at the width in which Blender opens it, one group of settings after another; then a run by keys alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bpy
from driver import (
    NAME,
    area,
    choose,
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

MODELS = ("da3-large", "classic")  # one that needs a download and cannot be used commercially, one that needs nothing


def scenario():
    install()
    sidebar = sys.modules[f"{NAME}.panels.sidebar"]
    groups = [cls for cls in sidebar.CLASSES if getattr(cls, "bl_parent_id", "")]
    for cls in groups:
        bpy.utils.unregister_class(cls)
        cls.bl_options = set()  # open
    yield from open_tab()
    record(width=region().width, scale=bpy.context.preferences.system.ui_scale)
    for model in MODELS:
        choose(model)
        for cls in groups:
            bpy.utils.register_class(cls)
            yield from settle()
            shot(f"{model}_{cls.__name__.removeprefix('DA3_PT_')}")
            bpy.utils.unregister_class(cls)
    for cls in groups:
        bpy.utils.register_class(cls)
    yield from by_keys()


def by_keys():
    """Sidebar closed and opened, Generate found and started, Esc: the mouse only says that the 3D view is meant."""
    keys.press("move 400 500")
    yield 0.3
    shown = []
    for _ in range(2):
        keys.press("key n")
        yield 1.0
        shown.append(area().spaces.active.show_region_ui)
    record(sidebar_by_key=shown)
    keys.press("key F3")
    yield 0.7
    for letter in "generate":
        keys.press(f"key {letter}")
        yield 0.1
    yield 0.7
    shot("keys_search")
    keys.press("key Return")
    yield from until(lambda: session().job is not None, 10)
    record(started_by_keys=session().job.title)
    yield 1.0
    keys.press("key Escape")
    yield from until(lambda: session().job is None, 10)
    record(stopped_by_keys=session().status.outcome)


play(scenario)
