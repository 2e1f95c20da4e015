"""Where things are; and the checkout under its package's name, with the tests' helpers, for whoever imports this."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "support"  # helpers of the tests
for _folder in (ROOT / "tools", TESTS):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
import paths  # noqa: E402  # of tools/

runpy.run_path(str(ROOT / "core" / "package.py"))["make_importable"]()
blender_python, worker_environment, boot_uv = paths.blender_python, paths.worker_environment, paths.boot_uv
