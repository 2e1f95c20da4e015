"""What moves on the timeline: the camera along its path, and geometry that shows on its own frame only."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from bpy_extras.object_utils import world_to_camera_view
from da3_blender.core.output.payload import in_order_of_frames
from da3_blender.core.settings import Settings
from da3_blender.nodes import animation, assembly, point_cloud, preview
from da3_blender.nodes.animation import Play
from da3_blender.nodes.datablocks import scene as scenes
from mathutils import Vector

SEQUENCE = Play(animate_sequence=True)
K = np.array([[500.0, 0.0, 300.0], [0.0, 500.0, 220.0], [0.0, 0.0, 1.0]])
SIZE = (640, 428)


def orbit(frames, zoom=0.0):
    """Cameras on a circle of radius 4 around the origin, which turn once and a half; ``zoom``: growth of the lens."""
    records = []
    for place, frame in enumerate(frames):
        angle = 3.0 * np.pi * place / max(1, len(frames) - 1)
        c, s = np.cos(angle), np.sin(angle)
        pose = np.array([[c, 0.0, -s, 0.1 * place], [0.0, 1.0, 0.0, 0.0], [s, 0.0, c, 4.0]])
        k = K * [[1.0 + zoom * place, 1.0, 1.0], [1.0, 1.0 + zoom * place, 1.0], [1.0, 1.0, 1.0]]
        records.append(payloads.record(pose, k, SIZE, frame=frame, name=f"photo_{frame:03d}"))
    return records


def cloud_of(frames, each=10):
    """Points of each of the frames, in their order."""
    cloud = payloads.random_cloud(each * len(frames))
    return replace(cloud, frame=np.repeat(np.array(frames, np.int32), each))


def build(scene, batches, play, cloud=None, per_frame=False):
    run = assembly.begin(scene, "walk", play)
    for k, records in enumerate(batches):
        points = cloud or cloud_of([r.frame for r in records])
        point_cloud.run_all(assembly.batch_steps(run, k, payloads.parts(points, per_frame), records))
    assembly.end(run)
    return run


def moving(scene):
    return scene.objects[animation.CAMERA]


def world(camera):
    return np.array(camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world)


def everything():
    kinds = ("objects", "meshes", "cameras", "collections", "actions", "materials", "node_groups", "texts")
    return {kind: sorted(d.name for d in getattr(bpy.data, kind)) for kind in kinds}


# ---------------------------------------------------------------------------------------------------- the camera


def test_at_every_frame_the_moving_camera_stands_where_that_frame_s_camera_stood(scene):
    records = orbit(range(12))
    build(scene, [records[:5], records[5:]], SEQUENCE)
    for record in records:
        scene.frame_set(record.frame)
        # float32 of curves and matrices at some 4 units
        assert np.abs(world(moving(scene)) - np.reshape(record.camera_to_world, (4, 4))).max() < 5e-6


def test_through_the_moving_camera_a_point_lands_on_its_pixel_at_every_frame(scene):
    records = orbit(range(12), zoom=0.05)
    build(scene, [records], SEQUENCE)
    assert scene.camera == moving(scene)
    width, height = scene.render.resolution_x, scene.render.resolution_y
    assert (width, height) == SIZE
    for record in records:
        scene.frame_set(record.frame)
        c2w = np.reshape(record.camera_to_world, (4, 4))
        for u, v in ((10.5, 20.5), (600.5, 30.5), (320.0, 400.5)):
            ray = np.array([(u - record.cx) / record.fx, (record.cy - v) / record.fy, -1.0])
            point = c2w[:3, :3] @ (3.0 * ray) + c2w[:3, 3]
            seen = world_to_camera_view(scene, moving(scene), Vector(point.tolist()))
            assert (seen.x * width, (1.0 - seen.y) * height) == pytest.approx((u, v), abs=0.02)


def test_where_pixel_shapes_differ_width_and_height_share_the_error(scene):
    """The pixel aspect is the scene's and cannot be animated: half a per cent of difference is a quarter each way."""
    records = orbit(range(3))
    records[2] = replace(records[2], fy=records[2].fy * 1.005)
    build(scene, [records], SEQUENCE)
    scene.frame_set(2)
    seen = moving(scene).data.lens / moving(scene).data.sensor_width * SIZE[0]
    assert seen == pytest.approx(500.0 * 1.0025, rel=1e-5)


def test_halfway_between_two_keys_the_camera_is_halfway_and_level(scene):
    records = orbit(range(0, 60, 10))
    build(scene, [records], SEQUENCE)
    for before, after in zip(records, records[1:], strict=False):
        scene.frame_set(before.frame + 5)
        seen = world(moving(scene))
        ends = [np.reshape(r.camera_to_world, (4, 4)) for r in (before, after)]
        assert seen[:3, 3] == pytest.approx((ends[0][:3, 3] + ends[1][:3, 3]) / 2.0, abs=1e-5)
        # The orbit turns by 108 degrees from key to key; no way but the short one keeps the axis upright.
        assert seen[:3, 1] == pytest.approx(ends[0][:3, 1], abs=1e-5)
        assert np.einsum("i,i", seen[:3, 2], ends[0][:3, 2] + ends[1][:3, 2]) > 0.0


def test_consensus_and_deviation_stand_on_the_camera_and_in_a_text(scene):
    records = orbit(range(4), zoom=0.1)  # fx 500, 550, 600, 650
    run = build(scene, [records[:2], records[2:]], SEQUENCE)
    camera = moving(scene)
    assert camera["fx_consensus"] == pytest.approx(575.0) and camera["fx_std"] == pytest.approx(
        np.std([0, 50, 100, 150])
    )
    assert camera["cx_consensus"] == pytest.approx(300.0) and camera["cx_std"] == 0.0
    assert camera.data["fx"] == camera["fx"] == 500.0
    (line,) = [line for line in bpy.data.texts["DA3_Camera_Report"].as_string().splitlines() if line.startswith("fx ")]
    assert [float(word) for word in line.split()[1:]] == pytest.approx([575.0, 55.9017])
    assembly.discard(run)
    assert not bpy.data.texts


def test_quaternions_never_jump_to_the_other_side():
    matrices = np.array([np.reshape(r.camera_to_world, (4, 4)) for r in orbit(range(400))])
    turns = animation.quaternions(matrices)
    assert (np.einsum("ij,ij->i", turns[1:], turns[:-1]) > 0.99).all()
    assert turns[:, 0].min() < -0.5 < 0.5 < turns[:, 0].max()  # half a turn and more: some were flipped


def test_a_very_wide_lens_is_kept(scene):
    wide = [replace(r, fx=10.0 + i, fy=10.0 + i) for i, r in enumerate(orbit(range(3)))]
    build(scene, [wide], SEQUENCE)
    for record in wide:
        scene.frame_set(record.frame)
        data = moving(scene).data
        assert data.lens / data.sensor_width * record.width == pytest.approx(record.fx, rel=1e-5)


@pytest.mark.parametrize(
    ("play", "still", "moves"),
    [
        (Play(), 6, False),
        (Play(keep_individual_cameras=True), 6, False),
        (Play(animate_sequence=True), 0, True),
        (Play(animate_sequence=True, keep_individual_cameras=True), 6, True),
    ],
)
def test_which_cameras_are_made(scene, play, still, moves):
    records = orbit(range(6))
    build(scene, [records[:3], records[3:]], play)
    names = [o.name for o in bpy.data.objects if o.type == "CAMERA"]
    assert len([name for name in names if name.startswith("photo_")]) == still
    assert (animation.CAMERA in names) == moves
    assert len(names) == still + moves
    assert scene.camera.name == (animation.CAMERA if moves else "photo_000")


def test_one_action_each_for_pose_and_lens_is_left_however_many_batches_there_were(scene):
    build(scene, [orbit(range(k, k + 2)) for k in range(0, 10, 2)], SEQUENCE)
    assert [a.name.split(".")[0] for a in bpy.data.actions] == ["DA3_Camera", "DA3_Camera_Lens"]
    curves = {(c.data_path, c.array_index): c for c in animation.read_curves(moving(scene))}
    assert len(curves["location", 0].keyframe_points) == 10
    assert (scene.frame_start, scene.frame_end) == (0, 9)


def test_batches_in_any_order_and_with_shared_frames_make_one_path(scene):
    records = orbit(range(9))
    build(scene, [records[6:], records[:4], records[3:7]], SEQUENCE)
    (x,) = [c for c in animation.read_curves(moving(scene)) if (c.data_path, c.array_index) == ("location", 0)]
    assert [key.co.x for key in x.keyframe_points] == list(range(9))


def test_running_twice_moves_two_cameras(scene):
    first, second = (build(scene, [orbit(range(3))], SEQUENCE) for _ in range(2))
    assert (first.camera.name, second.camera.name) == ("DA3_Camera", "DA3_Camera.001")
    assert first.camera.animation_data.action != second.camera.animation_data.action


def test_a_moving_camera_that_was_deleted_meanwhile_is_made_again(scene):
    run = assembly.begin(scene, "walk", SEQUENCE)
    records = orbit(range(4))
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud_of([0, 1])), records[:2]))
    bpy.data.objects.remove(run.camera)
    point_cloud.run_all(assembly.batch_steps(run, 1, payloads.parts(cloud_of([2, 3])), records[2:]))
    scene.frame_set(3)
    assert np.abs(world(run.camera) - np.reshape(records[3].camera_to_world, (4, 4))).max() < 5e-6


# -------------------------------------------------------------------------------------------------- the geometry


def shown(scene):
    """Objects with points that are seen in the viewport and in renders, as the file says after a change of the frame."""
    clouds = [o for o in scene.objects if o.type == "MESH"]
    assert all(o.hide_viewport == o.hide_render for o in clouds)
    return sorted(o.name for o in clouds if not o.hide_viewport)


@pytest.mark.parametrize("frames", [range(5), range(0, 50, 10)], ids=["every", "tenth"])
def test_each_frame_s_points_are_seen_on_their_own_timeline_frame_only(scene, frames):
    records = orbit(frames)
    run = build(scene, [records[:3], records[3:]], Play(), per_frame=True)
    assert (scene.frame_start, scene.frame_end) == (frames[0], frames[-1])
    assert shown(scene) == [f"walk_Batch_0_Frame_{frames[0]}"]  # before any change of the frame, too
    for place, frame in enumerate(frames):
        for held in range(frame, frame + frames.step):  # until the next one, also between two batches
            scene.frame_set(held)
            assert shown(scene) == [f"walk_Batch_{place // 3}_Frame_{frame}"]
    scene.frame_set(frames[-1] + frames.step)
    assert shown(scene) == []
    assert {c.name for c in run.top.children} == {"walk_Batch_0", "walk_Batch_1"}


def test_every_point_is_in_the_object_of_its_frame(scene):
    cloud = payloads.random_cloud(200)
    ordered = in_order_of_frames(cloud)
    assert sorted(map(tuple, ordered.position)) == sorted(map(tuple, cloud.position))
    build(scene, [orbit(range(9))], Play(), ordered, per_frame=True)
    for obj in (o for o in bpy.data.objects if o.type == "MESH"):
        frame = int(obj.name.rpartition("_")[2])
        assert set(preview.read(obj.data, "frame")) == {frame}
        own = cloud.frame == frame
        assert np.array_equal(preview.read(obj.data, "conf"), cloud.conf[own])
        assert np.array_equal(preview.read(obj.data, "position"), cloud.position[own])


def test_points_already_in_order_are_not_copied():
    cloud = cloud_of(range(4))
    assert in_order_of_frames(cloud) is cloud


# ---------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize(("play", "per_frame"), [(SEQUENCE, False), (Play(), True), (Play(True, True), True)])
def test_a_batch_cancelled_after_any_step_leaves_the_path_as_it_was(scene, play, per_frame):
    records = orbit(range(6))
    run = assembly.begin(scene, "walk", play)
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud_of(range(3)), per_frame), records[:3]))
    before, taken = everything(), 0
    while True:
        taken += 1
        steps = assembly.batch_steps(run, 1, payloads.parts(cloud_of(range(3, 6)), per_frame), records[3:])
        try:
            for _ in range(taken):
                next(steps)
        except StopIteration:
            break
        steps.close()
        assert everything() == before, f"after step {taken}"
        if play.animate_sequence:
            (x, *_) = animation.read_curves(moving(scene))
            assert len(x.keyframe_points) == 3
    assert taken > 8


def test_a_run_taken_away_leaves_nothing(scene):
    before = everything()
    run = build(scene, [orbit(range(3))], Play(True, True), per_frame=True)
    assembly.discard(run)
    assert everything() == before


def test_the_settings_of_the_same_names_say_how_a_run_plays():
    assert Play.of(Settings()) == Play()
    assert Play.of(Settings(animate_sequence=True)) == Play(True, False)


def test_the_preview_draws_every_stop_of_a_moving_camera(scene, tmp_path):
    records = orbit(range(6))
    build(scene, [records], SEQUENCE)
    found, matrices, frames = animation.frame_by_frame([moving(scene)])
    assert (len(found), list(frames)) == (6, list(range(6)))
    expected = np.array([np.reshape(r.camera_to_world, (4, 4)) for r in records])
    assert np.abs(matrices - expected).max() < 5e-6
    clouds = [o for o in scene.objects if o.type == "MESH"]
    preview.render_preview(clouds, [moving(scene)], tmp_path / "seen.png", size=(64, 36), samples=1)
    assert (tmp_path / "seen.png").is_file()


@pytest.mark.parametrize("rate", [24.0, 25.0, 30000 / 1001, 59.94, 7.5, 0.5])
def test_the_timeline_runs_at_the_rate_of_the_video(scene, rate):
    scenes.set_frame_rate(scene, rate)
    scenes.frame_range(scene, (3, 120))
    assert scene.render.fps / scene.render.fps_base == pytest.approx(rate, rel=1e-6)  # the base is a float32
    assert (scene.frame_start, scene.frame_end) == (3, 120)


def test_a_frame_of_a_video_has_a_camera_without_a_background(scene):
    records = [replace(r, image="") for r in orbit(range(2))]
    build(scene, [records], Play())
    assert [len(o.data.background_images) for o in bpy.data.objects if o.type == "CAMERA"] == [0, 0]
    assert len(bpy.data.images) == 0


def test_points_stay_as_they_are_without_any_of_this(scene):
    run = build(scene, [orbit(range(3))], Play(), payloads.random_cloud(40))
    assert isinstance(run.play, Play) and not bpy.data.actions
    assert [len(o.data.vertices) for o in bpy.data.objects if o.type == "MESH"] == [40]
