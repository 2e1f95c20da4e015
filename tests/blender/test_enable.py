"""Enabling the add-on: quick, light, and as often as one likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from da3_blender import addon

ROOT = Path(__file__).resolve().parents[2]

# In a Blender of its own, whose extension folder holds the checkout.
ENABLE = """
import json, sys
import bpy, numpy, addon_utils
name = "bl_ext.user_default.da3_blender"
before = set(sys.modules)
module = addon_utils.enable(name)
new = set(sys.modules) - before
print(json.dumps({
    "enabled": module is not None,
    "command": hasattr(bpy.types, "DA3_OT_generate"),
    "late": [m for m in ("core.worker.protocol", "core.output.payload", "core.installer.environment", "nodes.assembly")
             if f"{name}.{m}" in new],
    "heavy": sorted({"torch", "cv2", "PIL", "scipy", "pycolmap"} & {m.split(".")[0] for m in new}),
}))
addon_utils.disable(name)
assert not hasattr(bpy.types, "DA3_OT_generate") and not hasattr(bpy.types.Scene, "da3")
"""


@pytest.fixture
def enable(tmp_path):
    extensions = tmp_path / "resources" / "extensions" / "user_default"
    extensions.mkdir(parents=True)
    (extensions / "da3_blender").symlink_to(ROOT, target_is_directory=True)
    variables = {
        **os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "resources"),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled"), "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip

    def enable():
        done = subprocess.run([sys.executable, "-c", ENABLE], capture_output=True, text=True, env=variables, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return enable


def test_enabling_imports_nothing_heavy(enable):
    done = enable()  # how long it takes: tools/bench/speed/enable.py
    assert done["enabled"] and done["command"] and done["heavy"] == []
    assert done["late"] == []  # what only a run needs is imported by it


def test_it_can_be_enabled_and_disabled_again_and_again():
    before = {name for name in dir(bpy.types) if "DA3" in name}
    for _ in range(3):
        addon.register()
        assert bpy.context.scene.da3.batch_mode == "automatic"
        addon.unregister()
        assert {name for name in dir(bpy.types) if "DA3" in name} == before
        assert not hasattr(bpy.types.WindowManager, "da3_session")


def test_no_module_of_blenders_side_imports_what_only_the_worker_has():
    for folder in ("nodes", "operators", "panels"):
        for file in (ROOT / folder).rglob("*.py"):
            for line in file.read_text("utf-8").splitlines():
                words = line.split()
                if words[:1] in (["import"], ["from"]):
                    assert words[1].split(".")[0] not in ("torch", "cv2", "PIL", "pycolmap"), (file, line)
