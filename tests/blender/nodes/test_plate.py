"""The footage behind the cameras: at Blender's frame k it shows what was filmed for it."""

from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output.payload import CameraRecord
from da3_blender.nodes import animation, assembly, cameras, plate, point_cloud
from da3_blender.nodes.animation import Play
from da3_blender.nodes.edits import deleting

SEQUENCE = Play(animate_sequence=True)
SIZE = (64, 48)
K = np.array([[60.0, 0.0, 30.0], [0.0, 60.0, 25.0], [0.0, 0.0, 1.0]])


def shade(k: int) -> float:
    return 0.1 + 0.1 * k


@pytest.fixture
def files(tmp_path):
    """plate_1001.png and on, each of another grey."""
    paths = []
    for k in range(6):
        image = bpy.data.images.new("made", *SIZE)
        image.pixels.foreach_set(np.full(4 * SIZE[0] * SIZE[1], shade(k), np.float32))
        paths.append(tmp_path / f"plate_{1001 + k}.png")
        image.save(filepath=str(paths[-1]))
        bpy.data.images.remove(image)
    return paths


def records(frames, files=None, video=""):
    rng = np.random.default_rng(0)
    names = [files[frame].stem if files else f"clip_{frame:06d}" for frame in frames]
    return [
        replace(
            payloads.record(payloads.random_pose(rng), K, SIZE, frame=f, name=n, image=str(files[f]) if files else ""),
            photo=SIZE, video=video,
        )
        for f, n in zip(frames, names, strict=True)
    ]  # fmt: skip


def build(scene, batches, play=SEQUENCE, rate=None):
    run = assembly.begin(scene, "shot", play, rate)
    for number, batch in enumerate(batches):
        cloud = replace(payloads.random_cloud(len(batch)), frame=np.array([r.frame for r in batch], np.int32))
        point_cloud.run_all(assembly.batch_steps(run, number, payloads.parts(cloud), batch))
    assembly.end(run)
    return run


def file_at(clip, frame) -> int:
    """The number of the file that a clip of files shows: Blender's own rule for them."""
    return int(Path(clip.filepath).stem[-4:]) + frame - clip.frame_start + clip.frame_offset


@pytest.mark.parametrize("frames", [range(6), range(2, 6), range(0, 6, 2)])
def test_behind_the_moving_camera_frame_k_of_the_timeline_shows_file_k(scene, files, frames):
    found = records(list(frames), files)
    run = build(scene, [found[:2], found[2:]])
    camera = scene.objects[animation.CAMERA]
    (background,) = camera.data.background_images
    assert background.source == "MOVIE_CLIP" and background.clip == run.top[plate.CLIP]
    assert camera.data.show_background_images and background.frame_method == "STRETCH"
    for frame in range(scene.frame_start, scene.frame_end + 1):
        assert file_at(background.clip, frame) == frame
    assert (scene.frame_start, scene.frame_end) == (1001 + frames[0], 1001 + frames[-1])


def test_the_clip_knows_the_lens(scene, files):
    bent = [
        replace(r, distortion=(-0.1, 0.02, 0.0), fx=58.0 + i, fy=58.0 + i)
        for i, r in enumerate(records(range(5), files))
    ]
    build(scene, [bent])
    (clip,) = bpy.data.movieclips
    lens = clip.tracking.camera
    assert lens.focal_length_pixels == pytest.approx(60.0)
    assert lens.focal_length == pytest.approx(60.0 / 64.0 * lens.sensor_width)
    assert tuple(lens.principal_point_pixels) == pytest.approx((30.0, 48.0 - 25.0), abs=1e-4)
    assert (lens.k1, lens.k2, lens.k3) == pytest.approx((-0.1, 0.02, 0.0))
    (background,) = scene.objects[animation.CAMERA].data.background_images
    assert background.clip_user.use_render_undistorted


def test_the_reprojection_error_is_a_curve_of_the_moving_camera(scene, files):
    errors = [0.5, 0.0, 0.75, 0.25, 1.5]  # of one frame it is not known
    found = [replace(r, reprojection_error=e) for r, e in zip(records(range(5), files), errors, strict=True)]
    build(scene, [found[:2], found[2:]])
    camera = scene.objects[animation.CAMERA]
    for frame, error in zip(range(1001, 1006), errors, strict=True):
        scene.frame_set(frame)
        seen = camera.evaluated_get(bpy.context.evaluated_depsgraph_get())[cameras.REPROJECTION_ERROR]
        assert seen == pytest.approx(error or 0.625)  # between its neighbours'


def test_photographs_that_are_no_take_get_no_clip(scene, files):
    named = [replace(r, name=f"{'xyz'[r.frame]}") for r in records(range(3), files)]
    build(scene, [named])
    assert not bpy.data.movieclips and not scene.objects[animation.CAMERA].data.background_images


def test_a_deleted_run_takes_its_clip_along_but_not_one_of_the_person_s(scene, files):
    own = bpy.data.movieclips.load(str(files[0]))
    run = build(scene, [records(range(3), files)])
    assert len(bpy.data.movieclips) == 2
    deleting.delete(scene, run.top)
    assert list(bpy.data.movieclips) == [own]


@pytest.fixture
def video(files, tmp_path):
    """The six files as a video, written by Blender."""
    scene = bpy.data.scenes.new("writer")
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_image("s", str(files[0]), channel=1, frame_start=1)
    for path in files[1:]:
        strip.elements.append(path.name)
    render = scene.render
    render.resolution_x, render.resolution_y = SIZE
    scene.frame_start, scene.frame_end = 1, len(files)
    scene.view_settings.view_transform = "Standard"
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "MKV", "FFV1"
    render.filepath = str(tmp_path / "clip.mkv")
    render.use_file_extension = False
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    return tmp_path / "clip.mkv"


def test_a_video_plays_from_the_frame_that_was_used_first(scene, video):
    build(scene, [records(range(2, 6), video=str(video))], rate=24.0)
    (clip,) = bpy.data.movieclips
    assert clip.frame_duration == 6
    # Blender: frame k of the timeline is the file's frame k - start + offset, counted from 0.
    assert [k - clip.frame_start + clip.frame_offset for k in (scene.frame_start, scene.frame_end)] == [2, 5]


def test_each_single_camera_of_a_video_shows_its_own_frame(scene, video):
    found = records(range(1, 4), video=str(video))
    build(scene, [found], Play(), rate=24.0)
    cameras = sorted((c for c in scene.objects if c.type == "CAMERA"), key=lambda c: c["frame"])
    assert len({c.data.background_images[0].image for c in cameras}) == 1  # the file is there once
    for camera in cameras:
        user = camera.data.background_images[0].image_user
        assert (user.frame_duration, user.frame_offset) == (1, camera["frame"])


def test_a_record_keeps_its_video_and_its_lens_on_its_way_through_the_protocol():
    (record,) = records([3], video="clip.mkv")
    record = replace(record, distortion=(0.1, 0.2, 0.3))
    assert CameraRecord.from_json(record.to_json()) == record
