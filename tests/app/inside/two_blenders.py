"""Two Blenders at once, one environment and one model folder: both repair, both download the same model, both generate.

$DA3_STAND_INS: what generates, instead of a model of gigabytes. They wait for each other before every step.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import importlib

import bpy
from driver import (
    NAME,
    OUT,
    ROLE,
    choose,
    generate,
    install,
    open_tab,
    over,
    play,
    preferences,
    record,
    session,
    settle,
    shot,
    until,
)  # fmt: skip

PLACE = Path("/var/tmp/da3-two")


def until_exists(file: Path):
    while not file.exists():
        yield 0.1


def together(step: str):
    """Wait until both are here."""
    (OUT / f"{step}.{ROLE}").touch()
    yield from until(lambda: len(list(OUT.glob(f"{step}.*"))) == 2, 120, 0.01)


def ended(step: str, started: float):
    yield from until(lambda: session().job is None, 300)
    status = session().status
    record(step=step, outcome=status.outcome, failed=status.failed, seconds=round(time.monotonic() - started, 1))


def scenario():
    if ROLE == "left":
        install()
        (OUT / "installed").touch()
    else:  # Blender lets only one install at a time
        yield from until_exists(OUT / "installed")
        bpy.context.preferences.system.use_online_access = True
        bpy.ops.extensions.repo_refresh_all()
        bpy.ops.preferences.addon_enable(module=NAME)
    yield from open_tab()
    preferences().hub_endpoint, preferences().model_folder = os.environ["DA3_HUB"], str(PLACE / "models")
    choose("da3-small", 252)

    yield from together("repair")
    with over():
        bpy.ops.da3.repair_dependencies("INVOKE_DEFAULT")
    yield from ended("repair", time.monotonic())

    yield from together("download")
    started = time.monotonic()
    with over():
        bpy.ops.da3.fetch_model("INVOKE_DEFAULT", model="da3-small")
    yield from settle()
    shot(f"download_{ROLE}")
    yield from ended("download", started)
    files = importlib.import_module(f"{NAME}.core.models.files")
    record(
        models=[model.name for model in files.recognise(PLACE / "models").models],
        files=sorted(file.name for file in (PLACE / "models").iterdir()),
    )

    os.environ["DA3_PREDICTOR"] = f"{os.environ['DA3_STAND_INS']}:quick"
    yield from together("generate")
    started = time.monotonic()
    generate()
    yield from ended("generate", started)
    os.environ.pop("DA3_PREDICTOR")
    session().close()

    choose("classic", 252)
    yield from together("classic")
    started = time.monotonic()
    generate()
    yield from ended("classic", started)
    yield from together("leave")


play(scenario)
