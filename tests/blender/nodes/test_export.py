"""What is built leaves Blender and is read back: vertices, faces, texture, colours.

The point clouds too, as far as the formats know points; docs/meshes.md tells how.
"""

import addon_utils
import bpy
import numpy as np
import payloads
import pytest
import surfaces
from da3_blender.core.output import blender_arrays
from da3_blender.nodes import assembly, point_cloud
from mathutils.kdtree import KDTree

THRESHOLD = 2.0  # some vertices are hidden by the modifier, and must not leave


def export_gltf(path):
    bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLTF_SEPARATE", export_apply=True)


def export_glb(path):
    bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLB", export_apply=True)


FORMATS = {
    "gltf": (export_gltf, lambda path: bpy.ops.import_scene.gltf(filepath=str(path))),
    "glb": (export_glb, lambda path: bpy.ops.import_scene.gltf(filepath=str(path))),
    "usd": (
        lambda path: bpy.ops.wm.usd_export(filepath=str(path)),
        lambda path: bpy.ops.wm.usd_import(filepath=str(path)),
    ),
    "obj": (
        lambda path: bpy.ops.wm.obj_export(filepath=str(path), export_colors=True, path_mode="COPY"),
        lambda path: bpy.ops.wm.obj_import(filepath=str(path)),
    ),
    "ply": (
        lambda path: bpy.ops.wm.ply_export(filepath=str(path), export_colors="SRGB", export_uv=True),
        lambda path: bpy.ops.wm.ply_import(filepath=str(path), import_colors="SRGB"),
    ),
}
OPERATORS = {"gltf": ("export_scene", "gltf"), "glb": ("export_scene", "gltf")} | {
    name: ("wm", f"{name}_export") for name in ("usd", "obj", "ply")
}
TEXTURED = ("gltf", "glb", "usd", "obj")  # PLY has no materials


@pytest.fixture(autouse=True)
def exporters(empty_file):
    addon_utils.enable("io_scene_gltf2")


def require(kind):
    module, name = OPERATORS[kind]
    if name not in dir(getattr(bpy.ops, module)):
        pytest.skip(f"THIS BLENDER HAS NO {kind.upper()} EXPORTER: nothing was checked")


def built(scene, tmp_path):
    """A run of one photo; its photo's pixels (256 x 192), and the mesh as it is seen: corners' places, uv and colours."""
    [path] = surfaces.save_photos(tmp_path / "photos")
    prediction = surfaces.bumpy()
    prediction.extrinsics[0, :, 3] = (0.1, -0.2, 0.3)  # near the origin, as OBJ and USD write six digits
    parts = surfaces.parts_of(prediction, images=[path])
    run = assembly.begin(scene, "walk")
    point_cloud.run_all(
        assembly.batch_steps(run, 0, parts, surfaces.records_of(prediction, [path]), threshold=THRESHOLD)
    )
    bpy.context.view_layer.update()
    arrays = parts[0].arrays
    kept = (arrays.conf[arrays.corners] >= THRESHOLD).all(axis=1)
    assert 0.3 < kept.mean() < 0.9
    corners = arrays.corners[kept].ravel()
    uv = arrays.uv.reshape(-1, 4, 2)[kept].reshape(-1, 2)
    return kept.sum(), arrays.position[corners], uv, arrays.point_color[corners]


def read_back(path, kind):
    """The mesh of the file in an empty scene: its object, corners' places and uv."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("io_scene_gltf2")
    FORMATS[kind][1](path)
    (obj,) = [obj for obj in bpy.data.objects if obj.type == "MESH"]
    bpy.context.view_layer.update()
    data = obj.data
    corners = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", corners)
    places = np.array([obj.matrix_world @ vertex.co for vertex in data.vertices])[corners]
    uv = np.empty(2 * len(data.loops), np.float32)
    data.uv_layers.active.uv.foreach_get("vector", uv)
    return obj, places, uv.reshape(-1, 2)


def nearest(places, wanted):
    """For each of ``wanted`` the number of the nearest place; all must be within a tenth of the distance of two pixels."""
    tree = KDTree(len(places))
    for i, place in enumerate(places):
        tree.insert(place, i)
    tree.balance()
    found = [tree.find(place) for place in wanted]
    assert max(distance for _, _, distance in found) < 1e-3
    return np.array([index for _, index, _ in found])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_mesh_comes_back_with_its_faces_and_its_texture_in_place(scene, tmp_path, kind):
    require(kind)
    faces, places, uv, _ = built(scene, tmp_path)
    FORMATS[kind][0](tmp_path / f"out.{kind}")
    obj, found_places, found_uv = read_back(tmp_path / f"out.{kind}", kind)
    triangles = kind in ("gltf", "glb")
    assert len(obj.data.polygons) == faces * (2 if triangles else 1)
    vertices = len(np.unique(places, axis=0))
    assert len(np.unique(found_places.round(4), axis=0)) == vertices
    assert len(obj.data.vertices) == vertices
    same = nearest(found_places, places)
    assert np.abs(found_uv[same] - uv).max() < 1e-4  # a fortieth of a pixel; OBJ writes six digits


@pytest.mark.parametrize("kind", TEXTURED)
def test_the_photo_goes_along(scene, tmp_path, kind):
    require(kind)
    built(scene, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    FORMATS[kind][0](out / f"out.{kind}")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")  # what is found now is the copy
    obj, _, _ = read_back(out / f"out.{kind}", kind)
    tree = obj.active_material.node_tree
    (image,) = {node.image for node in tree.nodes if node.type == "TEX_IMAGE"}
    assert image.size[:] == (256, 192)
    pixels = np.empty(256 * 192 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    photo = surfaces.waves(256, 192, 0)[::-1]
    assert np.abs(pixels.reshape(192, 256, 4)[..., :3] * 255 - photo).max() < 0.01


@pytest.mark.parametrize("kind", ["ply", "obj"])
def test_vertex_colours_go_along(scene, tmp_path, kind):
    require(kind)
    _, places, _, colors = built(scene, tmp_path)
    FORMATS[kind][0](tmp_path / f"out.{kind}")
    obj, found_places, _ = read_back(tmp_path / f"out.{kind}", kind)
    data = obj.data.color_attributes[0].data
    found = np.array([value.color for value in data])[[loop.vertex_index for loop in obj.data.loops]]
    wanted = blender_arrays.srgb_from_linear(colors[:, :3]).astype(int)
    difference = blender_arrays.srgb_from_linear(found[nearest(found_places, places), :3].astype(np.float32)) - wanted
    assert np.abs(difference).max() <= 1  # rounded to 8 bit or to four digits on the way


def test_a_point_cloud_leaves_as_ply_with_colour_and_confidence_where_modifiers_are_not_applied(scene, tmp_path):
    require("ply")
    cloud = payloads.random_cloud(500)
    run = assembly.begin(scene, "walk")
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), payloads.random_records(1)))
    bpy.context.view_layer.update()
    options = {"export_colors": "SRGB", "export_attributes": True}
    bpy.ops.wm.ply_export(filepath=str(tmp_path / "raw.ply"), apply_modifiers=False, **options)
    bpy.ops.wm.ply_export(filepath=str(tmp_path / "dots.ply"), apply_modifiers=True, **options)
    assert b"element vertex 0\n" in (tmp_path / "dots.ply").read_bytes()  # dots are no mesh: as docs/meshes.md says
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.ply_import(filepath=str(tmp_path / "raw.ply"), import_colors="SRGB")
    (obj,) = bpy.data.objects
    assert len(obj.data.vertices) == 500
    conf = np.empty(500, np.float32)
    obj.data.attributes["conf"].data.foreach_get("value", conf)
    assert np.array_equal(conf, cloud.conf)
