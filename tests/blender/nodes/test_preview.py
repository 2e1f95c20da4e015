"""The rendered picture: of a new place, without holes, and without a trace in the person's file."""

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.output.payload import PointArrays
from da3_blender.nodes import assembly, point_cloud, preview, viewpoint

SIZE = (320, 180)
K = np.array([[150.0, 0.0, 80.0], [0.0, 150.0, 60.0], [0.0, 0.0, 1.0]])
PURE_RED = (1.0, 0.0, 0.0, 1.0)


def wall(cameras: int = 3):
    """A red wall 4 units ahead, seen by cameras side by side: cloud and records."""
    points, records, frames = [], [], []
    for i in range(cameras):
        pose = np.eye(3, 4)
        pose[0, 3] = -0.5 * (i - (cameras - 1) / 2)
        at, _ = payloads.pixel_points(np.full((120, 160), 4.0, np.float32), K, pose)
        points.append(at)
        frames.append(np.full(len(at), i, np.int32))
        records.append(payloads.record(pose, K, (160, 120), frame=i, name=f"{i}"))
    position = np.concatenate(points)
    color = np.tile(np.float32(PURE_RED), (len(position), 1))
    cloud = PointArrays(position, color, np.full(len(position), 2.0, np.float32), np.concatenate(frames))
    return cloud, records


def built(scene, cloud, records):
    run = assembly.begin(scene, "wall")
    batch = point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(cloud), records))
    return list(batch.objects), list(batch.children[0].objects)


def pixels(path) -> np.ndarray:
    """(H, W, 3) uint8 of a picture."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    out = np.array(image.pixels[:], np.float32).reshape(image.size[1], image.size[0], 4)[::-1, :, :3]
    bpy.data.images.remove(image)
    return np.round(out * 255.0).astype(np.uint8)


def test_the_wall_is_drawn_in_its_colour_and_nothing_shines_through_it(scene, tmp_path):
    clouds, cameras = built(scene, *wall())
    preview.render_preview(clouds, cameras, tmp_path / "wall.png", size=SIZE, samples=4, frustums=False)
    picture = pixels(tmp_path / "wall.png")
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    # Of the four rays through a pixel all hit the wall: one that misses would add 40 of the sky's blue. (Blender's
    # dithering adds one or two.)
    red = (picture[..., 0] > 250) & (picture[..., 1:].max(axis=-1) < 10)
    assert red.mean() > 0.25
    assert red[inside(red)].all()


def inside(mask: np.ndarray, rim: int = 6) -> np.ndarray:
    """What has some of ``mask`` on all four sides, less a rim: dots make a scalloped outline."""
    from_left, from_top = np.maximum.accumulate(mask, axis=1), np.maximum.accumulate(mask, axis=0)
    from_right = np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    from_bottom = np.maximum.accumulate(mask[::-1], axis=0)[::-1]
    hull = from_left & from_right & from_top & from_bottom
    shifted = [np.roll(hull, step, axis) for axis in (0, 1) for step in range(-rim, rim + 1)]
    return np.logical_and.reduce(shifted)


def test_the_scene_and_the_file_are_as_before(scene, tmp_path):
    clouds, cameras = built(scene, *wall())
    kinds = [name for name in dir(bpy.data) if isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection)]

    def state():
        datablocks = {kind: [d.name for d in getattr(bpy.data, kind)] for kind in kinds}
        return datablocks, scene.camera.name, scene.render.engine, scene.render.filepath, bpy.context.scene.name

    before = state()
    preview.render_preview(clouds, cameras, tmp_path / "wall.png", size=SIZE, samples=1)
    assert state() == before


def test_cameras_are_drawn_where_they_were(scene, tmp_path, monkeypatch):
    view = viewpoint.look_at(np.array([1.5, -2.0, 1.5]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    monkeypatch.setattr(viewpoint, "choose", lambda seen: view)
    clouds, cameras = built(scene, *wall())
    pictures = []
    for frustums in (False, True):
        preview.render_preview(clouds, cameras, tmp_path / "a.png", size=SIZE, samples=4, frustums=frustums)
        pictures.append(pixels(tmp_path / "a.png").astype(int))
    changed = np.abs(pictures[1] - pictures[0]).max(axis=-1) > 20
    assert changed.mean() < 0.1
    for camera in cameras:
        x, y, z = (np.array(camera.matrix_world.translation) - view[:3, 3]) @ view[:3, :3]
        focal = SIZE[0] / 2 / np.tan(viewpoint.FIELD_OF_VIEW / 2)
        u, v = int(SIZE[0] / 2 - focal * x / z), int(SIZE[1] / 2 + focal * y / z)
        assert changed[v - 2 : v + 3, u - 2 : u + 3].any(), camera.name


def test_the_view_is_none_of_the_cameras_but_shows_most_of_the_cloud():
    cloud, records = wall()
    cameras = np.array([np.reshape(r.camera_to_world, (4, 4)) for r in records])
    view = viewpoint.choose(viewpoint.Seen(cloud.position, cloud.frame, cameras))
    assert np.linalg.norm(cameras[:, :3, 3] - view[:3, 3], axis=1).min() > 0.4
    local = (cloud.position - view[:3, 3]) @ view[:3, :3]
    reach = np.tan(viewpoint.FIELD_OF_VIEW / 2.0)
    across, along = np.abs(local[:, :2] / -local[:, 2:] / reach).T
    assert ((local[:, 2] < 0) & (across < 1) & (along < SIZE[1] / SIZE[0])).mean() > 0.9
    assert view[2, 1] > 0.7  # upright


def test_what_stands_in_the_middle_of_all_pictures_is_whole():
    """A toy on a table, photographed from all around: the table has ten times its points, and fills a picture well."""
    random = np.random.default_rng(0)
    toy = np.column_stack([random.uniform(-0.2, 0.2, (3000, 2)), random.uniform(0.0, 0.4, 3000)])
    points = np.concatenate([toy, np.column_stack([random.uniform(-1.0, 1.0, (30000, 2)), np.zeros(30000)])])
    cameras = np.array([
        viewpoint.look_at(np.array([1.2 * np.sin(a), -1.2 * np.cos(a), 0.7]), np.array([0, 0, 0.13]), np.array([0, 0, 1.0]))
        for a in np.radians(np.arange(0, 360, 30))
    ])  # fmt: skip
    source = np.full(len(points), -1)
    for k, camera in enumerate(cameras):
        local = (points - camera[:3, 3]) @ camera[:3, :3]
        inside = (np.abs(local[:, :2] / local[:, 2:]) < (0.55, 0.4)).all(axis=1)
        source[inside & (random.random(len(points)) < 0.5)] = k
    toy_is = np.arange(len(points)) < len(toy)
    view = viewpoint.choose(viewpoint.Seen(points[source >= 0], source[source >= 0], cameras))
    local = (points[toy_is] - view[:3, 3]) @ view[:3, :3]
    at = local[:, :2] / -local[:, 2:] / np.tan(viewpoint.FIELD_OF_VIEW / 2.0) * (1.0, SIZE[0] / SIZE[1])
    assert (local[:, 2] < 0).all() and np.abs(at).max() < 1.0


@pytest.mark.parametrize("tilt", [0.0, 20.0, 45.0])
def test_up_is_found_however_the_cameras_were_tilted(tilt):
    cameras = [
        viewpoint.look_at(
            np.array([4 * np.cos(a), 4 * np.sin(a), 4 * np.tan(np.radians(tilt))]), np.zeros(3), np.array([0, 0, 1.0])
        )
        for a in np.radians([0, 20, 40, 60])
    ]
    # Four cameras over 60 degrees: the pull towards the mean y axis leaves some degrees.
    assert viewpoint.upward(np.array(cameras))[2] > np.cos(np.radians(12.0))


def test_a_picture_of_nothing_is_refused_with_a_reason(scene, tmp_path):
    with pytest.raises(BadInput, match="no points"):
        preview.render_preview([], [], tmp_path / "a.png")


def test_a_picture_that_cannot_be_written_is_an_error_that_says_why(scene, tmp_path):
    (tmp_path / "file").write_text("in the way")
    clouds, cameras = built(scene, *wall())
    with pytest.raises(OSError, match="Not a directory"):
        preview.render_preview(clouds, cameras, tmp_path / "file" / "a.png", size=(16, 16), samples=1)
    assert [s.name for s in bpy.data.scenes] == ["Scene"]


def test_a_frustum_that_the_pictures_edge_would_cut_is_left_out():
    view = viewpoint.look_at(np.zeros(3), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    edge = 4.0 * np.tan(viewpoint.FIELD_OF_VIEW / 2)  # of the picture, at this depth
    for side, height in ((1.0, 0.0), (-1.0, 0.0), (0.0, 0.5625), (0.0, -0.5625)):
        at_the_edge = edge * np.array([side, 0.0, height]) + [0.0, 4.0, 0.0]
        assert viewpoint.span(np.stack([0.9 * at_the_edge, [0.0, 4.0, 0.0]]) * [1, 0, 1] + [0, 4, 0], view) < 0.5
        assert viewpoint.span(np.stack([1.1 * at_the_edge, [0.0, 4.0, 0.0]]) * [1, 0, 1] + [0, 4, 0], view) == np.inf
