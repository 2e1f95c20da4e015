"""How long Blender takes to enable the add-on (claim: under 100 ms), in a Blender of its own. Run with the interpreter
that has bpy.

The first time its own files are compiled. Those of Python and of Blender are compiled before: Blender has used them when it
installed the extension.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring

TIMES = 5

ENABLE = """
import time
import bpy, numpy, addon_utils
name = "bl_ext.user_default.da3_blender"
started = time.perf_counter()
assert addon_utils.enable(name)
print(time.perf_counter() - started)
addon_utils.disable(name)
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        resources, compiled = Path(folder) / "resources", Path(folder) / "compiled"
        extensions = resources / "extensions" / "user_default"
        extensions.mkdir(parents=True)
        (extensions / "da3_blender").symlink_to(measuring.ROOT, target_is_directory=True)
        environ = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(resources),
            "PYTHONPYCACHEPREFIX": str(compiled),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        enable(environ)  # compiles everything
        ours = compiled / extensions.relative_to(extensions.anchor) / "da3_blender"
        first, later = [], []
        for _ in range(TIMES):
            shutil.rmtree(ours)
            first.append(enable(environ))
            later.append(enable(environ))
    claims = measuring.Claims()
    compiling = claims.at_most("enabling", statistics.median(first) * 1e3, 100, ".0f")
    print(
        f"enabling: {compiling} ms the first time (compiles), then {statistics.median(later) * 1e3:.0f} ms; medians of {TIMES}"
    )
    return claims.verdict()


def enable(environ: dict[str, str]) -> float:
    """Seconds that a new Blender takes."""
    command = [sys.executable, "-c", ENABLE]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
