"""A run by keys alone."""

import driver as ui


def scenario():
    ui.install()
    yield from ui.open_tab()
    ui.choose()
    yield from by_keys()


def by_keys():
    """Sidebar closed and opened, Generate found and started, Esc: the mouse only says that the 3D view is meant."""
    ui.keys.press("move 400 500")
    yield 0.3
    shown = []
    for _ in range(2):
        ui.keys.press("key n")
        yield 1.0
        shown.append(ui.area().spaces.active.show_region_ui)
    ui.record(sidebar_by_key=shown)
    ui.keys.press("key F3")
    yield 0.7
    for letter in "generate":
        ui.keys.press(f"key {letter}")
        yield 0.1
    yield 0.7
    ui.shot("keys_search")
    ui.keys.press("key Return")
    yield from ui.until(lambda: ui.session().job is not None, 10)
    ui.record(started_by_keys=ui.session().job.title)
    yield 1.0
    ui.keys.press("key Escape")
    yield from ui.until(lambda: ui.session().job is None, 10)
    ui.record(stopped_by_keys=ui.session().status.outcome)
