"""Esc and right-click that are not meant for the run: in other editors and while an animation plays; then those that are.

The worker has a stand-in for its model ($DA3_PREDICTOR) with a pass of ten seconds, so a run is there at every press.
"""

import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bpy
from driver import (
    area,
    choose,
    generate,
    install,
    keys,
    open_tab,
    over,
    play,
    preferences,
    record,
    region,
    session,
    settle,
    shot,
    until,
    window,
)

PRESSES = 20
STANDS = 0.6  # seconds after a press in which a run would have ended
dice = random.Random(11)
NEVER = ("OUTLINER", "PROPERTIES", "DOPESHEET_EDITOR")


def running():
    """Have a run, in the middle of its pass."""
    if session().job is None:
        if "courtyard" in bpy.data.collections:
            with over():
                bpy.ops.da3.delete_run()  # it takes the processor half a second to draw
        generate()
        yield from until(lambda: session().status.stage == "model" or session().job is None)


def press(how, place, x, y):
    keys.press(f"move {round(place.x + x * place.width)} {window().height - round(place.y + y * place.height)}")
    yield 0.15
    moment = keys.press(how)
    return moment


def scenario():
    install()
    os.environ["DA3_PREDICTOR"] = f"{os.environ['DA3_STAND_INS']}:slow"
    choose("da3-small", 84)
    yield from open_tab()
    preferences().show_colours = False  # the processor draws here
    keys.press("move 400 500")
    ended = []
    for number in range(PRESSES):
        yield from running()
        job, how = session().job, dice.choice(("key Escape", "button 3"))
        plays = number % 2 == 1
        if plays:
            with over():
                bpy.ops.screen.animation_play()
            yield 0.3
            kind = dice.choice(("VIEW_3D", *NEVER))
        else:
            kind = dice.choice(NEVER)
        yield from press(how, region("WINDOW", area(kind)), dice.uniform(0.2, 0.8), dice.uniform(0.3, 0.7))
        yield STANDS
        played = any(w.screen.is_animation_playing for w in bpy.context.window_manager.windows)
        if number == 3:
            shot("while_it_plays")
        if session().job is not job and session().status.outcome == "Cancelled":
            ended.append((number, how, kind, plays))
        record(number=number, how=how, over=kind, plays=plays, still_plays=played, runs=session().job is job)
        if how == "button 3":  # its menu goes
            keys.press("key Escape")
            yield 0.2
        if any(w.screen.is_animation_playing for w in bpy.context.window_manager.windows):
            with over():
                bpy.ops.screen.animation_cancel(restore_frame=True)
            yield 0.2
    record(presses=PRESSES, ended_runs=ended)

    yield from running()
    yield from press("button 3", region("WINDOW"), 0.4, 0.5)
    yield 0.8
    shot("asked")
    record(asked_and_runs=session().job is not None)
    keys.press("key Escape")  # no
    yield 0.5
    record(runs_after_no=session().job is not None or session().status.outcome != "Cancelled")

    seconds = []
    for _ in range(5):
        yield from running()
        keys.press(f"move {region().x + 100} {window().height - region().y - 300}")
        yield 0.3
        keys.send("key Escape", 0.2)
        while session().job is not None:
            yield 0.002
        back = time.monotonic()
        seconds.append(round(back - keys.moment(), 3))
    yield from settle()
    shot("stopped")
    record(esc_over_the_tab=seconds, outcome=session().status.outcome)
    session().close()


play(scenario)
