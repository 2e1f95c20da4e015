"""What a redraw of 1.2 million points takes in Solid, beside the same as bare vertices; and a first result, as it is shown."""

import importlib
import statistics
import time

import bpy
import driver as ui
import numpy as np

POINTS, TIMES, ROUNDS = 1_200_000, 3, 4


def redraw_seconds():
    """Median of a few redraws of the 3D view, each until it is on the screen."""
    found = []
    for number in range(TIMES + 1):
        ui.area().spaces.active.region_3d.view_distance *= 1.0001
        began = time.perf_counter()
        with ui.over():
            bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
        if number:
            found.append(time.perf_counter() - began)
        yield 0.05
    return statistics.median(found)


def scenario():
    ui.install()
    space = ui.area().spaces.active
    space.show_region_ui = False
    bpy.ops.object.select_all(action="DESELECT")
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    payload = importlib.import_module(f"{ui.NAME}.core.output.payload")
    trees = importlib.import_module(f"{ui.NAME}.nodes.datablocks.point_trees")
    materials = importlib.import_module(f"{ui.NAME}.nodes.datablocks.materials")
    clouds = importlib.import_module(f"{ui.NAME}.nodes.point_cloud")
    rng = np.random.default_rng(0)
    across, up = np.meshgrid(np.linspace(-4, 4, 1200), np.linspace(-3, 3, 1000))
    position = np.stack([across, 0.3 * np.sin(2 * across) + 0.3 * np.cos(3 * up), up], axis=-1).reshape(-1, 3)
    color = np.ones((POINTS, 4), np.float32)
    color[:, :3] = rng.random((POINTS, 3))
    cloud = payload.PointArrays(
        position.astype(np.float32),
        color,
        np.full(POINTS, 2, np.float32),
        np.zeros(POINTS, np.int32),
        radius=np.full(POINTS, 0.8 * 8 / 1200, np.float32),
    )
    tree = trees.point_cloud_tree(materials.point_material())
    obj = clouds.build("Points", cloud, tree)
    bpy.context.scene.collection.objects.link(obj)
    space.region_3d.view_location, space.region_3d.view_distance = (0, 0, 0), 12.0
    yield from ui.settle()
    modifier = obj.modifiers[trees.MODIFIER]
    showing = importlib.import_module(f"{ui.NAME}.operators.jobs.showing")
    thinned = round(100 * showing.most_dots() / POINTS)
    found = {"all": [], "thinned": [], "bare vertices": []}
    for number in range(ROUNDS):  # in turn: what else the machine does falls on all of them
        for name, percent in (("all", 100.0), ("thinned", float(thinned)), ("bare vertices", 100.0)):
            modifier.show_viewport = name != "bare vertices"
            trees.set_input(modifier, trees.DISPLAY, percent)
            obj.update_tag()
            yield from ui.settle()
            found[name].append((yield from redraw_seconds()))
            if number == 0:
                ui.shot(f"solid_{name.replace(' ', '_')}")
    ratios = [thin / bare for thin, bare in zip(found["thinned"], found["bare vertices"], strict=True)]
    ui.record(points=POINTS, percent=thinned, seconds={name: [round(s, 3) for s in all_of] for name, all_of in found.items()},
           ratio=round(statistics.median(ratios), 3))  # fmt: skip
