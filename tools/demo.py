"""A folder of images becomes a scene, as a user would do it: installs the zip into an isolated Blender, then generates.

Run with the interpreter that has bpy. Blender itself runs in a fresh process with preferences and extensions of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import build_zip
import paths

OUT = paths.ROOT / "out"
RESULTS = [OUT / "courtyard.blend", OUT / "courtyard.png", OUT / "courtyard.json"]

# Runs inside the fresh Blender: sys.argv is [-c, zip, arguments of generate...].
INSIDE = """
import importlib, sys
import bpy
zip_file, *arguments = sys.argv[1:]
bpy.ops.extensions.package_install_files(
    filepath=zip_file, repo="user_default", enable_on_install=True, overwrite=True)
cli = importlib.import_module("bl_ext.user_default.da3_blender.operators.command_line.cli")
sys.exit(cli.main(arguments))
"""


def main() -> int:
    started = time.monotonic()
    zip_file = build_zip.build(paths.ROOT, paths.ROOT / "dist")
    problems = build_zip.validate(zip_file)
    if problems is not None:
        print(f"{zip_file} is not a valid extension:\n{problems}", file=sys.stderr)
        return 1
    OUT.mkdir(exist_ok=True)
    for result in RESULTS:
        result.unlink(missing_ok=True)  # what is there afterwards is this run's
    blend, picture, report = map(str, RESULTS)
    generate = ["generate", "--input", str(paths.ROOT / "sample_images" / "courtyard"), "--model", "classic"]
    generate += ["--output", blend, "--render", picture, "--report", report]
    with tempfile.TemporaryDirectory(prefix="da3-demo-") as resources:
        environ = {
            **os.environ,
            "BLENDER_USER_RESOURCES": resources,
            "DA3_ENVIRONMENT": str(paths.worker_environment()),
        }
        code = subprocess.call([sys.executable, "-c", INSIDE, str(zip_file), *generate], env=environ, cwd=paths.ROOT)
    if code != 0:
        print(f"The demo failed: generate ended with exit code {code}", file=sys.stderr)
        return code
    absent = [str(result) for result in RESULTS if not result.is_file()]
    if absent:
        print(f"The demo failed: generate said it went well, but did not write {', '.join(absent)}", file=sys.stderr)
        return 1
    for result in RESULTS:
        print(result)
    print(summary(json.loads(Path(report).read_text("utf-8")), time.monotonic() - started))
    return 0


def summary(report: dict, seconds: float) -> str:
    """One line about a run from its report."""
    return (
        f"{report['frames']} images, model {report['model']}: {len(report['cameras'])} cameras and "
        f"{report['points']:,} points in {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
