"""Runs every benchmark with the interpreter that it says it needs; one that falls short of a claim fails the whole.

run_all.py [NAME ...]      as in: run_all.py building enable
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import paths

HERE = Path(__file__).resolve().parent


def main(names: list[str]) -> int:
    failed = []
    for file in sorted(HERE.glob("*/*.py")):
        name = file.stem
        if name in ("open3d_fusion", "splats_render") or (names and name not in names):
            continue
        in_blender = "import bpy" in file.read_text("utf-8")
        python = Path(sys.executable) if in_blender else paths.executable(paths.worker_environment(), "python")
        environ = {**os.environ, "DA3_ENVIRONMENT": str(paths.worker_environment())}
        if not in_blender:
            environ["PYTHONPATH"] = str(paths.test_packages())
        if not names:
            environ["DA3_ALL_BENCHMARKS"] = "1"  # nobody has asked for this one: it is not to download much
        print(f"--- {name}", flush=True)
        if subprocess.call([str(python), str(file)], env=environ, cwd=paths.ROOT) != 0:
            failed.append(name)
    print(f"fell short or failed: {', '.join(failed)}" if failed else "every benchmark ran through")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
