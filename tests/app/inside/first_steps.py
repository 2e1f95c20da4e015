"""From the zip to a cloud, by mouse and keyboard: install from disk, Install Dependencies, input, Generate. Pictures of each."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import bpy
import driver as ui


def scenario():
    zip_file = Path(os.environ["DA3_ZIP"])
    pictures_folder = shutil.copytree(ui.COURTYARD, "/tmp/courtyard")  # a person's folder, and a name for the pictures
    yield 0.5
    # 1. Install from Disk
    with ui.over():
        bpy.ops.extensions.package_install_files("INVOKE_DEFAULT", repo="user_default", enable_on_install=True)
    yield from ui.browse(f"{zip_file.parent}/", zip_file.name, "browse_zip")
    yield from ui.until(lambda: ui.NAME in bpy.context.preferences.addons, 20)
    ui.record(installed=True)
    # 2. the tab, with the key N
    ui.keys.press("move 400 500")
    if not ui.area().spaces.active.show_region_ui:
        ui.keys.press("key n")
    yield 1.0
    yield from ui.open_tab()
    ui.shot("1_no_dependencies")
    # 3. Install Dependencies
    if not bpy.app.online_access:
        bpy.context.preferences.system.use_online_access = True
    yield from ui.settle()
    yield from ui.click("da3.set_up_dependencies")
    yield from ui.until(lambda: ui.session().job is not None, 5)
    started, pictures = time.monotonic(), 0
    while ui.session().job is not None:
        if pictures < 3 and time.monotonic() - started > (3, 15, 40)[pictures]:
            pictures += 1
            ui.shot(f"2_installing_{pictures}")
        yield 0.2
        if time.monotonic() - started > 900:
            raise TimeoutError("the installation takes longer than 15 minutes")
    ui.record(
        dependencies=ui.session().status.outcome, failed=ui.session().status.failed, lines=ui.session().status.lines,
        seconds=round(time.monotonic() - started), load=ui.load(),
    )  # fmt: skip
    if ui.session().status.failed:
        return
    yield from ui.settle()
    ui.shot("3_installed")
    # 4. model and input
    bpy.context.scene.da3.model = "classic"
    yield from ui.settle()
    yield from ui.click("da3.choose_input", 0.83)
    yield from ui.browse(f"{pictures_folder}/", name="browse_input")
    yield from ui.until(lambda: bpy.context.scene.da3.input, 5)
    ui.record(chosen=bpy.context.scene.da3.input)
    yield from ui.settle()
    ui.shot("4_ready")
    # 5. Generate
    yield from ui.click("da3.generate")
    yield from ui.until(lambda: ui.session().job is not None, 5)
    started, pictures = time.monotonic(), 0
    while ui.session().job is not None:
        if pictures < 2 and time.monotonic() - started > (4, 12)[pictures]:
            pictures += 1
            ui.shot(f"5_generating_{pictures}")
        yield 0.1
    ui.record(
        generated=ui.session().status.outcome, failed=ui.session().status.failed, warnings=ui.session().status.warnings
    )
    with ui.over():
        bpy.ops.object.select_all(action="DESELECT")
    ui.area().spaces.active.shading.type = "MATERIAL"
    yield 6.0  # shaders are compiled
    ui.shot("6_cloud")
    camera = next(o for o in bpy.data.objects if o.type == "CAMERA" and o.name != "Camera")
    bpy.context.scene.camera = camera
    with ui.over():
        bpy.ops.view3d.view_camera()
    yield 3.0
    ui.shot("7_through_a_camera")
    # 6. the preferences
    bpy.ops.preferences.addon_show(module=ui.NAME)
    yield 1.0
    subprocess.run("xdotool search --name Preferences windowmove 0 0 windowsize 760 880", shell=True, check=False)
    yield from ui.settle()
    yield 1.0
    ui.record(preferences=bool(ui.preferences()))
    ui.shot("8_preferences")
