"""The command line from a checkout, for machines that have the ``bpy`` module and no Blender: ``da3.py generate ...``.

``make -s python`` prints the interpreter to run it with.
"""

from __future__ import annotations

import importlib
import os
import runpy
import shutil
import sys

import paths


def main() -> int:
    os.environ.setdefault("BLENDER_USER_RESOURCES", str(paths.blender_resources()))
    os.environ.setdefault("DA3_ENVIRONMENT", str(paths.worker_environment()))
    import bpy  # after BLENDER_USER_RESOURCES, which it reads once

    runpy.run_path(str(paths.ROOT / "core" / "package.py"))["make_importable"]()
    addon = importlib.import_module("da3_blender.addon")
    cli = importlib.import_module("da3_blender.operators.command_line.cli")
    addon.register()
    code = cli.main(sys.argv[1:])
    addon.unregister()
    if bpy.app.version < (5, 0, 0):  # whose module may crash or hang in its own clean-up
        sys.stdout.flush()
        sys.stderr.flush()
        shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
