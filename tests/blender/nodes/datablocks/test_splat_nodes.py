"""Points as Gaussian splats: drawn by Blender 5.3 and later; before that there is no sign of them."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output import blender_arrays
from da3_blender.core.output.splats import discs, files
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.nodes import assembly, cameras, point_cloud
from da3_blender.nodes.datablocks import materials, point_trees, splat_nodes
from da3_blender.nodes.edits import look
from PIL import Image

needs_splats = pytest.mark.skipif(
    not splat_nodes.DRAWN, reason=f"BLENDER {bpy.app.version_string} DRAWS NO SPLATS: nothing was checked; 5.3 does"
)
HIGH, WIDE = 60, 80
GREEN = (40, 160, 90)


def wall():
    """The points of one image of a tilted wall of one colour, as splats, and its camera's record."""
    k = np.array([[70.0, 0.0, WIDE / 2], [0.0, 70.0, HIGH / 2], [0.0, 0.0, 1.0]])
    depth = (3.0 / (1.0 + 0.4 * (np.arange(0.5, WIDE) - WIDE / 2) / 70.0)).astype(np.float32)
    depth = np.repeat(depth[None, None], HIGH, axis=1)
    images = np.full((1, HIGH, WIDE, 3), GREEN, np.uint8)
    made = Prediction(depth, np.full_like(depth, 6.0), np.eye(4)[None, :3], k[None], images)
    return blender_arrays.points(made, [0], 0.5, splats=True), payloads.record(np.eye(4)[:3], k, (WIDE, HIGH))


def cloud_of(obj):
    """The evaluated point cloud of an object."""
    obj.update_tag()
    instances = bpy.context.evaluated_depsgraph_get().object_instances
    return next(i.object.data for i in instances if i.object.type == "POINTCLOUD")


def values(data, name, key, width):
    flat = np.empty(len(data.attributes[name].data) * width, np.float32)
    data.attributes[name].data.foreach_get(key, flat)
    return flat.reshape(-1, width)


def test_older_blenders_build_dots_of_the_same_points(scene):
    cloud, record = wall()
    run = assembly.begin(scene, "wall")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), [record]))
    (obj,) = look.objects_of(run.top, look.POINTS)
    attributes = {"scale", "rotation", "radiance:base"} & set(obj.data.attributes.keys())
    assert len(attributes) == (3 if splat_nodes.DRAWN else 0)
    assert point_trees.has_input(obj.modifiers[0], "Splats") == look.has_splats(run.top) == splat_nodes.DRAWN
    assert len(obj.data.vertices) == len(cloud)


@needs_splats
def test_one_switch_between_dots_and_splats_of_the_same_points(scene):
    cloud, record = wall()
    scale = cloud.scale.copy()
    scale[::2] = 0.0
    run = assembly.begin(scene, "wall")
    parts = payloads.parts(replace(cloud, scale=scale))
    point_cloud.run_all(assembly.batch_steps(run, 0, parts, [record], scale=2.0))
    (obj,) = look.objects_of(run.top, look.POINTS)
    drawn = cloud_of(obj)
    assert drawn.type == "GAUSSIAN_SPLAT" and len(drawn.points) == len(cloud) / 2  # without those that another covers
    assert np.allclose(values(drawn, "scale", "vector", 3), 2.0 * scale[1::2], rtol=1e-6)  # times Point Size
    assert np.array_equal(values(drawn, "rotation", "value", 4), cloud.rotation[1::2])
    assert np.array_equal(values(drawn, "radiance:base", "vector", 4), cloud.radiance[1::2])
    look.put(run.top, splat_nodes.SWITCH, False)
    dots = cloud_of(obj)
    assert dots.type == "POINTS" and len(dots.points) == len(cloud)


@needs_splats
def test_points_without_splats_stay_dots(scene):
    tree = point_trees.point_cloud_tree(materials.point_material())
    obj = point_cloud.build("cloud", payloads.random_cloud(10), tree)
    scene.collection.objects.link(obj)
    assert cloud_of(obj).type == "POINTS"


@needs_splats
def test_a_wall_that_one_image_saw_is_closed_as_splats_and_has_the_photograph_s_colour(scene, tmp_path):
    cloud, record = wall()
    run = assembly.begin(scene, "wall")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), [record]))
    scene.render.engine, scene.render.film_transparent = "CYCLES", True
    scene.cycles.samples, scene.cycles.use_denoising = 16, False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.view_settings.view_transform = "Standard"
    cameras.look_through(scene, scene.camera)
    scene.render.resolution_x, scene.render.resolution_y = WIDE, HIGH
    scene.render.filepath = str(tmp_path / "wall.png")
    bpy.ops.render.render(write_still=True)
    picture = np.asarray(Image.open(tmp_path / "wall.png"))[5:-5, 5:-5].astype(np.float64)
    alpha = picture[..., 3] / 255.0
    assert alpha.mean() > 0.97
    assert np.abs((picture[..., :3] * alpha[..., None]).mean(axis=(0, 1)) / alpha.mean() - GREEN).max() < 2.0


@needs_splats
@pytest.mark.parametrize("kind", ["ply", "spz"])
def test_blender_s_own_importer_reads_what_was_written(scene, tmp_path, kind):
    cloud, _ = wall()
    with_file = tmp_path / f"wall.{kind}"
    writer = files.SplatWriter(tmp_path / "wall.ply", "DA3")
    writer.add(0, cloud.given())
    if kind == "ply":
        writer.finish()
        bpy.ops.wm.ply_import(filepath=str(with_file))
    else:
        with_file.write_bytes(writer.compressed())
        bpy.ops.wm.spz_import(filepath=str(with_file))
    data = bpy.context.object.data
    assert data.type == "GAUSSIAN_SPLAT" and len(data.points) == len(cloud)
    fine = kind == "ply"  # an SPZ file has 12 bits after the point, and 8 for all else
    assert np.abs(values(data, "position", "vector", 3) - cloud.position).max() <= (0 if fine else 1 / 4096)
    colors = values(data, "radiance:base", "vector", 4)
    assert np.abs(discs.colors_of(colors) - np.array(GREEN)).max() <= (1 if fine else 4)
    assert np.abs(colors[:, 3] - cloud.radiance[:, 3]).max() < (1e-4 if fine else 1 / 255)
    assert np.allclose(values(data, "scale", "vector", 3), cloud.scale, rtol=1e-4 if fine else 0.04)
    q = values(data, "rotation", "value", 4)
    assert np.abs(np.einsum("pi,pi->p", q, cloud.rotation)).min() > (1 - 1e-6 if fine else 1 - 1e-5)


def test_the_panel_s_result_offers_splats_where_blender_draws_them(enabled):
    items = {item.identifier for item in bpy.context.scene.da3.bl_rna.properties["results"].enum_items_static_ui}
    assert items and ("splats" in items) == splat_nodes.DRAWN
