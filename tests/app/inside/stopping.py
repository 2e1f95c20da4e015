"""Esc at random moments of a generate, a download and an installation.

$DA3_MOMENTS: how many of each, as ``generate=7,download=7,install=6``.
"""

import importlib
import os
import random
import shutil
import time
from pathlib import Path

import bpy
import driver as ui

PLACE = Path("/var/tmp/da3")  # of models and environments: a disk, not the memory that /tmp is here
LONGEST = {"generate": 16.0, "download": 4.0, "install": 25.0}  # seconds; later there is often nothing left to stop
PATIENCE = 30.0  # seconds that cleaning up behind the person's back may take: gigabytes on a slow disk
HUB_RATE = 3_000_000  # bytes per second
MEGABYTES = 20
dice = random.Random(3)


def scenario():
    ui.install()
    yield from ui.open_tab()
    bpy.context.preferences.system.use_online_access = True
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    ui.keys.press("move 400 500")
    for part in os.environ["DA3_MOMENTS"].split(","):
        kind, count = part.split("=")
        yield from {"generate": generates, "download": downloads, "install": installs}[kind](int(count))


def stop(kind, number, kept=()):
    """Press at a random moment of the job that has just begun; measure until Blender's main loop is seen to be back."""
    delay = dice.uniform(0.05, LONGEST[kind])
    how = "key Escape"
    ui.keys.send(how, delay)
    family, stage, began = {}, "", time.monotonic()
    while ui.session().job is not None:  # as any other timer of Blender's would find it
        if time.monotonic() - began < delay - 0.3:
            family |= ui.descendants()
            yield 0.05
        else:
            stage = f"{ui.session().status.stage} {ui.session().status.fraction:.0%}"
            yield 0.002
    back = time.monotonic()
    pressed = ui.keys.moment()
    status = ui.session().status
    if pressed > back:
        return None
    end, left = back + PATIENCE, family
    while time.monotonic() < end:
        family |= ui.descendants()
        left = {pid: words for pid, words in family.items() if ui.alive(pid) and pid not in kept and pid != worker()}
        if not left and not rubbish(kind):
            break
        yield 0.02
    ui.record(
        kind=kind, how=how, after=round(delay, 2), stage=stage, seconds=round(back - pressed, 3), outcome=status.outcome,
        processes=list(left.values()), seen=len(family), rubbish=rubbish(kind), models=models(), load=round(ui.load(), 1),
        clean_after=round(time.monotonic() - back, 2),
    )  # fmt: skip
    return True


def worker():
    """The worker stays, with its loaded model: that is its purpose."""
    client = ui.session()._client
    return client.pid if client else None


def rubbish(kind):
    """Files that should not be there after the stop."""
    found = [*Path("/tmp").glob("da3*/job*")]
    if kind == "install":
        found += [path for path in PLACE.glob("environment*") if path.suffix not in (".log", ".lock")]
    return [str(path) for path in found]


def models():
    """What would be offered as a model."""
    files = importlib.import_module(f"{ui.NAME}.core.models.files")
    contents = files.recognise(PLACE / "models")
    return [model.name for model in contents.models] + [file.name for file in contents.broken]


def repeat(kind, count, begin, after=lambda: None):
    done = tries = 0
    while done < count:
        tries += 1
        if tries > 3 * count + 3:
            raise RuntimeError(f"{kind} ended by itself too often")
        begin()
        hit = yield from stop(kind, done)
        done += bool(hit)
        if done == 1 and hit:
            yield from ui.settle()
            ui.shot(f"stopped_{kind}")
        after()
        yield 0.3


def generates(count):
    ui.choose()

    def after():
        if dice.random() < 0.5:
            ui.session().close()  # the next one begins with the start of a worker

    yield from repeat("generate", count, ui.generate, after)
    ui.session().close()


def downloads(count):
    ui.preferences().hub_endpoint, ui.preferences().model_folder = os.environ["DA3_HUB"], str(PLACE / "models")
    ui.choose("da3-small")

    def begin():
        with ui.over():
            bpy.ops.da3.fetch_model("INVOKE_DEFAULT", model="da3-small")

    def after():
        if models():  # it was complete before the key came: begin anew
            shutil.rmtree(PLACE / "models")

    yield from repeat("download", count, begin, after)
    yield from ui.until(lambda: ui.session().job is None)
    shutil.rmtree(PLACE / "models", ignore_errors=True)


def installs(count):
    ui.preferences().environment_folder = str(PLACE / "environment")

    def begin():
        with ui.over():
            bpy.ops.da3.set_up_dependencies("INVOKE_DEFAULT")

    yield from repeat("install", count, begin)
    shutil.rmtree(PLACE, ignore_errors=True)
