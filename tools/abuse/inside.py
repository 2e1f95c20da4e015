"""Scripts for Blender's Python: what a person does with buttons, and what the command line takes no words for.

inside.py look FILE.blend            cameras and clouds of a scene, as JSON: it opens, so it is whole
inside.py rebuild FILE.blend         Rebuild on a saved run
inside.py install LOCK UV WORDS...   ``da3 install``, with a lock file and a uv of the campaign's
inside.py keep BYTES WORDS...        any command, with room for so many bytes of kept runs
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from pathlib import Path

import abuse_paths  # mounts the package
import bpy


def look(file: str) -> int:
    bpy.ops.wm.open_mainfile(filepath=file)
    objects = bpy.data.objects
    clouds = [len(obj.data.vertices) for obj in objects if obj.type == "MESH"]
    print(json.dumps({"cameras": sum(obj.type == "CAMERA" for obj in objects), "points": sum(clouds)}))
    return 0


def rebuild(file: str) -> int:
    from da3_blender import addon

    addon.register()
    bpy.ops.wm.open_mainfile(filepath=file)
    code = 0
    try:
        if bpy.ops.da3.rebuild.poll():
            bpy.ops.da3.rebuild()
        else:
            print("da3: not offered", file=sys.stderr)
            code = 1
    except RuntimeError as error:  # how Blender passes on what an operator reports
        text = str(error).removeprefix("Error: ").strip()
        print(f"da3: {text}" if "\n" not in text else text, file=sys.stderr)
        code = 1
    clouds = [len(obj.data.vertices) for obj in bpy.data.objects if obj.type == "MESH"]
    print(json.dumps({"points": sum(clouds)}), flush=True)
    addon.unregister()
    return code


def install(lock: str, uv: str, *words: str) -> int:
    from da3_blender.core.installer.environment import Environment
    from da3_blender.operators.command_line import cli

    cli.Environment = functools.partial(Environment, lock=Path(lock), modules=["pebble"], uv=Path(uv))
    return command(*words)


def keep(limit: str, *words: str) -> int:
    from da3_blender.operators.command_line import cli

    places = cli.places
    cli.places = lambda context: dataclasses.replace(places(context), kept_bytes=int(limit))
    return command(*words)


def command(*words: str) -> int:
    from da3_blender import addon
    from da3_blender.operators.command_line import cli

    addon.register()
    code = cli.main(list(words))
    addon.unregister()
    return code


if __name__ == "__main__":
    assert abuse_paths.ROOT
    sys.exit({"look": look, "rebuild": rebuild, "install": install, "keep": keep}[sys.argv[1]](*sys.argv[2:]))
