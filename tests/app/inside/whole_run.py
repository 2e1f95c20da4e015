"""A whole run of the courtyard with ``classic``: how long the interface stands still at most.

There is no graphics card: the processor that computes also draws, 80 ms for an empty 3D view. So antialiasing and overlays
are off, and in the first run the view is turned away from the cloud, which leaves the add-on's part; the second, with the
cloud in view, tells what drawing adds here.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import time

import bpy
from driver import (
    Gaps,
    area,
    choose,
    generate,
    install,
    load,
    open_tab,
    over,
    play,
    record,
    session,
    settle,
    shot,
    until,
)


def scenario():
    install()
    yield from open_tab()
    bpy.context.preferences.system.viewport_aa = "OFF"
    area().spaces.active.overlay.show_overlays = False
    area().spaces.active.show_gizmo = False
    view = area().spaces.active.region_3d
    home = view.view_location.copy(), view.view_distance
    for away in (True, False):
        choose()
        bpy.ops.ed.undo_push(message="settings")
        view.view_location, view.view_distance = ((1e4, 1e4, 1e4), 1.0) if away else home
        yield from settle()
        gaps, started, before = Gaps(), time.monotonic(), load()
        generate()
        yield from until(lambda: session().job is None, 300)
        yield 0.5
        longest = gaps.close()
        record(
            view="away" if away else "on the cloud",
            outcome=session().status.outcome,
            failed=session().status.failed,
            longest=round(longest, 3),
            start=round(gaps.start or 0.0, 3),
            worst=gaps.worst(),
            over_50_ms=sum(gap > 0.05 for gap, _, _ in gaps.timer),
            ticks=len(gaps.timer),
            seconds=round(time.monotonic() - started, 1),
            load=[round(before, 1), round(load(), 1)],
        )
        shot(f"whole_run_{'away' if away else 'cloud'}")
        with over():
            bpy.ops.ed.undo()
        yield 0.5


play(scenario)
