"""Which frame of the timeline shows what: numbers of files, the scene's start, and what is held until the next."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output.payload import Part
from da3_blender.nodes import assembly, cameras, point_cloud
from da3_blender.nodes.timeline import Timeline

K = np.array([[50.0, 0.0, 32.0], [0.0, 50.0, 24.0], [0.0, 0.0, 1.0]])


def records(frames, name="shot"):
    return [
        payloads.record(np.eye(4)[:3], K, (64, 48), frame=frame, name=name.format(frame) if "{" in name else name)
        for frame in frames
    ]


@pytest.mark.parametrize(
    ("name", "frames", "expected"),
    [
        ("plate_{:04d}", [1001, 1002, 1005], [1001, 1002, 1005]),  # as a film's plates
        ("shot", [0, 1, 2], [7, 8, 9]),  # no numbers
        ("{}_of_many", [4, 5], [7, 8]),  # the number is not at the end
        ("scan_20261126{:06d}", [1, 2], [7, 8]),  # a date is no frame
    ],
)
def test_files_with_numbers_keep_them_and_all_else_begins_at_the_scenes_start(name, frames, expected):
    timeline = Timeline(7)
    made = records(frames, name)
    timeline.learn([replace(record, frame=index) for index, record in enumerate(made)])
    assert timeline.used[: len(expected)] == expected
    assert [timeline.of(index) for index in range(len(frames))] == expected


def test_a_video_begins_at_the_scenes_start_whatever_its_frames_are_called():
    timeline = Timeline(101, is_video=True)
    timeline.learn(records([300, 330], "clip_{:06d}"))
    assert timeline.used == [101, 131]


def test_numbers_that_fall_or_come_twice_are_not_kept():
    for numbers in ((5, 5), (9, 3)):
        timeline = Timeline(1)
        timeline.learn([replace(r, name=f"a_{n}") for r, n in zip(records([0, 1]), numbers, strict=True)])
        assert timeline.used == [1, 2]


def test_ten_of_300_frames_are_seen_all_the_time(scene):
    frames = list(range(0, 300, 30))
    run = assembly.begin(scene, "walk", frame_rate=30.0)
    for k, part in enumerate(
        (frames[:5], frames[5:])
    ):  # two batches: the first's last is held until the second's first
        parts = [Part(f"Moving_{f}", payloads.random_cloud(5), "Moving", f) for f in part]
        point_cloud.run_all(assembly.batch_steps(run, k, parts, records(part)))
    assert (scene.frame_start, scene.frame_end) == (1, 271)
    seen = []
    for now in range(1, 301):
        scene.frame_set(now)
        [shown] = [obj.name for obj in run.top.children["Moving"].objects if not obj.hide_render]
        seen.append(int(shown.split("_")[1]))
    assert seen == [30 * (now // 30) for now in range(300)]


def test_one_cloud_that_plays_is_held_too(scene):
    frames = list(range(0, 100, 25))
    run = assembly.begin(scene, "walk", frame_rate=30.0)
    for k, part in enumerate((frames[:2], frames[2:])):
        cloud = replace(
            payloads.random_cloud(40), frame=np.repeat(np.array(part, np.int32), 20), conf=np.ones(40, np.float32)
        )
        point_cloud.run_all(
            assembly.batch_steps(run, k, [Part(f"ball_{k}", cloud, "Moving", plays=True)], records(part))
        )
    for now in (1, 25, 26, 50, 51, 75, 76, 100):
        scene.frame_set(now)
        shown = []
        for instance in bpy.context.evaluated_depsgraph_get().object_instances:
            if instance.object.type == "POINTCLOUD":
                data = instance.object.data.attributes["frame"].data
                shown += {value.value for value in data}
        assert shown == [25 * ((now - 1) // 25)]


def test_the_render_has_the_size_of_the_photograph_and_square_pixels(scene):
    """A photograph of 4032 x 3024, which the network saw as 504 x 378, and one whose patches do not fit its shape."""
    for photo, size, expected in (((4032, 3024), (504, 378), (4032, 3024)), ((640, 428), (504, 336), (640, 428))):
        focal = 400.0
        k = np.array(
            [[focal * size[0] / photo[0], 0, size[0] / 2], [0, focal * size[1] / photo[1], size[1] / 2], [0, 0, 1]]
        )
        record = replace(payloads.record(np.eye(4)[:3], k, size), photo=photo)
        steps = cameras.build_steps([record])
        [camera] = point_cloud.run_all(steps)
        cameras.look_through(scene, camera)
        render = scene.render
        assert (render.resolution_x, render.resolution_y) == expected
        assert (render.pixel_aspect_x, render.pixel_aspect_y) == (1.0, 1.0)


@pytest.mark.parametrize(("off", "is_square"), [(1.004, True), (0.996, True), (1.006, False), (2.0, False)])
def test_pixels_are_square_where_fx_and_fy_allow_half_a_percent(scene, off, is_square):
    k = np.array([[50.0 * off, 0.0, 32.0], [0.0, 50.0, 24.0], [0.0, 0.0, 1.0]])
    record = replace(payloads.record(np.eye(4)[:3], k, (64, 48)), photo=(640, 480))
    [camera] = point_cloud.run_all(cameras.build_steps([record]))
    cameras.look_through(scene, camera)
    aspect = scene.render.pixel_aspect_y / scene.render.pixel_aspect_x
    assert aspect == pytest.approx(1.0 if is_square else off, rel=1e-6)
