"""Every test imports the checkout as ``da3_blender``, like the worker does."""

import runpy
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
runpy.run_path(str(ROOT / "core" / "package.py"))["make_importable"]()


@pytest.fixture(autouse=True)
def own_kept_runs(tmp_path, monkeypatch):
    """A test's runs are kept in a folder of its own, not among the user's."""
    monkeypatch.setenv("DA3_KEPT_RUNS", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """Where the client makes its private folders."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
