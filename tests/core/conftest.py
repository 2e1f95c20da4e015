"""What the tests of the installer share."""

import hashlib
import runpy
import sys
from pathlib import Path

import pytest
from da3_blender.core.installer.environment import Environment
from pebble import NAME, wheel

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def uv(request):
    sys.path.insert(0, str(ROOT / "tools"))
    request.addfinalizer(lambda: sys.path.remove(str(ROOT / "tools")))
    path = runpy.run_path(str(ROOT / "tools" / "paths.py"))["boot_uv"]()
    if not path.is_file():
        pytest.skip("no uv has been set up (make python)")
    return path


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of wheels, named to uv the way a user would name one, with a cache of its own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / NAME).write_bytes(wheel())
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    return folder


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "lock.txt"
    path.write_text(f"pebble==1.0 --hash=sha256:{hashlib.sha256(wheel()).hexdigest()}\n")
    return path


@pytest.fixture
def environment(tmp_path, lock, uv):
    return Environment(tmp_path / "place with spaces" / "worker", lock=lock, modules=["pebble"], uv=uv)
