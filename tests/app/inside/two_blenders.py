"""Two Blenders at once, one environment and one model folder: both repair, both download the same model, both generate.

$DA3_STAND_INS: what generates, instead of a model of gigabytes. They wait for each other before every step.
"""

import importlib
import os
import time
from pathlib import Path

import bpy
import driver as ui

PLACE = Path("/var/tmp/da3-two")


def until_exists(file: Path):
    while not file.exists():
        yield 0.1


def together(step: str):
    """Wait until both are here."""
    (ui.OUT / f"{step}.{ui.ROLE}").touch()
    yield from ui.until(lambda: len(list(ui.OUT.glob(f"{step}.*"))) == 2, 120, 0.01)


def ended(step: str, started: float):
    yield from ui.until(lambda: ui.session().job is None, 300)
    status = ui.session().status
    ui.record(step=step, outcome=status.outcome, failed=status.failed, seconds=round(time.monotonic() - started, 1))


def scenario():
    if ui.ROLE == "left":
        ui.install()
        (ui.OUT / "installed").touch()
    else:  # Blender lets only one install at a time
        yield from until_exists(ui.OUT / "installed")
        bpy.context.preferences.system.use_online_access = True
        bpy.ops.extensions.repo_refresh_all()
        bpy.ops.preferences.addon_enable(module=ui.NAME)
    yield from ui.open_tab()
    ui.preferences().hub_endpoint, ui.preferences().model_folder = os.environ["DA3_HUB"], str(PLACE / "models")
    ui.choose("da3-small", 252)

    yield from together("repair")
    with ui.over():
        bpy.ops.da3.repair_dependencies("INVOKE_DEFAULT")
    yield from ended("repair", time.monotonic())

    yield from together("download")
    started = time.monotonic()
    with ui.over():
        bpy.ops.da3.fetch_model("INVOKE_DEFAULT", model="da3-small")
    yield from ui.settle()
    ui.shot(f"download_{ui.ROLE}")
    yield from ended("download", started)
    files = importlib.import_module(f"{ui.NAME}.core.models.files")
    ui.record(
        models=[model.name for model in files.recognise(PLACE / "models").models],
        files=sorted(file.name for file in (PLACE / "models").iterdir()),
    )

    os.environ["DA3_PREDICTOR"] = f"{os.environ['DA3_STAND_INS']}:quick"
    yield from together("generate")
    started = time.monotonic()
    ui.generate()
    yield from ended("generate", started)
    os.environ.pop("DA3_PREDICTOR")
    ui.session().close()

    ui.choose("classic", 252)
    yield from together("classic")
    started = time.monotonic()
    ui.generate()
    yield from ended("classic", started)
    yield from together("leave")
