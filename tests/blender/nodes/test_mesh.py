"""A mesh in Blender: its arrays, its modifier FilterMesh, its material, and what is seen of it."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
import surfaces
from da3_blender.core.output.payload import Part
from da3_blender.core.settings import Settings
from da3_blender.core.surfaces import image_meshes
from da3_blender.nodes import assembly, cameras, mesh, point_cloud, preview
from da3_blender.nodes.datablocks import image_materials, point_trees
from da3_blender.nodes.datablocks import scene as scenes
from da3_blender.operators.command_line import saving
from PIL import Image

INSIDE = np.s_[1:-1, 1:-1]  # a mesh ends at the centres of the outermost pixels


def build(scene, parts, records=(), number=0, run=None, **given):
    """A batch; its run, and the objects of its meshes."""
    run = run or assembly.begin(scene, "walk")
    point_cloud.run_all(assembly.batch_steps(run, number, parts, records, **given))
    return run, [obj for obj in run.built if isinstance(obj, bpy.types.Object) and obj.type == "MESH"][-len(parts) :]


def values(data, attribute, key, dtype=np.float32):
    stored = data.attributes[attribute].data
    width = {"value": 1, "vector": 3, "color": 4}[key] if attribute != mesh.UV_MAP else 2
    out = np.empty(len(stored) * width, dtype)
    stored.foreach_get(key, out)
    return out.reshape(-1, width)


def seen(obj):
    """The mesh as the modifiers leave it."""
    bpy.context.view_layer.update()
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data


def everything():
    kinds = ("objects", "meshes", "cameras", "collections", "materials", "node_groups", "images", "texts")
    return {kind: sorted(d.name for d in getattr(bpy.data, kind)) for kind in kinds}


# ------------------------------------------------------------------------------------------------------ the arrays


def test_the_mesh_holds_the_arrays_bit_for_bit_and_blender_finds_nothing_to_repair(scene, tmp_path):
    [part] = surfaces.parts_of(surfaces.bumpy(), motion=np.random.default_rng(0).random((1, 48, 64)))
    part = Part.open(tmp_path, part.save(tmp_path, "batch0_0"))
    _, [obj] = build(scene, [part])
    data, arrays = obj.data, part.arrays
    assert not data.validate(verbose=True)
    assert (len(data.vertices), len(data.polygons), len(data.edges)) == (
        len(arrays), len(arrays.corners), len(arrays.edges),
    )  # fmt: skip
    for name, key in (("position", "vector"), ("point_color", "color"), ("conf", "value"), ("depth", "value"),
                      ("motion", "value"), (mesh.UV_MAP, "vector")):  # fmt: skip
        array = arrays.given()["uv" if name == mesh.UV_MAP else name]
        assert values(data, name, key).tobytes() == np.ascontiguousarray(array).tobytes(), name
    assert (values(data, "frame", "value", np.int32)[:, 0] == arrays.frame).all()
    for k in (0, len(arrays.corners) // 2, -1):
        assert [*data.polygons[k].vertices] == arrays.corners[k].tolist()
        loops = data.polygons[k].loop_indices
        assert [data.loops[loop].edge_index for loop in loops] == arrays.corner_edges[k].tolist()
    assert [*data.edges[17].vertices] == arrays.edges[17].tolist()
    assert data.color_attributes.active_color.name == "point_color"
    assert data.uv_layers.active.name == mesh.UV_MAP


def test_without_edges_blender_finds_the_same_itself(scene):
    [part] = surfaces.parts_of(surfaces.bumpy())
    bare = replace(part, name="_Bare", arrays=replace(part.arrays, edges=None, corner_edges=None))
    _, [given, found] = build(scene, [part, bare])
    edges = [{tuple(sorted(edge.vertices)) for edge in obj.data.edges} for obj in (given, found)]
    assert edges[0] == edges[1]


def test_it_is_smooth_and_looks_at_its_camera(scene):
    prediction = surfaces.bumpy()
    records = surfaces.records_of(prediction)
    _, [obj] = build(scene, surfaces.parts_of(prediction), records)
    centre = np.reshape(records[0].camera_to_world, (4, 4))[:3, 3]
    normals = np.array([polygon.normal for polygon in obj.data.polygons])
    centres = np.array([polygon.center for polygon in obj.data.polygons])
    assert (np.einsum("ij,ij->i", normals, centre - centres) > 0.0).all()
    assert all(polygon.use_smooth for polygon in obj.data.polygons)


# ---------------------------------------------------------------------------------------------------- the modifier


def left(arrays, threshold, limit):
    """Faces that stay, and vertices that one of them holds on to."""
    ends = arrays.position[arrays.edges].astype(np.float64)
    short = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) <= limit * arrays.depth[arrays.edges].mean(axis=1)
    faces = short[arrays.corner_edges].all(axis=1) & (arrays.conf[arrays.corners] >= threshold).all(axis=1)
    return faces.sum(), len(np.unique(arrays.corners[faces]))


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.5, 4.0, 100.0])
@pytest.mark.parametrize("limit", [0.0, 0.018, 0.1])
def test_the_modifier_leaves_what_is_sure_and_short(scene, threshold, limit):
    [part] = surfaces.parts_of(surfaces.bumpy())
    _, [obj] = build(scene, [part], threshold=threshold, edge_length=limit)
    data = seen(obj)
    assert (len(data.polygons), len(data.vertices)) == left(part.arrays, threshold, limit)
    assert len(obj.data.polygons) == len(part.arrays.corners)  # it can be lowered again
    point_trees.set_input(obj.modifiers["FilterMesh"], "Threshold", 0.0)
    point_trees.set_input(obj.modifiers["FilterMesh"], "Edge Length", 10.0)
    obj.update_tag()
    assert len(seen(obj).polygons) == len(part.arrays.corners)


def test_the_parameters_above_cut_something():
    arrays = surfaces.parts_of(surfaces.bumpy())[0].arrays
    counts = [left(arrays, *at)[0] for at in ((0.0, 0.1), (1.5, 0.1), (0.0, 0.018), (1.5, 0.018), (0.0, 0.0))]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 5


def test_a_person_finds_the_modifier_and_its_inputs_by_their_names(scene):
    _, [obj] = build(scene, surfaces.parts_of(surfaces.flat()), threshold=0.7, edge_length=0.2)
    modifier = obj.modifiers["FilterMesh"]
    assert modifier.node_group.name == "FilterMesh"
    sockets = [item.name for item in modifier.node_group.interface.items_tree if item.in_out == "INPUT"]
    assert sockets == ["Geometry", "Threshold", "Edge Length"]
    assert point_trees.get_input(modifier, "Threshold") == pytest.approx(0.7)
    assert point_trees.get_input(modifier, "Edge Length") == pytest.approx(0.2)


def test_what_is_left_keeps_its_texture_and_its_colours(scene):
    [part] = surfaces.parts_of(surfaces.bumpy())
    _, [obj] = build(scene, [part], threshold=4.0)
    data = seen(obj)
    assert data.uv_layers.active.name == mesh.UV_MAP and data.color_attributes.active_color.name == "point_color"
    whole = dict(
        zip(map(bytes, values(obj.data, "position", "vector")), values(obj.data, "point_color", "color"), strict=True)
    )
    for place, color in zip(values(data, "position", "vector"), values(data, "point_color", "color"), strict=True):
        assert np.array_equal(whole[bytes(place)], color)


# ---------------------------------------------------------------------------------------------------- the material


def test_the_parts_of_one_image_share_one_material_and_one_image(scene, tmp_path):
    paths = surfaces.save_photos(tmp_path, 2)
    prediction = surfaces.flat(2)
    prediction.object_id = np.zeros((2, 48, 64), np.int32)
    prediction.object_id[:, 10:20, 10:30] = 1
    records = surfaces.records_of(prediction, paths)
    parts = image_meshes.mesh_parts(prediction, range(2), records, Settings(), names={1: "cup_1"})
    _, objects = build(scene, parts, records)
    assert [obj.name for obj in objects] == [
        f"{name}_photo_00{i}" for i in range(2) for name in ("Background", "cup_1")
    ]
    used = [obj.data.materials[0].name for obj in objects]
    assert used == ["photo_000", "photo_000", "photo_001", "photo_001"]
    assert sorted(image.name for image in bpy.data.images) == ["photo_000.png", "photo_001.png"]  # the cameras' too
    assert {obj.users_collection[0].name for obj in objects} == {"Segmented"}
    assert len([tree for tree in bpy.data.node_groups if tree.name.startswith("FilterMesh")]) == 1


def test_a_second_run_has_its_own_materials_and_the_same_images(scene, tmp_path):
    paths = surfaces.save_photos(tmp_path)
    prediction = surfaces.flat()
    first, [one] = build(scene, surfaces.parts_of(prediction, images=paths))
    _, [two] = build(scene, surfaces.parts_of(prediction, images=paths))
    assert one.data.materials[0] != two.data.materials[0]
    assert len(bpy.data.images) == 1
    assembly.discard(first)
    material = two.data.materials[0]
    assert material.node_tree.nodes[image_materials.IMAGE].extension == "EXTEND"


def test_the_image_s_path_is_relative_where_the_file_has_a_place(scene, tmp_path):
    [path] = surfaces.save_photos(tmp_path / "photos")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    build(bpy.context.scene, surfaces.parts_of(surfaces.flat(), images=[path]))
    (image,) = bpy.data.images
    assert image.filepath == "//photos/photo_000.png"
    bpy.ops.wm.save_mainfile()
    (tmp_path / "moved").mkdir()
    (tmp_path / "scene.blend").rename(tmp_path / "moved" / "scene.blend")
    (tmp_path / "photos").rename(tmp_path / "moved" / "photos")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "scene.blend"))
    assert bpy.data.images["photo_000.png"].size[:] == (256, 192)  # found again


def test_a_packed_picture_needs_no_file_any_more(scene, tmp_path):
    job = tmp_path / "job"
    [path] = surfaces.save_photos(job)
    [part] = surfaces.parts_of(surfaces.flat(), packed=[path.name])
    part = Part.open(job, part.save(job, "batch0_0"))
    build(scene, [part])
    path.unlink()
    saving.save_scene(tmp_path / "scene.blend")  # as the command line does it, which makes other paths relative
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    (image,) = bpy.data.images
    assert image.packed_file is not None and image.filepath == "//photo_000.png"
    pixels = np.empty(256 * 192 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    wanted = surfaces.waves(256, 192, 0)[::-1]
    assert np.abs(pixels.reshape(192, 256, 4)[..., :3] * 255 - wanted).max() < 0.01


@pytest.mark.parametrize("image", ["", "/nowhere/photo.png"])
def test_without_its_image_a_mesh_shows_its_vertex_colours(scene, image):
    [part] = surfaces.parts_of(surfaces.flat())
    run, [obj] = build(scene, [replace(part, image=image)])
    assert obj.data.materials[0] == run.material  # point_color, unlit
    assert len(bpy.data.images) == 0


def test_an_image_that_blender_cannot_read_leaves_the_mesh_in_place(scene, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    [part] = surfaces.parts_of(surfaces.flat(), images=[broken])
    _, [obj] = build(scene, [part])
    assert len(obj.data.polygons) == len(part.arrays.corners)


def test_a_build_that_is_stopped_half_way_leaves_nothing_behind(scene, tmp_path):
    paths = surfaces.save_photos(tmp_path, 2)
    prediction = surfaces.flat(2)
    parts, records = surfaces.parts_of(prediction, images=paths), surfaces.records_of(prediction, paths)
    run = assembly.begin(scene, "walk")
    before = everything()
    total = sum(1 for _ in assembly.batch_steps(assembly.begin(scene, "other"), 0, parts, records))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    run = assembly.begin(bpy.context.scene, "walk")
    before = everything()
    for stop in range(1, total, 3):
        steps = assembly.batch_steps(run, 0, parts, records)
        for _ in range(stop):
            next(steps)
        steps.close()
        assert everything() == before, stop
    point_cloud.run_all(assembly.batch_steps(run, 0, parts, records))  # and it can still be built
    assert len(bpy.data.materials) == 3
    assembly.discard(run)
    assert not any(everything().values())


# ---------------------------------------------------------------------------------------------------- what is seen


def rendered(scene, camera, path):
    """(H, W, 3) of the picture through a camera, the mean over each pixel, in levels."""
    cameras.look_through(scene, camera)
    scenes.photo_colors(scene)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 16, False
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format, scene.render.dither_intensity = "PNG", 0.0
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_through_its_camera_a_mesh_looks_as_its_photo(scene, tmp_path, orientation):
    """Also where telephones store it lying, and where it lies on a canvas larger than itself."""
    lying = orientation > 4
    paths = surfaces.save_photos(tmp_path / "photos", 1, (192, 256) if lying else (256, 192), orientation)
    prediction = surfaces.bumpy()
    prediction.depth[:, :, 40:] -= 1.5  # no jump: there is a gap
    place = (8, 6, 48, 36)
    prediction.conf[:, :6] = prediction.conf[:, 42:] = prediction.conf[:, :, :8] = prediction.conf[:, :, 56:] = 0.0
    [record] = surfaces.records_of(prediction, paths)
    record = replace(record, placement=place, orientation=orientation)
    prediction.images[:] = 0  # so that nothing but the texture can show the photo
    parts = image_meshes.mesh_parts(prediction, [0], [record], Settings())
    build(scene, parts, [record])
    picture = rendered(scene, scene.camera, tmp_path / "seen.png")[6:42, 8:56]
    turned = {1: lambda a: a, 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].transpose(1, 0, 2)}[orientation]
    upright = Image.fromarray(np.ascontiguousarray(turned(surfaces.waves(*((192, 256) if lying else (256, 192)), 0))))
    photo = np.asarray(upright.resize((48, 36), Image.Resampling.BOX)).astype(float)
    # levels: rounding twice, and 16 samples that lie unevenly in their pixel, take 0.4 on average and 3 at most
    assert np.abs(picture - photo)[INSIDE].mean() < 0.6
    assert np.abs(picture - photo)[INSIDE].max() <= 4.0
    assert np.abs(picture[:, 1:] - photo[:, :-1])[INSIDE].mean() > 1.5  # a pixel off would be seen


def test_the_factor_of_the_mix_node_shows_the_vertex_colours_instead(scene, tmp_path):
    paths = surfaces.save_photos(tmp_path / "photos")
    prediction = surfaces.flat()
    prediction.images[:] = (200, 100, 50)
    records = surfaces.records_of(prediction, paths)
    _, [obj] = build(scene, surfaces.parts_of(prediction, images=paths), records)
    mix = obj.data.materials[0].node_tree.nodes[image_materials.MIX]
    next(s for s in mix.inputs if s.name == "Factor" and s.type == "VALUE").default_value = 1.0
    picture = rendered(scene, scene.camera, tmp_path / "seen.png")
    assert np.abs(picture[INSIDE] - (200, 100, 50)).max() <= 1.0


def test_lights_do_not_change_it_and_the_second_output_lets_them(scene, tmp_path):
    paths = surfaces.save_photos(tmp_path / "photos")
    prediction = surfaces.flat()
    _, [obj] = build(scene, surfaces.parts_of(prediction, images=paths), surfaces.records_of(prediction, paths))
    outputs = [n for n in obj.data.materials[0].node_tree.nodes if n.type == "OUTPUT_MATERIAL"]
    assert [n.is_active_output for n in outputs] == [True, False]
    unlit = rendered(scene, scene.camera, tmp_path / "unlit.png")
    assert unlit[INSIDE].mean() > 50
    outputs[1].is_active_output = True
    outputs[0].is_active_output = False
    assert rendered(scene, scene.camera, tmp_path / "dark.png").max() == 0.0  # there is no light in the scene


def test_the_preview_shows_meshes_and_clouds_also_those_of_other_frames(scene, tmp_path):
    prediction = surfaces.flat(2)
    prediction.images[:] = (200, 40, 40)
    prediction.extrinsics[:] = np.eye(4)[:3]
    settings = Settings(per_frame_geometry=True)
    records = surfaces.records_of(prediction)
    arrays = surfaces.parts_of(prediction)[0].arrays
    plain = replace(arrays, conf=None, depth=None, frame=None)  # as a surface fused from all frames
    parts = [*surfaces.parts_of(prediction, settings), Part("Fused", plain), *payloads.parts(payloads.random_cloud(50))]
    _, objects = build(scene, parts, records)
    before = everything()
    shown = [obj for obj in bpy.data.objects if obj.type == "CAMERA"]
    preview.render_preview(objects, shown, tmp_path / "seen.png", size=(96, 54), samples=2)
    assert everything() == before
    picture = np.asarray(Image.open(tmp_path / "seen.png").convert("RGB")).astype(int)
    assert (picture[..., 0] - picture[..., 2] > 100).mean() > 0.1  # the red wall


def test_a_surface_without_confidence_needs_no_filter(scene):
    """As one fused from all frames."""
    [part] = surfaces.parts_of(surfaces.flat())
    arrays = replace(part.arrays, conf=None, depth=None, uv=None, frame=None, edges=None, corner_edges=None)
    run, [obj] = build(scene, [replace(part, name="Fused", arrays=arrays)], number=None)
    assert not obj.modifiers and obj.users_collection[0] == run.top
    assert obj.data.materials[0] == run.material
