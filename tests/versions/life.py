"""Runs inside a fresh Blender of any version: the zip's life from installation to removal. Writes what it saw as JSON.

``life.py ZIP INPUT OUTPUT_FOLDER``
"""

import importlib
import json
import os
import sys
from pathlib import Path

import bpy

NAME = "bl_ext.user_default.da3_blender"
zip_file, pictures, output = sys.argv[1:]
seen: dict[str, object] = {"blender": bpy.app.version_string, "python": ".".join(map(str, sys.version_info[:3]))}


def look(moment):
    """What is registered, and which heavy modules Blender's own process has imported."""
    seen[moment] = {
        "enabled": NAME in bpy.context.preferences.addons,
        "operator": hasattr(bpy.types, "DA3_OT_generate"),
        "panel": hasattr(bpy.types, "DA3_PT_main"),
        "settings": hasattr(bpy.types.Scene, "da3"),
        "session": hasattr(bpy.types.WindowManager, "da3_session"),
        "heavy": sorted({"torch", "cv2", "depth_anything_3"} & set(sys.modules)),
        "on_disk": Path(bpy.utils.user_resource("EXTENSIONS"), "user_default", "da3_blender", "__init__.py").exists(),
    }


bpy.ops.extensions.package_install_files(filepath=zip_file, repo="user_default", enable_on_install=True, overwrite=True)
look("installed")
bpy.ops.preferences.addon_disable(module=NAME)
look("disabled")
bpy.ops.preferences.addon_enable(module=NAME)
look("enabled_again")

cli = importlib.import_module(f"{NAME}.operators.command_line.cli")
words = ["generate", "--input", pictures, "--model", "classic", "--output", f"{output}/scene.blend"]
seen["exit_code"] = cli.main([*words, "--report", f"{output}/report.json"])
look("generated")

repos = bpy.context.preferences.extensions.repos
index = next(i for i, repo in enumerate(repos) if repo.module == "user_default")
bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="da3_blender")
look("uninstalled")
Path(output, "life.json").write_text(json.dumps(seen, indent=1), "utf-8")
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)  # Blender 4.2 and 4.5 as modules may crash or hang in their own clean-up, with or without the add-on
