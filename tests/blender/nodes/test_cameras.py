"""Cameras: every point lands on the pixel it came from, by Blender's own projection."""

import struct
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import payloads
import pytest
import truth
from bpy_extras.object_utils import world_to_camera_view
from da3_blender.core.output.payload import CameraRecord, camera_table
from da3_blender.nodes import cameras
from mathutils import Vector

# A tenth of a pixel is what the eye cannot see; the cameras' own error is float32's, some thousandths.
PIXELS = 0.1
INTRINSICS = ("fx", "fy", "cx", "cy", "fov_h_deg", "fov_v_deg")


def build(records, scene):
    collection = bpy.data.collections.new("Cameras")
    scene.collection.children.link(collection)
    built = []
    steps = cameras.build_steps(records, collection)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        built = end.value
    return built


def projected(scene: bpy.types.Scene, camera: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """(P, 2) pixels where Blender sees the points through its camera."""
    cameras.look_through(scene, camera)
    bpy.context.view_layer.update()
    size = scene.render.resolution_x, scene.render.resolution_y
    seen = np.array([world_to_camera_view(scene, camera, Vector(p)) for p in points.tolist()])
    return np.stack([seen[:, 0] * size[0], (1.0 - seen[:, 1]) * size[1]], axis=-1)


def some(points: np.ndarray, pixels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(0).permutation(len(points))[:count]
    return points[chosen], pixels[chosen]


@pytest.mark.parametrize("size", [(640, 428), (378, 504), (504, 504)], ids=["landscape", "portrait", "square"])
@pytest.mark.parametrize("seed", range(6))
def test_every_point_lands_on_its_pixel_with_any_focal_length_centre_and_pixel_shape(scene, size, seed):
    rng = np.random.default_rng(seed)
    fx, fy = rng.uniform(0.3, 3.0) * size[0], rng.uniform(0.3, 3.0) * size[0]
    cx, cy = rng.uniform(0.2, 0.8, 2) * size
    k = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    pose = payloads.random_pose(rng)
    depth = rng.uniform(0.5, 40.0, size[::-1]).astype(np.float32)
    points, pixels = some(*payloads.pixel_points(depth, k, pose), 2000)

    (camera,) = build([payloads.record(pose, k, size)], scene)

    # float32 holds a point 60 units from the origin to 4e-6, and a lens to 1e-7 of the image.
    assert np.abs(projected(scene, camera, points) - pixels).max() < 0.02


@pytest.mark.parametrize("name", ["courtyard", "portrait"])
def test_every_point_of_the_samples_lands_on_the_pixel_it_came_from(scene, name):
    t = truth.load(name)
    size = t.depth.shape[2], t.depth.shape[1]
    records = [
        payloads.record(e, k, size, frame=i, name=f"{i}")
        for i, (e, k) in enumerate(zip(t.extrinsics, t.intrinsics, strict=True))
    ]
    for i, camera in enumerate(build(records, scene)):
        points, pixels = some(*payloads.pixel_points(t.depth[i], t.intrinsics[i], t.extrinsics[i]), 4000)
        error = np.abs(projected(scene, camera, points) - pixels).max(axis=1)
        assert (error < PIXELS).mean() >= 0.999, camera.name


def test_a_camera_carries_its_name_and_its_intrinsics(scene):
    k = np.array([[500.0, 0.0, 300.0], [0.0, 510.0, 220.0], [0.0, 0.0, 1.0]])
    pose = payloads.random_pose(np.random.default_rng(0))
    (camera,) = build([payloads.record(pose, k, (640, 428), frame=7, name="IMG_0042")], scene)
    assert (camera.name, camera.data.name) == ("IMG_0042", "IMG_0042")
    assert [camera[key] for key in ("fx", "fy", "cx", "cy", "frame")] == [500.0, 510.0, 300.0, 220.0, 7]
    assert camera["fov_h_deg"] == pytest.approx(np.degrees(np.arctan(300 / 500) + np.arctan(340 / 500)))
    assert camera["fov_v_deg"] == pytest.approx(np.degrees(np.arctan(220 / 510) + np.arctan(208 / 510)))
    assert dict(camera.data.items()) == {key: camera[key] for key in INTRINSICS}


def test_a_centred_camera_has_no_shift_and_the_lens_a_photographer_knows(scene):
    k = np.array([[50 / 36 * 640, 0.0, 320.0], [0.0, 50 / 36 * 640, 214.0], [0.0, 0.0, 1.0]])
    (camera,) = build([payloads.record(np.eye(3, 4), k, (640, 428))], scene)
    assert camera.data.lens == pytest.approx(50.0)
    assert (camera.data.shift_x, camera.data.shift_y) == (0.0, 0.0)
    cameras.look_through(scene, camera)
    render = scene.render
    assert (render.resolution_x, render.resolution_y) == (640, 428)
    assert (render.pixel_aspect_x, render.pixel_aspect_y) == (1.0, 1.0)


@pytest.fixture
def photos(tmp_path):
    paths = []
    for i in range(3):
        image = bpy.data.images.new("made", 64, 42)
        paths.append(tmp_path / f"photo_{i:03d}.png")
        image.save(filepath=str(paths[-1]))
        bpy.data.images.remove(image)
    return paths


def test_a_camera_shows_its_image_behind_the_scene_and_reads_it_only_when_looked_at(scene, photos):
    for camera, path in zip(build(payloads.random_records(3, images=photos), scene), photos, strict=True):
        (background,) = camera.data.background_images
        assert camera.data.show_background_images
        assert background.image.filepath == str(path)
        assert background.frame_method == "STRETCH"
        assert not background.image.has_data


def test_an_image_that_covers_a_part_of_the_canvas_is_shown_on_that_part(scene, photos):
    k = np.array([[500.0, 0.0, 320.0], [0.0, 500.0, 214.0], [0.0, 0.0, 1.0]])
    part = payloads.record(np.eye(3, 4), k, (640, 428), image=str(photos[0]), placement=(160, 107, 320, 214))
    (camera,) = build([part], scene)
    (background,) = camera.data.background_images
    assert background.frame_method == "FIT"
    assert background.scale == pytest.approx(0.5)


def jpeg(path: Path, orientation: int | None, size: tuple[int, int] = (64, 42)) -> Path:
    """A JPEG as a telephone writes it: EXIF right after the first marker."""
    image = bpy.data.images.new("made", *size)
    image.file_format = "JPEG"
    image.save(filepath=str(path))
    bpy.data.images.remove(image)
    if orientation is not None:
        tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)
        body = b"Exif\0\0" + tiff
        whole = path.read_bytes()
        path.write_bytes(whole[:2] + struct.pack(">HH", 0xFFE1, len(body) + 2) + body + whole[2:])
    return path


@pytest.mark.parametrize(("value", "turn"), [(6, np.pi / 2), (8, -np.pi / 2)])
def test_a_portrait_stored_lying_is_turned_upright_and_fills_the_frame(scene, tmp_path, value, turn):
    path = jpeg(tmp_path / "a.jpg", value, (504, 378))
    k = np.array([[500.0, 0.0, 189.0], [0.0, 500.0, 252.0], [0.0, 0.0, 1.0]])
    (camera,) = build([payloads.record(np.eye(3, 4), k, (378, 504), image=str(path), orientation=value)], scene)
    (background,) = camera.data.background_images
    assert background.rotation == pytest.approx(turn)
    # Fitted into the frame, the stored picture is 378 wide; it has to be 504 before it is turned.
    assert (background.frame_method, background.scale) == ("FIT", pytest.approx(504 / 378))


def test_an_image_that_is_not_there_takes_nothing_from_the_camera(scene):
    (camera,) = build(payloads.random_records(1), scene)
    assert len(camera.data.background_images) == 0


def test_cancelled_half_way_no_camera_and_no_image_is_left(scene, photos):
    collection = bpy.data.collections.new("Cameras")
    steps = cameras.build_steps(payloads.random_records(3, images=photos), collection)
    next(steps)
    next(steps)
    assert len(collection.objects) == 2
    steps.close()
    assert [len(kind) for kind in (bpy.data.objects, bpy.data.cameras, bpy.data.images)] == [0, 0, 0]


def test_cameras_are_drawn_smaller_than_the_gap_between_them(scene):
    records = []
    for i in range(4):
        pose = np.eye(3, 4)
        pose[0, 3] = -0.02 * i
        records.append(payloads.record(pose, np.diag([500.0, 500.0, 1.0]), (640, 428), frame=i))
    for camera in build(records, scene):
        assert 0.001 < camera.data.display_size < 0.02


def test_the_table_of_cameras_quotes_what_a_spreadsheet_would_misread():
    camera = CameraRecord(
        name="a, b", frame=3, camera_to_world=tuple(np.eye(4).ravel()), fx=320.0, fy=320.0, cx=320.0, cy=320.0,
        width=640, height=640, image="", placement=(0, 0, 640, 640),
    )  # fmt: skip
    assert camera_table([camera]).splitlines() == [
        "frame,name,fx,fy,cx,cy,fov_h_deg,fov_v_deg",
        '3,"a, b",320.000000,320.000000,320.000000,320.000000,90.000000,90.000000',
    ]


def test_a_panorama_gets_a_panoramic_camera_that_sees_each_direction_where_its_picture_has_it(scene):
    """Rendered with Cycles: a small lamp in each of some directions is bright at the pixel that the picture shows it at."""
    width, height = 128, 64
    pose = payloads.random_pose(np.random.default_rng(3))
    record = replace(
        payloads.record(pose, np.diag([1.0, 1.0, 1.0]), (width, height)), is_panorama=True, photo=(width, height),
        fx=width / (2.0 * np.pi), fy=height / np.pi, cx=width / 2.0, cy=height / 2.0,
    )  # fmt: skip
    (camera,) = build([record], scene)
    assert camera.data.type == "PANO"
    cameras.look_through(scene, camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 4, "CPU"
    scene.render.image_settings.file_format = "PNG"
    matrix = np.reshape(record.camera_to_world, (4, 4))
    lamp = bpy.data.materials.new("lamp")
    lamp.use_nodes = True
    lamp.node_tree.nodes["Principled BSDF"].inputs["Emission Strength"].default_value = 50.0
    lamp.node_tree.nodes["Principled BSDF"].inputs["Emission Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    for u, v in ((64.5, 32.5), (100.5, 32.5), (20.5, 12.5), (64.5, 50.5)):
        longitude, down = (u / width - 0.5) * 2.0 * np.pi, (v / height - 0.5) * np.pi
        own = np.array([np.cos(down) * np.sin(longitude), -np.sin(down), -np.cos(down) * np.cos(longitude)])
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.15, location=matrix[:3, :3] @ own * 5.0 + matrix[:3, 3])
        ball = bpy.context.object
        ball.data.materials.append(lamp)
        scene.render.filepath = str(Path(bpy.app.tempdir) / "panorama.png")
        bpy.ops.render.render(write_still=True, scene=scene.name)
        picture = bpy.data.images.load(scene.render.filepath)
        bright = np.array(picture.pixels[:]).reshape(height, width, 4)[::-1, :, :3].sum(axis=-1)
        bpy.data.images.remove(picture)
        bpy.data.objects.remove(ball)
        rows, columns = np.nonzero(bright > 0.5 * bright.max())
        assert abs(columns.mean() + 0.5 - u) < 0.6 and abs(rows.mean() + 0.5 - v) < 0.6


def test_a_copy_lies_upright_behind_its_camera_and_goes_into_the_file(scene, tmp_path):
    """The original, turned and of a kind that Blender does not open, is not there at all."""
    copy = tmp_path / "0_photo.heic.jpg"
    picture = bpy.data.images.new("photo", 64, 48)
    picture.filepath_raw, picture.file_format = str(copy), "JPEG"
    picture.save()
    bpy.data.images.remove(picture)
    k = np.array([[60.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])
    record = payloads.record(
        payloads.random_pose(np.random.default_rng(3)), k, (64, 48), image="/gone.heic", orientation=6
    )
    first, second = build([replace(record, copy=str(copy)), replace(record, copy=str(copy), frame=1)], scene)
    (background,) = first.data.background_images
    copy.unlink()
    assert background.image.packed_file is not None and background.image.size[:] == (64, 48)
    assert (background.rotation, background.use_flip_x, background.frame_method) == (0.0, False, "STRETCH")
    assert second.data.background_images[0].image == background.image
    assert bpy.path.basename(background.image.filepath) == copy.name
