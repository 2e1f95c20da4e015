"""A whole run of the courtyard with ``classic``: how long the interface stands still at most, and what Blender alone takes.

There is no graphics card: the processor that computes also draws, 40 ms for the smallest part of the window and 70 ms for
all of it. So antialiasing and overlays are off, and the view is turned away from the cloud, which leaves what the add-on
can do something about; a last run with the cloud in view tells what drawing it adds here.
"""

import importlib
import statistics
import sys
import time

import bpy
import driver as ui
from gaps import Gaps

TIMES = 7  # that each thing is done by Blender alone
REST = 0.6  # seconds between two of them
AWAY = (1e4, 1e4, 1e4), 1.0


def scenario():
    ui.install()
    yield from ui.open_tab()
    importlib.import_module(f"{ui.NAME}.operators.jobs.showing").Showing.show = lambda *_: (
        None
    )  # it would turn the view back
    bpy.context.preferences.system.viewport_aa = "OFF"
    ui.area().spaces.active.overlay.show_overlays = False
    ui.area().spaces.active.show_gizmo = False
    view = ui.area().spaces.active.region_3d
    home = view.view_location.copy(), view.view_distance
    for name, place in (("away", AWAY), ("away, without our redraws", AWAY), ("on the cloud", home)):
        ui.choose()
        bpy.ops.ed.undo_push(message="settings")
        view.view_location, view.view_distance = place
        yield from ui.settle()
        yield from run(name, shows_progress="without" not in name)
        if name == "away":
            yield from alone()
        ui.shot(f"whole_run_{name.replace(',', '').replace(' ', '_')}")
        with ui.over():
            bpy.ops.ed.undo()
        yield 0.5


def run(name, *, shows_progress):
    """A run, measured to half a second after its end."""
    display = sys.modules[f"{ui.NAME}.operators.jobs.display"].Display
    show = display.show
    if not shows_progress:
        display.show = lambda self: None
    busy = []
    yield from ui.busy_cores(busy)
    gaps, started = Gaps(), time.monotonic()
    ui.generate()
    yield from ui.until(lambda: ui.session().job is None, 300)
    seconds = time.monotonic() - started
    yield 0.5
    gaps.close()
    display.show = show
    yield from ui.busy_cores(busy)
    ui.record(
        view=name,
        outcome=ui.session().status.outcome,
        failed=ui.session().status.failed,
        longest=gaps.longest(),
        working=gaps.longest(shows=False),
        showing=gaps.longest(shows=True),
        start=round(gaps.start or 0.0, 3),
        worst=gaps.worst(),
        over_50_ms=sum(gap.seconds > 0.05 for gap in gaps.all),
        ticks=len(gaps.all),
        seconds=round(seconds, 1),
        busy=busy,
    )


def alone():
    """The same things done by Blender itself: no job, no operator, the worker idle."""
    cloud = next(obj for obj in bpy.context.scene.objects if obj.type == "MESH" and len(obj.data.vertices) > 10_000)
    empty = bpy.data.objects.new("empty", None)
    cloud.users_collection[0].objects.unlink(cloud)
    objects = bpy.context.scene.collection.objects
    found = {}
    for name, act in (
        ("nothing", lambda: None),
        ("sidebar", lambda: ui.region().tag_redraw()),
        ("everything", ui.redraw),
        ("empty", lambda: objects.link(empty)),
        ("cloud", lambda: objects.link(cloud)),
    ):
        longest = []
        for _ in range(TIMES):
            yield REST
            gaps = Gaps(of_a_job=False)
            yield 0.1
            act()
            yield REST
            gaps.close()
            longest.append(gaps.longest())
            for obj in (empty, cloud):
                if obj.name in objects:
                    objects.unlink(obj)
        found[name] = [min(longest), statistics.median(longest), max(longest)]
    ui.record(alone=found)
