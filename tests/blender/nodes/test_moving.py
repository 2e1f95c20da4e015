"""At each frame of the timeline exactly that frame's moving thing is there, in the viewport and in renders."""

from dataclasses import replace

import bpy
import numpy as np
import payloads
import pytest
import surfaces
from da3_blender.core.output import blender_arrays
from da3_blender.core.output.payload import Part, PointArrays
from da3_blender.core.settings import Settings
from da3_blender.core.surfaces import image_meshes
from da3_blender.nodes import assembly, point_cloud
from da3_blender.nodes.datablocks import scene as scenes
from PIL import Image

FRAMES = range(3, 8)  # of the input, so also of the timeline
BALL = 6  # pixels, width and height of what moves
COLORS = {"ball": (200, 40, 40), "wall": (40, 40, 200)}
DOT = 4.0  # scale: dots of 0.016 units across, of which `cloud` gives every pixel 25


def column(frame):
    """Where the thing is at that frame: it walks from left to right."""
    return 8 + 10 * (frame - FRAMES.start)


def walk():
    """Frames seen by one camera that stands still: a wall, and before it a ball that crosses; which pixels are the ball."""
    prediction = surfaces.flat(len(FRAMES), depth=4.0)
    prediction.extrinsics[:] = np.eye(4)[:3]
    prediction.images[:] = COLORS["wall"]
    moving = np.zeros(prediction.depth.shape, bool)
    for i, frame in enumerate(FRAMES):
        moving[i, 20 : 20 + BALL, column(frame) : column(frame) + BALL] = True
    prediction.depth[moving] = 2.0
    prediction.images[moving] = COLORS["ball"]
    return prediction, moving


def records():
    found = zip(surfaces.records_of(walk()[0]), FRAMES, strict=True)
    return [
        replace(record, frame=frame, name=f"walk_{frame:03d}") for record, frame in found
    ]  # numbers, which are kept


def as_meshes(names=None, tracked=False):
    """Moving_<image>, or with a name; the wall is built of all frames."""
    prediction, moving = walk()
    if tracked:
        prediction.object_id = np.where(moving, 5, 0).astype(np.int32)
    return image_meshes.mesh_parts(prediction, list(FRAMES), records(), Settings(), moving=moving, names=names)


def cloud(chosen):
    """The points of those pixels, each made of several, so that no gap is between the dots."""
    prediction, _ = walk()
    positions, colors, frames = [], [], []
    offsets = [(du, dv) for du in np.linspace(-0.4, 0.4, 5) for dv in np.linspace(-0.4, 0.4, 5)]
    for i, frame in enumerate(FRAMES):
        own = chosen[i].ravel()
        for du, dv in offsets:
            k = prediction.intrinsics[i] - [[0.0, 0.0, du], [0.0, 0.0, dv], [0.0, 0.0, 0.0]]
            places, _ = payloads.pixel_points(prediction.depth[i], k, prediction.extrinsics[i])
            positions.append(places[own])
            colors.append(prediction.images[i].reshape(-1, 3)[own])
            frames.append(np.full(own.sum(), frame, np.int32))
    rgba = np.ones((sum(map(len, colors)), 4), np.float32)
    rgba[:, :3] = blender_arrays.linear_from_srgb(np.concatenate(colors))
    return PointArrays(np.concatenate(positions), rgba, np.full(len(rgba), 3.0, np.float32), np.concatenate(frames))


def as_points():
    """Moving_<frame> as clouds, and the wall."""
    _, moving = walk()
    still, flow = cloud(~moving), cloud(moving)
    parts = [Part("_Points", still)]
    return parts + [Part(f"Moving_{f}", flow.select(flow.frame == f), "Moving", f) for f in FRAMES]


def as_playing():
    """One object with the points of all frames."""
    _, moving = walk()
    return [Part("_Points", cloud(~moving)), Part("person_5", cloud(moving), "Moving", plays=True)]


def build(scene, parts):
    run = assembly.begin(scene, "walk")
    point_cloud.run_all(assembly.batch_steps(run, 0, parts, records(), scale=DOT))
    assembly.end(run)
    return run


def in_view(scene):
    """Names of what the viewport shows at this frame, with the frames of its points where it is a cloud."""
    shown = {}
    for instance in bpy.context.evaluated_depsgraph_get().object_instances:
        obj = instance.object
        if obj.type in ("MESH", "POINTCLOUD") and "frame" in obj.data.attributes:
            data = obj.data.attributes["frame"].data
            values = np.empty(len(data), np.int32)
            data.foreach_get("value", values)
            if len(values):
                shown[obj.name] = sorted({*values.tolist()})
    return shown


def rendered(scene, path):
    scenes.photo_colors(scene)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def balls(picture):
    """The frames whose ball is in the picture, each at its place."""
    red = picture[..., 0] - picture[..., 2] > 80
    return [f for f in FRAMES if red[21 : 19 + BALL, column(f) + 1 : column(f) + BALL - 1].mean() > 0.9]


WAYS = {"keyframed clouds": as_points, "keyframed meshes": as_meshes, "one cloud that plays": as_playing}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_at_each_frame_the_viewport_shows_the_ball_of_that_frame_only(scene, way):
    build(scene, way())
    for frame in [*FRAMES, FRAMES[0]]:
        scene.frame_set(frame)
        moving = {
            name: frames for name, frames in in_view(scene).items() if "Points" not in name and "Mesh" not in name
        }
        assert [*moving.values()] == [[frame]]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_at_each_frame_the_render_has_one_ball_where_it_was(scene, way, tmp_path):
    build(scene, way())
    for frame in FRAMES:
        scene.frame_set(frame)
        picture = rendered(scene, tmp_path / f"{frame}.png")
        assert balls(picture) == [frame]
        blue = picture[..., 2] - picture[..., 0] > 80
        assert blue[2:18, 2:-2].mean() > 0.9  # the wall is there all the time
        assert ((picture[..., 0] - picture[..., 2] > 80).sum()) < 2 * BALL * BALL  # and nothing else of the ball


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_right_after_the_build_the_shown_frame_is_right(scene, way):
    """Without a change of frame: nobody has touched the timeline yet."""
    build(scene, way())
    assert scene.frame_current == FRAMES[0]
    moving = [frames for name, frames in in_view(scene).items() if "Points" not in name and "Mesh" not in name]
    assert moving == [[FRAMES[0]]]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_stands_still_is_always_there(scene, way):
    build(scene, way())
    for frame in (0, *FRAMES, 100):
        scene.frame_set(frame)
        still = [frames for name, frames in in_view(scene).items() if "Points" in name or "Mesh" in name]
        assert sorted({f for frames in still for f in frames}) == [*FRAMES]


@pytest.mark.parametrize("frame", [0, 100])
def test_before_and_after_the_input_nothing_moves(scene, frame):
    build(scene, as_points())
    scene.frame_set(frame)
    assert not any(name.startswith("Moving") for name in in_view(scene))


def test_the_timeline_runs_over_the_input(scene):
    build(scene, as_points())
    assert (scene.frame_start, scene.frame_end) == (FRAMES[0], FRAMES[-1])


def test_the_moving_objects_have_their_names_and_their_collection(scene):
    run = build(scene, as_points())
    moving = run.top.children["Moving"]
    assert sorted(obj.name for obj in moving.objects) == [f"Moving_{frame}" for frame in FRAMES]


def test_a_tracked_thing_as_meshes_has_one_for_each_frame_under_its_name(scene):
    run = build(scene, as_meshes({5: "person_5"}, tracked=True))
    assert sorted(obj.name for obj in run.top.children["Moving"].objects) == [f"person_5_walk_{f:03d}" for f in FRAMES]
    assert sorted(obj.name for obj in run.top.children["Segmented"].objects) == [
        f"Background_walk_{f:03d}" for f in FRAMES
    ]
    scene.frame_set(5)
    assert [name for name in in_view(scene) if name.startswith("person")] == ["person_5_walk_005"]
