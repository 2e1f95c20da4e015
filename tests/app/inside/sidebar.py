"""A run by keys alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from driver import (
    area,
    choose,
    install,
    keys,
    open_tab,
    play,
    record,
    session,
    shot,
    until,
)  # fmt: skip


def scenario():
    install()
    yield from open_tab()
    choose()
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
