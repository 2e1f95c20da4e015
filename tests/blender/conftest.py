"""Every test of this folder starts from an empty Blender file."""

import os
import sys
from pathlib import Path

import bpy
import pictures
import pytest
from da3_blender import addon

EXIT_STATUS = pytest.StashKey[int]()

STAND_INS = Path(__file__).resolve().parents[1] / "support" / "stand_ins.py"


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Blender 4.2 and 4.5 as modules may crash or hang in their own clean-up, with or without the add-on."""
    if bpy.app.version < (5, 0, 0):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(EXIT_STATUS, 1))


@pytest.fixture(autouse=True)
def empty_file():
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def scene(empty_file) -> bpy.types.Scene:
    return bpy.context.scene


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Chooses what the next worker has instead of a model."""
    loads = tmp_path / "loads.txt"
    loads.touch()
    monkeypatch.setenv("DA3_STAND_IN_LOG", str(loads))

    def choose(name):
        monkeypatch.setenv("DA3_PREDICTOR", f"{STAND_INS}:{name}")
        return loads

    choose("quick")
    return choose


@pytest.fixture
def enabled(empty_file, temp, stand_in, tmp_path, monkeypatch):
    """The add-on, registered, with a scene whose input is three pictures."""
    folder = tmp_path / "models"
    folder.mkdir()
    pictures.write_model(folder / "da3-small.safetensors")  # a stand-in is loaded instead
    monkeypatch.setenv("DA3_MODELS", str(folder))
    addon.register()
    settings = bpy.context.scene.da3
    settings.input = str(pictures.write(tmp_path / "wall"))
    settings.model = "da3-small"
    settings.process_resolution = 56
    settings.filter_edges = False
    yield bpy.context.window_manager.da3_session
    addon.unregister()
    assert list(temp.iterdir()) == [], "files of a worker are left"
