"""How long Blender takes to enable the add-on (claim: under 100 ms), in a Blender of its own. Run with the interpreter
that has bpy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ENABLE = """
import time
import bpy, numpy, addon_utils
name = "bl_ext.user_default.da3_blender"
started = time.perf_counter()
assert addon_utils.enable(name)
print(time.perf_counter() - started)
addon_utils.disable(name)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        extensions = Path(folder) / "resources" / "extensions" / "user_default"
        extensions.mkdir(parents=True)
        (extensions / "da3_blender").symlink_to(ROOT, target_is_directory=True)
        environ = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(Path(folder) / "resources"),
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        seconds = []
        for _ in range(6):
            done = subprocess.run(
                [sys.executable, "-c", ENABLE], capture_output=True, text=True, env=environ, check=True
            )
            seconds.append(float(done.stdout.splitlines()[-1]))
    print(
        f"enabling: {seconds[0] * 1e3:.0f} ms the first time (compiles), then {sorted(seconds[1:])[2] * 1e3:.0f} ms (median of 5)"
    )


if __name__ == "__main__":
    main()
