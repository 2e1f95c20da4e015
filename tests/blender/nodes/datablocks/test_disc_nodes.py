"""Points as flat discs on the surfaces, in Blenders before 5.3, which draw no splats."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output import blender_arrays
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.nodes import assembly, cameras, point_cloud
from da3_blender.nodes.datablocks import disc_nodes, materials, point_trees, splat_nodes
from da3_blender.nodes.edits import look
from PIL import Image

pytestmark = pytest.mark.skipif(splat_nodes.DRAWN, reason="Blender 5.3 and later draw splats instead")
HIGH, WIDE = 48, 64
FOCAL = 60.0
DOWN, UP = (200, 60, 40), (40, 160, 90)  # colours of the floor's near and far half


def floor():
    """The points of one image of a floor seen at a slant, 14 degrees, with discs, and its camera's record."""
    k = np.array([[FOCAL, 0.0, WIDE / 2], [0.0, FOCAL, HIGH / 2], [0.0, 0.0, 1.0]])
    v = (np.arange(0.5, HIGH) - HIGH / 2) / FOCAL
    depth = (1.0 / (0.25 + v)).astype(np.float32)  # y + 0.25 z = 1
    depth = np.repeat(np.where(depth > 0, depth, 0)[None, :, None], WIDE, axis=2)
    depth[depth > 8.0] = 0.0
    images = np.where((np.arange(HIGH) < HIGH // 2)[None, :, None, None], UP, DOWN).astype(np.uint8)
    images = np.ascontiguousarray(np.broadcast_to(images, (1, HIGH, WIDE, 3)))
    made = Prediction(depth, np.full_like(depth, 6.0), np.eye(4)[None, :3], k[None], images)
    return blender_arrays.points(made, [0], 0.5, splats=True), payloads.record(np.eye(4)[:3], k, (WIDE, HIGH))


def built(scene, cloud, record, **inputs):
    run = assembly.begin(scene, "floor")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), [record], **inputs))
    (obj,) = look.objects_of(run.top, look.POINTS)
    return run.top, obj


def evaluated(obj):
    obj.update_tag()
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get())


def corners(obj):
    """(P, CORNERS, 3) of the discs that an object is drawn as."""
    mesh = evaluated(obj).to_mesh()
    flat = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.attributes["position"].data.foreach_get("vector", flat)
    assert "conf" in mesh.attributes and "point_color" in mesh.attributes  # the material wants them
    assert not {"scale", "rotation"} & set(mesh.attributes.keys())
    return flat.reshape(-1, disc_nodes.CORNERS, 3)


def test_discs_lie_on_the_surface_and_stretch_along_it(scene):
    cloud, record = floor()
    _, obj = built(scene, cloud, record)
    discs = corners(obj)
    assert len(discs) == len(cloud)
    assert np.abs(discs.mean(axis=1) - cloud.position).max() < 1e-4
    normal = np.array([0.0, 0.25, -1.0]) / np.hypot(0.25, 1.0)  # of the floor, in Blender's axes: (x, z, -y)
    around = discs - discs.mean(axis=1, keepdims=True)
    spread = np.linalg.svd(around, compute_uv=False)  # of a regular hexagon the same along both axes
    assert np.median(np.abs(around @ normal).max(axis=1) / spread[:, 0]) < 1e-3
    assert np.allclose(spread[:, 0] / spread[:, 1], cloud.scale[:, 0] / cloud.scale[:, 1], rtol=1e-2)
    assert np.median(spread[:, 0] / spread[:, 1]) > 2.0


def test_one_switch_between_dots_and_discs_of_the_points_that_no_other_covers(scene):
    cloud, record = floor()
    scale = cloud.scale.copy()
    scale[::2] = 0.0
    run, obj = built(scene, replace(cloud, scale=scale), record, scale=2.0)
    discs = corners(obj)
    assert np.allclose(discs.mean(axis=1), cloud.position[1::2], atol=1e-4)
    longest = np.linalg.norm(discs - discs.mean(axis=1, keepdims=True), axis=2).max(axis=1)
    assert np.median(longest / (2.0 * disc_nodes.RADIUS * scale[1::2, 0])) == pytest.approx(1.0, abs=0.1)
    look.put(run, disc_nodes.SWITCH, False)
    obj.update_tag()
    shown = [i.object for i in bpy.context.evaluated_depsgraph_get().object_instances if i.object.type == "POINTCLOUD"]
    assert [len(one.data.points) for one in shown] == [len(cloud)]


def test_points_without_sizes_stay_dots(scene):
    obj = point_cloud.build(
        "cloud", payloads.random_cloud(10), point_trees.point_cloud_tree(materials.point_material())
    )
    scene.collection.objects.link(obj)
    assert point_trees.get_input(obj.modifiers[0], disc_nodes.SWITCH) == 0
    assert any(i.object.type == "POINTCLOUD" for i in bpy.context.evaluated_depsgraph_get().object_instances)


def test_a_floor_has_fewer_holes_from_a_new_view_and_the_photograph_s_colours(scene, tmp_path):
    """Seen from above it, where dots as large as a pixel's footprint leave gaps along the floor's slant."""
    cloud, record = floor()
    run, _ = built(scene, cloud, record)
    scene.render.engine, scene.render.film_transparent = "CYCLES", True
    scene.cycles.samples, scene.cycles.use_denoising = 16, False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.view_settings.view_transform = "Standard"
    cameras.look_through(scene, scene.camera)
    scene.camera.location.z += 1.5
    scene.camera.rotation_mode = "XYZ"
    scene.camera.rotation_euler.x -= np.radians(30.0)
    scene.render.resolution_x, scene.render.resolution_y = 2 * WIDE, 2 * HIGH
    pictures = {}
    for name in ("discs", "dots"):
        look.put(run, disc_nodes.SWITCH, name == "discs")
        scene.render.filepath = str(tmp_path / f"{name}.png")
        bpy.ops.render.render(write_still=True)
        pictures[name] = np.asarray(Image.open(scene.render.filepath)).astype(np.float64)
    inside = pictures["discs"][HIGH - 8 : HIGH + 8, WIDE - 16 : WIDE + 16]  # the middle of the picture: all of it floor
    holes = {
        name: 1.0 - picture[HIGH - 8 : HIGH + 8, WIDE - 16 : WIDE + 16, 3].mean() / 255
        for name, picture in pictures.items()
    }
    assert holes["discs"] < 0.02 < 0.2 < holes["dots"], holes
    nearest = np.min([np.abs(inside[..., :3] - colour).max(axis=-1) for colour in (UP, DOWN)], axis=0)
    assert np.median(nearest) < 3.0
