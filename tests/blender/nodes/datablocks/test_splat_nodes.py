"""Points as Gaussian splats: drawn by Blender 5.3 and later."""

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


def test_each_blender_has_the_attributes_and_the_switch_of_what_it_draws(scene):
    cloud, record = wall()
    run = assembly.begin(scene, "wall")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), [record]))
    (obj,) = look.objects_of(run.top, look.POINTS)
    assert {"scale", "rotation"} <= set(obj.data.attributes.keys())
    assert ("radiance:base" in obj.data.attributes) == splat_nodes.DRAWN
    assert look.has_switch(run.top, "Splats") == splat_nodes.DRAWN
    assert look.has_switch(run.top, "Discs") != splat_nodes.DRAWN
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


def drawn_by_cycles(scene, folder, splats, pixels):
    """(pixels, 4) RGBA in linear light, a row of what a camera at the origin that looks along -z, 100 pixels from its
    picture, sees of splats (position, scale, rotation, sRGB colour, opacity), pixels averaged over 256 samples."""
    position, scale, rotation, color, opacity = (np.array(values, np.float32) for values in zip(*splats, strict=True))
    made = bpy.data.pointclouds.new("splats")
    made.resize(len(position))
    made.type = "GAUSSIAN_SPLAT"
    base = np.concatenate([(color - 0.5) / discs.COLOR, opacity[:, None]], axis=1)
    for name, kind, key, array in (
        ("position", "FLOAT_VECTOR", "vector", position), ("scale", "FLOAT_VECTOR", "vector", scale),
        ("rotation", "QUATERNION", "value", rotation), ("radiance:base", "FLOAT4", "vector", base),
    ):  # fmt: skip
        attribute = made.attributes.get(name) or made.attributes.new(name, kind, "POINT")
        attribute.data.foreach_set(key, np.ascontiguousarray(array, np.float32).ravel())
    camera = bpy.data.cameras.new("camera")
    camera.sensor_width, camera.lens, camera.clip_start = pixels, 100.0, 0.01
    scene.camera = bpy.data.objects.new("camera", camera)
    for obj in (scene.camera, bpy.data.objects.new("splats", made)):
        scene.collection.objects.link(obj)
    scene.render.engine, scene.render.film_transparent = "CYCLES", True
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.use_adaptive_sampling = 256, False, False
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x, scene.render.resolution_y = pixels, 4
    form = scene.render.image_settings
    form.file_format, form.color_mode, form.color_depth = "OPEN_EXR", "RGBA", "32"
    scene.render.filepath = str(folder / "splats.exr")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    flat = np.empty(4 * pixels * 4, np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(4, pixels, 4)[2]  # half a pixel above the middle


FACING = (1.0, 0.0, 0.0, 0.0)
CHANCE = 0.08  # 2.5 standard deviations of a mean of 256 that are 0 or 1


@needs_splats
def test_cycles_draws_a_splat_as_the_refiner_does(scene, tmp_path):
    """Its opacity falls as a Gaussian from its middle, without a low-pass: 0.3 pixels stay 0.3."""
    wide, thin = ((0.5, 0.0), 5.0), ((-2.25, 0.05), 0.3)  # 37 and 9.5 pixels from the left; middle and deviation
    splats = [((x, y, -10.0), (s / 10, s / 10, s / 100), FACING, (1.0, 1.0, 1.0), 0.9) for (x, y), s in (wide, thin)]
    alpha = drawn_by_cycles(scene, tmp_path, splats, 64)[:, 3]
    at = np.arange(64) + 0.5 - 37.0
    wanted = 0.9 * np.exp(-0.5 * (at**2 + 0.25) / 25.0)
    assert np.abs(alpha - wanted)[20:].max() < CHANCE
    assert 0.28 < alpha[9] < 0.55 and alpha[[7, 8, 10, 11]].max() < 0.12  # 0.41 is the Gaussian's mean over a pixel


@needs_splats
def test_cycles_mixes_splats_in_linear_light_in_the_order_of_the_ray(scene, tmp_path):
    """A tilted disc whose middle lies behind another's is in front of it where the ray meets it so."""
    turned = (
        np.cos(np.pi / 8),
        0.0,
        np.sin(np.pi / 8),
        0.0,
    )  # by 45 degrees about y: at x = 0 it is 1 nearer than at x = 1
    splats = [((0.0, 0.0, -9.5), (1.0, 1.0, 1e-3), FACING, (0.5, 0.0, 0.0), 0.5),
              ((1.0, 0.0, -10.0), (1.4, 1.4, 1e-3), turned, (0.0, 1.0, 0.0), 0.8)]  # fmt: skip
    red, green, _, alpha = drawn_by_cycles(scene, tmp_path, splats, 4)[1:3].mean(axis=0)
    front = 0.8 * np.exp(-0.5)  # at x = 0, 1.4 along the disc from its middle
    assert abs(green - front) < CHANCE
    assert abs(red - 0.214 * 0.5 * (1.0 - front)) < 0.3 * CHANCE  # sRGB 0.5 is 0.214 of the light
    assert abs(alpha - (1.0 - 0.5 * (1.0 - front))) < CHANCE


@needs_splats
def test_cycles_leaves_out_what_is_nearly_transparent(scene, tmp_path):
    splats = [((0.0, 0.0, -10.0), (50.0, 50.0, 1.0), FACING, (1.0, 1.0, 1.0), 0.0099)]
    assert drawn_by_cycles(scene, tmp_path, splats, 8)[:, 3].max() == 0.0


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


def test_the_panel_s_result_offers_splats_where_blender_draws_them_and_discs_before(enabled):
    items = bpy.context.scene.da3.bl_rna.properties["results"].enum_items_static_ui
    names = {item.identifier: item.name for item in items}
    assert names["splats"] == ("Splats" if splat_nodes.DRAWN else "Discs")
