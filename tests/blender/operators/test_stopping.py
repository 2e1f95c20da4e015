"""What ends a run, and what is somebody else's Esc or right-click."""

import random
from types import SimpleNamespace

import bpy
import pytest
from addon_fixtures import event
from da3_blender.operators.jobs import stopping
from da3_blender.operators.jobs.stopping import Wish, wish

VIEW, SIDEBAR = ("VIEW_3D", "WINDOW"), ("VIEW_3D", "UI")


@pytest.fixture
def context(empty_file):
    """A window whose screen stands still unless a test says otherwise."""
    window = bpy.context.window
    screen = SimpleNamespace(areas=window.screen.areas, is_animation_playing=False)
    own = SimpleNamespace(screen=screen)
    manager = SimpleNamespace(windows=[own], keyconfigs=bpy.context.window_manager.keyconfigs)
    return SimpleNamespace(window=own, window_manager=manager)


def test_esc_over_the_3d_view_stops_and_a_right_click_there_asks(context):
    assert wish(context, event("ESC", "PRESS", VIEW)) is Wish.STOP
    assert wish(context, event("RIGHTMOUSE", "PRESS", VIEW)) is Wish.MAYBE
    assert wish(context, event("ESC", "RELEASE", VIEW)) is Wish.NOTHING


def test_esc_over_the_tab_stops_and_a_right_click_there_is_the_buttons_menu(context):
    area = next(area for area in context.window.screen.areas if area.type == "VIEW_3D")
    sidebar = SimpleNamespace(type="UI", x=area.x + area.width - 240, y=area.y, width=240, height=area.height)
    view = next(region for region in area.regions if region.type == "WINDOW")
    open_area = SimpleNamespace(
        type="VIEW_3D", x=area.x, y=area.y, width=area.width, height=area.height, regions=[view, sidebar]
    )
    context.window.screen.areas = [open_area]
    place = {"mouse_x": sidebar.x + 100, "mouse_y": sidebar.y + 300}
    assert wish(context, event("ESC", "PRESS", **place)) is Wish.STOP
    assert wish(context, event("RIGHTMOUSE", "PRESS", **place)) is Wish.NOTHING


def test_esc_over_the_progress_in_the_status_bar_stops(context):
    assert wish(context, event("ESC", "PRESS", mouse_x=400, mouse_y=5)) is Wish.STOP
    assert wish(context, event("RIGHTMOUSE", "PRESS", mouse_x=400, mouse_y=5)) is Wish.NOTHING


def test_no_key_or_click_in_another_editor_or_in_a_bar_is_heard(context):
    dice = random.Random(7)
    others = [area for area in context.window.screen.areas if area.type != "VIEW_3D"]
    assert others
    for _ in range(200):
        area = dice.choice(others)
        place = {"mouse_x": area.x + dice.randrange(area.width), "mouse_y": area.y + dice.randrange(area.height)}
        assert wish(context, event(dice.choice(["ESC", "RIGHTMOUSE"]), "PRESS", **place)) is Wish.NOTHING
    for bar in ("HEADER", "TOOL_HEADER", "TOOLS"):
        assert wish(context, event("RIGHTMOUSE", "PRESS", ("VIEW_3D", bar))) is Wish.NOTHING


@pytest.mark.parametrize("where", [VIEW, SIDEBAR], ids=["view", "sidebar"])
@pytest.mark.parametrize("key", ["ESC", "RIGHTMOUSE"])
def test_while_an_animation_plays_nothing_stops_the_run(context, where, key):
    context.window.screen.is_animation_playing = True
    assert wish(context, event(key, "PRESS", where)) is Wish.NOTHING


def test_while_a_render_runs_esc_is_the_renders(context, monkeypatch):
    monkeypatch.setattr(stopping.bpy, "app", SimpleNamespace(is_job_running=lambda kind: kind == "RENDER"))
    assert wish(context, event("ESC", "PRESS", VIEW)) is Wish.NOTHING


def test_who_selects_by_right_click_is_not_asked(context):
    context.window_manager.keyconfigs = SimpleNamespace(
        active=SimpleNamespace(preferences=SimpleNamespace(select_mouse="RIGHT"))
    )
    assert wish(context, event("RIGHTMOUSE", "PRESS", VIEW)) is Wish.NOTHING
