"""A moving camera of the scene as known cameras: the same poses, whatever program it came from."""

from dataclasses import replace

import addon_utils
import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.geometry.projection import cameras_from_blender
from da3_blender.nodes import animation, assembly, point_cloud, scene_cameras
from da3_blender.nodes.animation import Play

SIZE = (640, 428)
K = np.array([[500.0, 0.0, 300.0], [0.0, 500.0, 220.0], [0.0, 0.0, 1.0]])
# The scene's own timeline, and every key.
FBX = {"bake_anim_use_all_actions": False, "bake_anim_use_nla_strips": False, "bake_anim_simplify_factor": 0.0}
SAME = 1e-4  # of a pose's numbers, as the issue asks


def pose(k):
    """Half a turn around the origin, on a rising way, in ten steps."""
    c, s = np.cos(0.3 * k), np.sin(0.3 * k)
    return np.array([[c, 0.0, -s, 0.1 * k], [0.0, 1.0, 0.0, -0.05 * k], [s, 0.0, c, 4.0]])


def moving(scene):
    return scene.objects[animation.CAMERA]


@pytest.fixture
def shot(scene):
    """A run of ten frames, and what its cameras are."""
    scene.frame_start = 1001
    records = [payloads.record(pose(k), K, SIZE, frame=k, name=f"photo_{k}") for k in range(10)]
    records = [
        replace(record, name="photo") for record in records
    ]  # they have no numbers, and begin where the scene does
    run = assembly.begin(scene, "walk", Play(animate_sequence=True), takes_scene=True)
    steps = assembly.batch_steps(run, 0, payloads.parts(payloads.random_cloud(9)), records)
    point_cloud.run_all(steps)
    assembly.end(run)
    assert (scene.render.resolution_x, scene.render.resolution_y) == SIZE
    return run, records


def compare(found, records, first):
    assert [int(one.name) for one in found][: len(records)] == list(range(first, first + len(records)))
    for one, record in zip(found, records, strict=False):
        a, b = (cameras_from_blender(np.reshape(r.camera_to_world, (1, 4, 4))) for r in (one, record))
        assert np.abs(a - b).max() < SAME
        assert (one.fx, one.fy, one.cx, one.cy) == pytest.approx((record.fx, record.fy, record.cx, record.cy), rel=1e-4)


def test_our_own_camera_comes_back_and_the_scene_stays_as_it_is(scene, shot):
    scene.frame_set(1004)
    before = moving(scene).matrix_world.copy(), len(bpy.data.scenes), len(bpy.data.objects)
    found = scene_cameras.read_moving(scene, animation.CAMERA)
    compare(found, shot[1], 1001)
    assert [one.frame for one in found] == list(range(10))
    assert before == (moving(scene).matrix_world, len(bpy.data.scenes), len(bpy.data.objects))
    assert scene.frame_current == 1004


def through(scene, kind, path):
    """Export the camera with Blender's own exporter, take it away, and import it."""
    camera = moving(scene)
    bpy.ops.object.select_all(action="DESELECT")
    camera.select_set(True)
    bpy.context.view_layer.objects.active = camera
    if kind == "fbx":
        addon_utils.enable("io_scene_fbx")
        bpy.ops.export_scene.fbx(filepath=path, use_selection=True, **FBX)
    elif kind == "abc":
        bpy.ops.wm.alembic_export(filepath=path, selected=True, start=scene.frame_start, end=scene.frame_end)
    else:
        bpy.ops.wm.usd_export(filepath=path, selected_objects_only=True, export_animation=True)
    bpy.data.objects.remove(camera)
    if kind == "fbx":
        bpy.ops.import_scene.fbx(filepath=path, anim_offset=0.0)  # by default frames are counted from 1
    elif kind == "abc":
        bpy.ops.wm.alembic_import(filepath=path, set_frame_range=False, as_background_job=False)
    else:
        bpy.ops.wm.usd_import(filepath=path, set_frame_range=False)
    return next(obj for obj in scene.objects if obj.type == "CAMERA")


@pytest.mark.parametrize("kind", ["fbx", "abc", "usdc"])
def test_a_camera_comes_back_from_blender_s_exporters(scene, shot, tmp_path, kind):
    camera = through(scene, kind, str(tmp_path / f"shot.{kind}"))
    found = [one for one in scene_cameras.read_moving(scene, camera.name) if 1001 <= int(one.name) <= 1010]
    compare(found, shot[1], 1001)


def test_a_camera_that_is_carried_by_another_object_moves_with_it(scene):
    carrier = bpy.data.objects.new("dolly", None)
    camera = bpy.data.objects.new("shot", bpy.data.cameras.new("shot"))
    camera.parent = carrier
    for obj in (carrier, camera):
        scene.collection.objects.link(obj)
    for frame, x in ((1, 0.0), (11, 10.0)):
        carrier.location.x = x
        carrier.keyframe_insert("location", frame=frame)
    scene.frame_start, scene.frame_end = 1, 11
    found = scene_cameras.read_moving(scene, "shot")
    assert found[0].camera_to_world[3] == pytest.approx(0.0) and found[10].camera_to_world[3] == pytest.approx(10.0)


def test_a_camera_that_is_not_there_is_said(scene):
    with pytest.raises(BadInput, match="no camera 'shot'"):
        scene_cameras.read_moving(scene, "shot")
