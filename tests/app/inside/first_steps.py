"""From the zip to a cloud, by mouse and keyboard: install from disk, Install Dependencies, input, Generate. Pictures of each."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bpy
from driver import (
    COURTYARD,
    NAME,
    area,
    browse,
    click,
    keys,
    load,
    open_tab,
    over,
    play,
    preferences,
    record,
    session,
    settle,
    shot,
    until,
)  # fmt: skip


def scenario():
    zip_file = Path(os.environ["DA3_ZIP"])
    pictures_folder = shutil.copytree(COURTYARD, "/tmp/courtyard")  # a person's folder, and a name for the pictures
    yield 0.5
    # 1. Install from Disk
    with over():
        bpy.ops.extensions.package_install_files("INVOKE_DEFAULT", repo="user_default", enable_on_install=True)
    yield from browse(f"{zip_file.parent}/", zip_file.name, "browse_zip")
    yield from until(lambda: NAME in bpy.context.preferences.addons, 20)
    record(installed=True)
    # 2. the tab, with the key N
    keys.press("move 400 500")
    if not area().spaces.active.show_region_ui:
        keys.press("key n")
    yield 1.0
    yield from open_tab()
    shot("1_no_dependencies")
    # 3. Install Dependencies
    if not bpy.app.online_access:
        bpy.context.preferences.system.use_online_access = True
    yield from settle()
    yield from click("da3.set_up_dependencies")
    yield from until(lambda: session().job is not None, 5)
    started, pictures = time.monotonic(), 0
    while session().job is not None:
        if pictures < 3 and time.monotonic() - started > (3, 15, 40)[pictures]:
            pictures += 1
            shot(f"2_installing_{pictures}")
        yield 0.2
        if time.monotonic() - started > 900:
            raise TimeoutError("the installation takes longer than 15 minutes")
    record(
        dependencies=session().status.outcome, failed=session().status.failed, lines=session().status.lines,
        seconds=round(time.monotonic() - started), load=load(),
    )  # fmt: skip
    if session().status.failed:
        return
    yield from settle()
    shot("3_installed")
    # 4. model and input
    bpy.context.scene.da3.model = "classic"
    yield from settle()
    yield from click("da3.choose_input", 0.83)
    yield from browse(f"{pictures_folder}/", name="browse_input")
    yield from until(lambda: bpy.context.scene.da3.input, 5)
    record(chosen=bpy.context.scene.da3.input)
    yield from settle()
    shot("4_ready")
    # 5. Generate
    yield from click("da3.generate")
    yield from until(lambda: session().job is not None, 5)
    started, pictures = time.monotonic(), 0
    while session().job is not None:
        if pictures < 2 and time.monotonic() - started > (4, 12)[pictures]:
            pictures += 1
            shot(f"5_generating_{pictures}")
        yield 0.1
    record(generated=session().status.outcome, failed=session().status.failed, warnings=session().status.warnings)
    with over():
        bpy.ops.object.select_all(action="DESELECT")
    area().spaces.active.shading.type = "MATERIAL"
    yield 6.0  # shaders are compiled
    shot("6_cloud")
    camera = next(o for o in bpy.data.objects if o.type == "CAMERA" and o.name != "Camera")
    bpy.context.scene.camera = camera
    with over():
        bpy.ops.view3d.view_camera()
    yield 3.0
    shot("7_through_a_camera")
    # 6. the preferences
    bpy.ops.preferences.addon_show(module=NAME)
    yield 1.0
    subprocess.run("xdotool search --name Preferences windowmove 0 0 windowsize 760 880", shell=True, check=False)
    yield from settle()
    yield 1.0
    record(preferences=bool(preferences()))
    shot("8_preferences")


play(scenario)
