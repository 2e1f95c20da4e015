"""Blender's half of ``splats.py``: builds the clouds of a folder as a run does, and renders them as dots and as splats.

splats_render.py FOLDER      reads job.json, writes <view>_<dots|splats|refined>.png and told.json; needs Blender 5.3
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measuring  # noqa: F401  # the package is importable after it
import bpy
from da3_blender.core.output.payload import CameraRecord, Part
from da3_blender.nodes import assembly, cameras
from da3_blender.nodes.datablocks import scene as scenes
from da3_blender.nodes.datablocks import splat_nodes
from da3_blender.nodes.edits import look


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text("utf-8"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scenes.photo_colors(scene)
    run = assembly.begin(scene, "splats")
    parts = [Part.open(folder, record) for record in job["parts"]]
    longest, started = 0.0, time.perf_counter()
    steps = assembly.batch_steps(run, 0, parts, [])
    while True:
        before = time.perf_counter()
        try:
            next(steps)
        except StopIteration:
            break
        longest = max(longest, time.perf_counter() - before)
    told = {"build": time.perf_counter() - started, "longest": longest, "seconds": {}}
    told["points"] = sum(len(obj.data.vertices) for obj in look.objects_of(run.top, look.POINTS))
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", job["samples"]
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = (
        "BOX",
        0.5,
    )  # the photographs have been through one already
    scene.render.film_transparent = True
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    records = [CameraRecord.from_json(record) for record in job["views"]]
    built = list(drained(cameras.build_steps(records)))
    for camera in built:
        scene.collection.objects.link(camera)
    for name, is_on in ((name, name != "dots") for name in job["shown"]):
        look.put(run.top, splat_nodes.SWITCH, is_on)
        for record, camera in zip(records, built, strict=True):
            scene.camera = camera
            scene.render.resolution_x, scene.render.resolution_y = record.width, record.height
            scene.render.filepath = str(folder / f"{record.name}_{name}.png")
            before = time.perf_counter()
            bpy.ops.render.render(write_still=True)
            told["seconds"][f"{record.name} {name}"] = time.perf_counter() - before
    if job.get("blend"):
        bpy.ops.wm.save_as_mainfile(filepath=job["blend"])
    (folder / "told.json").write_text(json.dumps(told), "utf-8")


def drained(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
