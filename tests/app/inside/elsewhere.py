"""Esc and right-click that are not meant for the run: in other editors and while an animation plays; then those that are.

The worker has a stand-in for its model ($DA3_PREDICTOR) with a pass of ten seconds, so a run is there at every press.
"""

import os
import random
import time

import bpy
import driver as ui

PRESSES = 20
STANDS = 0.6  # seconds after a press in which a run would have ended
dice = random.Random(11)
NEVER = ("OUTLINER", "PROPERTIES", "DOPESHEET_EDITOR")


def running():
    """Have a run, in the middle of its pass."""
    if ui.session().job is None:
        if "courtyard" in bpy.data.collections:
            with ui.over():
                bpy.ops.da3.delete_run()  # it takes the processor half a second to draw
        ui.generate()
        yield from ui.until(lambda: ui.session().status.stage == "model" or ui.session().job is None)


def press(how, place, x, y):
    ui.keys.press(f"move {round(place.x + x * place.width)} {ui.window().height - round(place.y + y * place.height)}")
    yield 0.15
    moment = ui.keys.press(how)
    return moment


def scenario():
    ui.install()
    os.environ["DA3_PREDICTOR"] = f"{os.environ['DA3_STAND_INS']}:slow"
    ui.choose("da3-small", 84)
    yield from ui.open_tab()
    ui.preferences().show_colours = False  # the processor draws here
    ui.keys.press("move 400 500")
    ended = []
    for number in range(PRESSES):
        yield from running()
        job, how = ui.session().job, dice.choice(("key Escape", "button 3"))
        plays = number % 2 == 1
        if plays:
            with ui.over():
                bpy.ops.screen.animation_play()
            yield 0.3
            kind = dice.choice(("VIEW_3D", *NEVER))
        else:
            kind = dice.choice(NEVER)
        yield from press(how, ui.region("WINDOW", ui.area(kind)), dice.uniform(0.2, 0.8), dice.uniform(0.3, 0.7))
        yield STANDS
        played = any(w.screen.is_animation_playing for w in bpy.context.window_manager.windows)
        if number == 3:
            ui.shot("while_it_plays")
        if ui.session().job is not job and ui.session().status.outcome == "Cancelled":
            ended.append((number, how, kind, plays))
        ui.record(number=number, how=how, over=kind, plays=plays, still_plays=played, runs=ui.session().job is job)
        if how == "button 3":  # its menu goes
            ui.keys.press("key Escape")
            yield 0.2
        if any(w.screen.is_animation_playing for w in bpy.context.window_manager.windows):
            with ui.over():
                bpy.ops.screen.animation_cancel(restore_frame=True)
            yield 0.2
    ui.record(presses=PRESSES, ended_runs=ended)

    yield from running()
    yield from press("button 3", ui.region("WINDOW"), 0.4, 0.5)
    yield 0.8
    ui.shot("asked")
    ui.record(asked_and_runs=ui.session().job is not None)
    ui.keys.press("key Escape")  # no
    yield 0.5
    ui.record(runs_after_no=ui.session().job is not None or ui.session().status.outcome != "Cancelled")

    seconds = []
    for _ in range(5):
        yield from running()
        ui.keys.press(f"move {ui.region().x + 100} {ui.window().height - ui.region().y - 300}")
        yield 0.3
        ui.keys.send("key Escape", 0.2)
        while ui.session().job is not None:
            yield 0.002
        back = time.monotonic()
        seconds.append(round(back - ui.keys.moment(), 3))
    yield from ui.settle()
    ui.shot("stopped")
    ui.record(esc_over_the_tab=seconds, outcome=ui.session().status.outcome)
    ui.session().close()
