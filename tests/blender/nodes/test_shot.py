"""Set Up Shot, looked at in renders: what is put in stands on the ground, throws shadows and goes behind what was filmed."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from bpy_extras.object_utils import world_to_camera_view
from da3_blender.core.output.payload import MeshArrays, Part
from da3_blender.nodes import animation, assembly, point_cloud
from da3_blender.nodes.animation import Play
from da3_blender.nodes.datablocks import compositing
from da3_blender.nodes.edits import deleting, shot, transforming
from mathutils import Vector

SIZE = (96, 64)
K = np.array([[90.0, 0.0, 48.0], [0.0, 90.0, 32.0], [0.0, 0.0, 1.0]])
PLATE = (0.2, 0.6, 0.3)  # as the file has it
# A wall that stands left before the middle, on a floor.
CORNERS = [
    (-2, 0, 0), (0, 0, 0), (0, 0, 2), (-2, 0, 2), (-4, -4, 0), (4, -4, 0), (4, 6, 0), (-4, 6, 0),
]  # fmt: skip


@pytest.fixture
def plates(tmp_path):
    """plate_1001.png to plate_1003.png, a little brighter each."""
    paths = []
    for k in range(3):
        image = bpy.data.images.new("made", *SIZE)
        colour = (*(value + 0.1 * k for value in PLATE), 1.0)
        image.pixels.foreach_set(np.tile(np.array(colour, np.float32), SIZE[0] * SIZE[1]))
        paths.append(tmp_path / f"plate_{1001 + k}.png")
        image.save(filepath=str(paths[-1]))
        bpy.data.images.remove(image)
    return paths


@pytest.fixture
def run(scene, plates):
    down = np.arctan2(1.0, 7.0)  # the camera stands 7 before the wall, 2 high, and looks down a bit
    c, s = np.cos(down), np.sin(down)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    pose = np.concatenate([turn, -turn @ [[0.0], [-2.0], [-7.0]]], axis=1)
    records = [
        replace(payloads.record(pose, K, SIZE, frame=k, name=path.stem, image=str(path)), photo=SIZE)
        for k, path in enumerate(plates)
    ]
    mesh = MeshArrays(
        np.array(CORNERS, np.float32), np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.int32), np.ones((8, 4), np.float32)
    )
    run = assembly.begin(scene, "shot", Play(animate_sequence=True), takes_scene=True)
    parts = [*payloads.parts(payloads.random_cloud(20)), Part("_Fused", mesh)]
    point_cloud.run_all(assembly.batch_steps(run, 0, parts, records))
    assembly.end(run)
    return run


def rendered(scene, tmp_path):
    """(h, w, 3) of the composite as a file has it, the first row on top."""
    scene.cycles.samples, scene.cycles.use_denoising = 32, False
    scene.render.filepath = str(tmp_path / "out.png")
    bpy.ops.render.render(write_still=True, scene=scene.name)
    image = bpy.data.images.load(scene.render.filepath)
    flat = np.empty(4 * SIZE[0] * SIZE[1], np.float32)
    image.pixels.foreach_get(flat)
    bpy.data.images.remove(image)
    return flat.reshape(SIZE[1], SIZE[0], 4)[::-1, :, :3]


def at(scene, picture, point):
    seen = world_to_camera_view(scene, scene.camera, Vector(point))
    return picture[int((1.0 - seen.y) * SIZE[1]), int(seen.x * SIZE[0])]


def test_a_cube_stands_behind_the_wall_and_throws_its_shadow_on_the_floor(scene, run, tmp_path):
    assert shot.set_up(scene, run.top, run.camera) == []
    scene.frame_set(1002)
    empty = rendered(scene, tmp_path)
    plate = np.array(PLATE) + 0.1
    assert np.abs(empty - plate).max() < 0.02  # nothing there: the plate of this very frame, as it was
    bpy.ops.mesh.primitive_cube_add(size=1.4, location=(0.0, 2.0, 0.7))
    red = bpy.data.materials.new("red")
    red.use_nodes = True
    principled = next(node for node in red.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    principled.inputs["Base Color"].default_value = (1.0, 0.0, 0.0, 1.0)
    bpy.context.object.data.materials.append(red)
    picture = rendered(scene, tmp_path)
    right, left = at(scene, picture, (0.5, 1.3, 0.7)), at(scene, picture, (-0.4, 0.0, 0.9))
    assert right[0] > 2.0 * right[1]  # the cube, seen past the wall
    assert np.abs(left - plate).max() < 0.03  # the wall before it
    bpy.context.object.location = (1.8, 0.0, 0.7)  # beside the wall, on the floor that is seen
    picture = rendered(scene, tmp_path)
    darkest = (picture.sum(axis=2) + 10.0 * (picture[:, :, 0] > picture[:, :, 1])).min()  # of what is not the cube
    assert darkest < 0.8 * plate.sum()  # its shadow


def test_what_was_set_comes_back_with_delete_run_and_the_person_s_compositor_stays(scene, run):
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Punchy"
    scene.view_settings.exposure = 0.5
    before = scene.render.engine, scene.render.film_transparent
    shot.set_up(scene, run.top, run.camera)
    shot.set_up(scene, run.top, run.camera)  # twice is once
    assert [c.name for c in scene.collection.children if c.name.endswith("_Shot")] == ["shot_Shot"]
    assert scene.render.engine == "CYCLES" and scene.active_clip is not None
    assert scene.view_settings.view_transform == "Standard" and scene.view_settings.exposure == 0.0
    deleting.delete(scene, run.top)
    assert (scene.render.engine, scene.render.film_transparent) == before
    view = scene.view_settings
    assert (view.view_transform, view.look, view.exposure, view.gamma) == ("AgX", "AgX - Punchy", 0.5, 1.0)
    assert not [obj for obj in bpy.data.objects if obj.type != "CAMERA"]
    if bpy.app.version >= (5, 0, 0):
        assert scene.compositing_node_group is None and not [g for g in bpy.data.node_groups if "Shot" in g.name]
    else:
        assert not scene.use_nodes and {node.bl_idname for node in scene.node_tree.nodes} == compositing.DEFAULT
    assert not bpy.data.movieclips  # nothing shows the plate any more


def test_a_compositor_of_ours_that_the_person_went_on_with_stays(scene, run):
    shot.set_up(scene, run.top, run.camera)
    tree = scene.compositing_node_group if bpy.app.version >= (5, 0, 0) else scene.node_tree
    tree.nodes.new("CompositorNodeBlur")
    count = len(tree.nodes)
    deleting.delete(scene, run.top)
    assert len(tree.nodes) == count


def test_the_sun_shines_from_where_the_sky_is_brightest_as_the_run_stands(scene, run):
    run.top[assembly.SUN] = [0.6, 0.0, 0.8]
    quarter = np.eye(4)
    quarter[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    for _ in transforming.move_steps(run.top, quarter):
        pass
    shot.set_up(scene, run.top, run.camera)
    (sun,) = [obj for obj in scene.objects if obj.type == "LIGHT"]
    bpy.context.view_layer.update()
    assert list(sun.matrix_world.col[2][:3]) == pytest.approx([0.0, 0.6, 0.8], abs=1e-6)  # it shines along its -z
    run.top[assembly.SUN] = [0.6, 0.0, -0.8]
    assert shot.sun_of(run.top) is None  # below the ground stands no sun


def test_a_compositor_of_the_person_s_is_left_alone(scene, run):
    if bpy.app.version >= (5, 0, 0):
        scene.compositing_node_group = tree = bpy.data.node_groups.new("mine", "CompositorNodeTree")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
    tree.nodes.new("CompositorNodeBlur")
    (said,) = shot.set_up(scene, run.top, run.camera)
    assert "nodes of yours" in said
    assert [node.bl_idname for node in tree.nodes if "Blur" in node.bl_idname]


def test_what_is_missing_is_said(scene, run):
    bpy.data.batch_remove([obj for obj in run.top.all_objects if obj.type == "MESH" and len(obj.data.polygons)])
    run.camera.data.background_images.clear()
    said = shot.set_up(scene, run.top, run.camera)
    assert len(said) == 2 and "Fuse Frames to Mesh" in said[0] and f"no plate behind '{animation.CAMERA}'" in said[1]
