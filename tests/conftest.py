"""Every test imports the checkout as ``da3_blender``, like the worker does."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
runpy.run_path(str(ROOT / "core" / "mount.py"))["mount"]()
