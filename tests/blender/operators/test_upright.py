"""Set Upright and Scale by Distance on a run in the scene: everything moves together, in proportion."""

from types import SimpleNamespace

import bpy
import numpy as np
import payloads
import pytest
import truth
from da3_blender import addon
from da3_blender.core.geometry.projection import points_to_blender, unproject
from da3_blender.nodes import animation, assembly, point_cloud
from da3_blender.nodes.edits import transforming
from da3_blender.operators import picking
from da3_blender.operators import upright as upright_operators
from da3_blender.operators.state import kept_run
from mathutils import Matrix


@pytest.fixture(autouse=True)
def registered(empty_file):
    addon.register()
    yield
    addon.unregister()


@pytest.fixture(scope="module")
def yard():
    """Positions, colours and cameras of six photos of the courtyard, its world turned so that x is up."""
    known = truth.load("courtyard")
    frames = range(0, 14, 3)
    tilted = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # z becomes x
    points, records = [], []
    for i in frames:
        w2c = known.extrinsics[i].copy()
        w2c[:, :3] = w2c[:, :3] @ tilted.T
        world = unproject(known.depth[i : i + 1], known.intrinsics[i : i + 1], w2c[None])[0]
        points.append(points_to_blender(world[known.depth[i] > 0][::5]))
        records.append(payloads.record(w2c, known.intrinsics[i], (640, 428), frame=i, name=f"{i:03d}"))
    return np.concatenate(points), records


def build(scene, yard, play=None):
    points, records = yard
    cloud = payloads.random_cloud(len(points))
    cloud = type(cloud)(points, cloud.point_color, cloud.conf, cloud.frame)
    run = assembly.begin(scene, "courtyard", play)
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), records))
    scene.view_layers[0].update()
    return run


def pixels(run, camera):
    """(P, 2) where the run's points are in a camera's view, at distance 1, of those ahead of it; all points: (P, 3)."""
    (cloud,) = (obj for obj in run.top.all_objects if obj.type == "MESH")
    world = transforming.world_positions(cloud, 97)
    inside = np.c_[world, np.ones(len(world))] @ np.linalg.inv(np.array(camera.matrix_world)).T
    return inside[:, :2] / inside[:, 2:3]


@pytest.mark.parametrize(
    "play", [None, animation.Play(True, True), animation.Play(True)], ids=["still", "both", "moving"]
)
def test_the_courtyard_stands_on_the_ground_and_every_point_stays_on_its_pixel(scene, yard, play):
    run = build(scene, yard, play)
    camera = run.camera or next(obj for obj in run.top.all_objects if obj.type == "CAMERA")
    scene.frame_set(yard[1][2].frame)
    before, cloud = pixels(run, camera), next(obj for obj in run.top.all_objects if obj.type == "MESH")
    assert bpy.ops.da3.set_upright() == {"FINISHED"}
    scene.frame_set(yard[1][1].frame)
    scene.frame_set(yard[1][2].frame)
    world = transforming.world_positions(cloud)
    # The ground takes up more of the photos than anything else: its height is the commonest there is.
    counts, edges = np.histogram(world[:, 2], np.arange(-3.005, 8.0, 0.01))
    assert abs(edges[counts.argmax()] + 0.005) < 0.011
    np.testing.assert_allclose(pixels(run, camera), before, atol=2e-4)
    moved = np.array(cloud.matrix_world)[:3, :3]
    np.testing.assert_allclose(moved @ moved.T, np.eye(3), atol=1e-5)  # nothing is scaled
    tilt = np.degrees(np.arccos(min(1.0, (moved @ points_to_blender(np.array([1.0, 0.0, 0.0])))[2])))
    assert tilt < 1.0


def test_what_stands_is_not_moved_by_a_second_time(scene, yard):
    run = build(scene, yard)
    bpy.ops.da3.set_upright()
    first = transforming.place_of(run.top)
    bpy.ops.da3.set_upright()
    np.testing.assert_allclose(transforming.place_of(run.top), first, atol=0.005)


def test_scaling_by_a_distance_makes_it_so_and_keeps_the_ground(scene, yard):
    run = build(scene, yard, animation.Play(True, True))
    cameras = [obj for obj in run.top.all_objects if obj.type == "CAMERA"]
    cloud = next(obj for obj in run.top.all_objects if obj.type == "MESH")
    before = transforming.world_positions(cloud, 50)
    drawn = [camera.data.display_size for camera in cameras]
    seen = pixels(run, cameras[0])
    first, second = before[0], before[-1]
    assert bpy.ops.da3.scale_by_distance(first=first, second=second, distance=2.5) == {"FINISHED"}
    scene.view_layers[0].update()
    after = transforming.world_positions(cloud, 50)
    assert np.linalg.norm(after[0] - after[-1]) == pytest.approx(2.5, rel=1e-4)
    scale = 2.5 / np.linalg.norm(first - second)
    np.testing.assert_allclose(after[:, 2], scale * before[:, 2], atol=1e-4)  # z = 0 stays z = 0
    np.testing.assert_allclose(after[0, :2], first[:2], atol=1e-4)
    np.testing.assert_allclose(pixels(run, cameras[0]), seen, atol=2e-4)
    for camera, size in zip(cameras, drawn, strict=True):
        assert camera.data.display_size == pytest.approx(scale * size, rel=1e-5)
        assert camera.matrix_world.to_scale()[:] == pytest.approx((1, 1, 1), abs=1e-5)
    # Dots lie in the object's own space, so they grow with it.
    np.testing.assert_allclose(cloud.matrix_world.to_scale()[:], [scale] * 3, rtol=1e-5)


def test_what_is_built_later_can_be_put_in_the_same_place(scene, yard):
    run = build(scene, yard)
    bpy.ops.da3.set_upright()
    bpy.ops.da3.scale_by_distance(first=(0, 0, 0), second=(0, 0, 1), distance=3.0)
    cloud = next(obj for obj in run.top.all_objects if obj.type == "MESH")
    np.testing.assert_allclose(transforming.place_of(run.top), np.array(cloud.matrix_world), atol=1e-4)


def test_a_child_goes_with_its_parent_and_a_person_may_turn_an_object(scene, yard):
    run = build(scene, yard)
    cloud = next(obj for obj in run.top.all_objects if obj.type == "MESH")
    child = bpy.data.objects.new("child", None)
    run.top.objects.link(child)
    child.parent, child.location = cloud, (1.0, 2.0, 3.0)
    scene.view_layers[0].update()
    similarity = np.array(Matrix.Translation((0, 0, 5)) @ Matrix.Rotation(0.7, 4, "Y") @ Matrix.Scale(2, 4))
    there = similarity @ np.array(child.matrix_world)
    for _ in transforming.move_steps(run.top, similarity):
        pass
    scene.view_layers[0].update()
    np.testing.assert_allclose(np.array(child.matrix_world), there, atol=1e-4)


def test_a_camera_animated_with_angles_moves_along(scene, yard):
    run = build(scene, yard)
    camera = next(obj for obj in run.top.all_objects if obj.type == "CAMERA")
    camera.rotation_mode = "XYZ"
    for frame, angle in ((1, 0.1), (9, 1.4)):
        camera.rotation_euler, camera.location = (angle, 0.2, -angle), (frame, 0.0, 1.0)
        camera.keyframe_insert("rotation_euler", frame=frame)
        camera.keyframe_insert("location", frame=frame)
    similarity = np.array(Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(1.1, 4, "X"))
    wanted = {}
    for frame in (1, 9):
        scene.frame_set(frame)
        wanted[frame] = similarity @ np.array(camera.matrix_world)
    for _ in transforming.move_steps(run.top, similarity):
        pass
    for frame, matrix in wanted.items():
        scene.frame_set(frame)
        np.testing.assert_allclose(np.array(camera.matrix_world), matrix, atol=1e-5)


def test_the_active_object_says_which_run_is_meant(scene, yard):
    first, second = build(scene, yard), build(scene, yard)
    assert transforming.run_of(bpy.context) == second.top
    chosen = next(obj for obj in first.top.all_objects if obj.type == "MESH")
    scene.view_layers[0].objects.active = chosen
    assert transforming.run_of(bpy.context) == first.top
    bpy.ops.da3.set_upright()
    assert transforming.PLACE in first.top and transforming.PLACE not in second.top


def test_without_a_run_or_with_points_that_are_one_nothing_is_done(scene, yard):
    for call in (bpy.ops.da3.set_upright, bpy.ops.da3.scale_by_distance):
        with pytest.raises(RuntimeError, match="poll"):
            call()
    assert kept_run.why_no_run(bpy.context) == kept_run.NO_RUN
    run = build(scene, yard)
    with pytest.raises(RuntimeError, match="two points are one"):
        bpy.ops.da3.scale_by_distance(first=(1, 2, 3), second=(1, 2, 3), distance=2.0)
    with pytest.raises(RuntimeError, match="no distance"):
        bpy.ops.da3.scale_by_distance(first=(1, 2, 3), second=(1, 2, 4), distance=0.0)
    assert transforming.PLACE not in run.top


def test_the_foremost_point_under_the_mouse_is_picked():
    matrix = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, -1.0, 0], [0, 0, -1.0, 0]])  # looks along -z
    points = np.array([[0, 0, -5.0], [0, 0, -2.0], [0.5, 0, -2.0], [0, 0, 3.0]], np.float32)
    # In a picture of 200 x 100, the first two lie behind each other in the middle, the third 25 to the right.
    assert picking.nearest(points, matrix, (200, 100), (101.0, 50.0)) == 1
    assert picking.nearest(points, matrix, (200, 100), (124.0, 51.0)) == 2
    beside = np.array([[0.02, 0, -2.01], [0.0, 0, -2.0]], np.float32)  # a pixel apart, one a little nearer
    assert picking.nearest(np.r_[points, beside], matrix, (200, 100), (101.2, 50.0)) == 4
    assert picking.nearest(points, matrix, (200, 100), (60.0, 50.0)) is None
    assert picking.nearest(points[:0], matrix, (200, 100), (100.0, 50.0)) is None
    assert picking.nearest(points[3:], matrix, (200, 100), (100.0, 50.0)) is None  # behind the viewer


def test_escape_ends_the_picking_and_leaves_nothing(scene, yard):
    build(scene, yard)
    closed = []
    operator = SimpleNamespace(_picker=SimpleNamespace(close=closed.append))
    kind = upright_operators.DA3_OT_scale_by_distance
    operator.cancel = lambda context: kind.cancel(operator, context)
    assert kind.modal(operator, bpy.context, SimpleNamespace(type="ESC", value="PRESS")) == {"CANCELLED"}
    assert closed and operator._picker is None
