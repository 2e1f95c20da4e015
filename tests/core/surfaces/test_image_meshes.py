"""A mesh for each image: where it is cut, how it is shared out, and that its texture lies where the pixels are."""

import clips
import numpy as np
import payloads
import pytest
import truth
from da3_blender.core import pipeline
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.output import blender_arrays, point_clouds
from da3_blender.core.output.payload import MeshArrays, Part
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, ResizeMethod, Settings
from da3_blender.core.surfaces import pictures
from PIL import Image
from seen import Seen
from surfaces import flat, parts_of, records_of, waves


def edge_vectors(mesh):
    return mesh.position[mesh.edges[:, 1]] - mesh.position[mesh.edges[:, 0]]


# -------------------------------------------------------------------------------------------------------- texture


def stored_samples(path, uv):
    """What a program that knows nothing of EXIF sees at ``uv`` (P, 2), v up, between pixels linearly."""
    pixels = np.asarray(Image.open(path)).astype(np.float64)
    height, width = pixels.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1.0 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    right, below = (x - left)[:, None], (y - top)[:, None]
    upper = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    lower = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    return upper * (1 - below) + lower * below


SIZES = {
    "landscape": [(640, 480)],
    "portrait": [(420, 630)],
    "a shape that is no whole number of patches": [(1000, 431)],
    "smaller than it is processed": [(90, 70)],
    "mixed shapes on one canvas": [(640, 480), (480, 640), (600, 300)],
}


CASES = [(name, orientation, method) for name in SIZES for orientation in (1, 6) for method in ResizeMethod]
CASES += [("landscape", orientation, ResizeMethod.UPPER_BOUND) for orientation in (2, 3, 4, 5, 7, 8)]


@pytest.mark.parametrize(("name", "orientation", "method"), CASES)
def test_at_every_vertex_the_file_has_the_vertex_s_colour(tmp_path, name, orientation, method):
    sizes = SIZES[name]
    for i, (width, height) in enumerate(sizes):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(waves(width, height, i)).save(tmp_path / f"{i}.png", exif=exif)
    settings = Settings(
        generate_meshes=True, process_resolution=140, resize_method=method, batch_mode=BatchMode.IGNORE_BATCH_SIZE
    )
    frames = FrameSource.open(tmp_path)
    [batch] = pipeline.reconstruct(frames, settings, Seen(), on_progress=lambda *_: None, cancelled=lambda: False)
    delivered = pipeline.deliver(batch, pipeline.camera_records(batch, frames, settings), settings)
    assert len(delivered.parts) == len(sizes)
    for part, path in zip(delivered.parts, frames.paths, strict=True):
        assert part.image == str(path) and not part.packed
        mesh = part.arrays
        assert mesh.uv.min() >= 0.0 and mesh.uv.max() <= 1.0
        corners = mesh.corners.ravel()
        seen = stored_samples(path, mesh.uv)
        own = blender_arrays.srgb_from_linear(mesh.point_color[corners, :3]).astype(np.float64)
        assert np.abs(seen - own).max() <= 2.0  # the claim; rounding twice and the resampling take up to 1.5
        # It would be seen if the texture lay off by a pixel of the longest side:
        off = stored_samples(path, mesh.uv + 1.0 / max(batch.prediction.depth.shape)) - own
        assert np.abs(off).max() > 2.0


def test_sharp_images_lie_exactly_where_their_pixels_are():
    """Where nothing is resized, each vertex has the very colour of its pixel."""
    known = truth.load("portrait")
    frames = FrameSource.open(known.folder, end=0)
    height, width = known.depth.shape[1:]
    prediction = Prediction(
        np.full((1, height, width), 2.0, np.float32), np.ones((1, height, width), np.float32), known.extrinsics[:1],
        known.intrinsics[:1], frames.load(0).image[None],
    )  # fmt: skip
    [part] = parts_of(prediction)
    corners = part.arrays.corners.ravel()
    seen = stored_samples(known.paths[0], part.arrays.uv)
    own = blender_arrays.srgb_from_linear(part.arrays.point_color[corners, :3])
    assert np.abs(seen - own).max() < 0.05  # float32 coordinates of some 600 pixels, between neighbours of 255 levels


# ----------------------------------------------------------------------------------------------------- topology


def test_a_whole_image_is_a_whole_grid():
    [part] = parts_of(flat())
    mesh = part.arrays
    assert (len(mesh), len(mesh.corners), len(mesh.edges)) == (48 * 64, 47 * 63, 48 * 63 + 47 * 64)
    assert (part.name, part.group, part.frame) == ("_Mesh_photo_000", "", None)
    assert {key: a.dtype.name for key, a in mesh.given().items()} == {
        "position": "float32", "corners": "int32", "point_color": "float32", "conf": "float32", "depth": "float32",
        "uv": "float32", "edges": "int32", "corner_edges": "int32", "frame": "int32",
    }  # fmt: skip


@pytest.fixture(scope="module")
def courtyard():
    """Two frames of the courtyard from true depth, as meshes and as points."""
    known = truth.load("courtyard")
    chosen = [0, 5]
    prediction = Prediction(
        known.depth[chosen], np.where(known.depth[chosen] > 0, 5.0, 0.0).astype(np.float32), known.extrinsics[chosen],
        known.intrinsics[chosen], known.images[chosen],
    )  # fmt: skip
    return prediction, [part.arrays for part in parts_of(prediction)]


def test_edges_and_corners_agree_and_nothing_hangs_loose(courtyard):
    _, found = courtyard
    for mesh in found:
        ends = np.sort(mesh.edges[mesh.corner_edges], axis=-1)
        assert (ends == np.sort(np.stack([mesh.corners, np.roll(mesh.corners, -1, axis=1)], axis=-1), axis=-1)).all()
        first, second = np.sort(mesh.edges, axis=1).astype(np.int64).T
        assert len(np.unique(first * len(mesh) + second)) == len(mesh.edges)
        assert (np.unique(mesh.corners) == np.arange(len(mesh))).all()
        assert (np.unique(mesh.corner_edges) == np.arange(len(mesh.edges))).all()
        assert np.bincount(mesh.corner_edges.ravel()).max() == 2  # no edge has a third face


def test_every_face_looks_at_its_camera(courtyard):
    prediction, found = courtyard
    for mesh, matrix in zip(found, projection.cameras_to_blender(prediction.extrinsics), strict=True):
        a, b, c, d = (mesh.position[mesh.corners[:, k]].astype(np.float64) for k in range(4))
        normals = np.cross(c - a, d - b)  # of a quad: its diagonals'
        towards = matrix[:3, 3] - (a + b + c + d) / 4.0
        assert (np.einsum("ij,ij->i", normals, towards) > 0.0).all()


@pytest.mark.parametrize("limit", [0.02, 0.1, 1.0])
def test_no_edge_is_longer_than_its_part_of_the_depth(courtyard, limit):
    prediction, _ = courtyard
    for part in parts_of(prediction, Settings(generate_meshes=True, mesh_edge_length=limit)):
        mesh = part.arrays
        lengths = np.linalg.norm(edge_vectors(mesh), axis=1)
        assert (
            lengths <= limit * mesh.depth[mesh.edges].mean(axis=1) * (1 + 1e-4)
        ).all()  # float32, 20 units from the origin
        assert lengths.max() > 0.5 * limit * mesh.depth[mesh.edges].mean(axis=1)[lengths.argmax()]  # not cut too much


def test_it_is_cut_where_the_depth_jumps_and_nowhere_else():
    prediction = flat()
    prediction.depth[0, :, 40:] = 5.0
    [part] = parts_of(prediction)
    assert len(part.arrays.corners) == 47 * (39 + 23)  # all faces but the column between 39 and 40
    depth = part.arrays.depth[part.arrays.corners]
    assert (depth == depth[:, :1]).all()


def test_a_slope_is_no_jump():
    """A floor that runs away: neighbouring pixels may be a tenth of their depth apart, a steeper step is a jump."""
    prediction = flat()
    rows = 2.0 * 1.05 ** np.arange(48)
    prediction.depth[0] = rows[:, None]
    assert len(parts_of(prediction)[0].arrays.corners) == 47 * 63


def test_filtered_pixels_make_no_face_and_unsure_ones_stay_for_the_threshold():
    prediction = flat()
    prediction.conf[0, 10, 10] = 0.0
    prediction.conf[0, 30, 30] = 0.1  # below Min Confidence
    prediction.depth[0, 20, 50] = 0.0
    [part] = parts_of(prediction)
    assert len(part.arrays.corners) == 47 * 63 - 8
    assert len(part.arrays) == 48 * 64 - 2
    assert part.arrays.conf.min() == np.float32(0.1)


def test_a_frame_without_a_surface_makes_no_mesh():
    prediction = flat(3)
    prediction.conf[1] = 0.0
    assert [part.name for part in parts_of(prediction)] == ["_Mesh_photo_000", "_Mesh_photo_002"]


def test_vertices_lie_on_their_pixels_rays_and_keep_what_is_known_of_them():
    prediction = flat(2)
    prediction.conf[:] = np.random.default_rng(1).uniform(1.0, 9.0, prediction.conf.shape)
    motion = np.random.default_rng(2).random(prediction.conf.shape)
    for i, part in enumerate(parts_of(prediction, motion=motion)):
        mesh = part.arrays
        world = mesh.position @ projection.BLENDER_FROM_OPENCV
        pixels, z = projection.project(world, prediction.intrinsics[i], prediction.extrinsics[i])
        v, u = np.mgrid[0.5:48, 0.5:64]
        np.testing.assert_allclose(pixels, np.stack([u.ravel(), v.ravel()], -1), atol=0.01)  # float32, 20 units away
        np.testing.assert_allclose(z, mesh.depth, atol=1e-4)
        assert np.array_equal(mesh.conf, prediction.conf[i].ravel())
        assert np.array_equal(mesh.motion, motion[i].ravel().astype(np.float32))
        assert (mesh.frame == i).all()


# ------------------------------------------------------------------------------------------- shares, and when they show


def box(rows, columns, count=1):
    mask = np.zeros((count, 48, 64), bool)
    mask[:, rows, columns] = True
    return mask


def test_each_thing_is_a_mesh_of_its_own_and_no_face_is_lost_or_double():
    prediction = flat(2)
    prediction.object_id = np.where(box(slice(10, 30), slice(20, 40), 2), 7, 0).astype(np.int32)
    prediction.object_id[1, 35:45, 5:15] = 9
    found = parts_of(prediction, names={7: "person_7"})
    names = [
        "Background_photo_000",
        "person_7_photo_000",
        "Background_photo_001",
        "person_7_photo_001",
        "thing_9_photo_001",
    ]
    assert [(part.name, part.group, part.frame) for part in found] == [(name, "Segmented", None) for name in names]
    for frame in (0, 1):
        own = [part for part in found if part.arrays.frame[0] == frame]
        assert sum(len(part.arrays.corners) for part in own) == 47 * 63
    ids = found[1].arrays.object_id[found[1].arrays.corners]
    assert (ids[:, 0] == 7).all()  # the rim goes with its first corner
    assert (ids == 7).mean() > 0.95


def test_what_moves_is_seen_at_its_frame_only_and_is_joined_to_nothing():
    prediction = flat(2)
    moving = box(slice(10, 30), slice(20, 40), 2)
    found = parts_of(prediction, moving=moving)
    assert [(part.name, part.group, part.frame) for part in found] == [
        ("_Mesh_photo_000", "", None), ("Moving_photo_000", "Moving", 0), ("_Mesh_photo_001", "", None), ("Moving_photo_001", "Moving", 1),
    ]  # fmt: skip
    rest, ball = found[0].arrays, found[1].arrays
    assert (len(ball), len(ball.corners)) == (400, 361)
    assert len(rest) == 48 * 64 - 400  # no rim of the ball stays where it was
    assert len(rest.corners) == 47 * 63 - 21 * 21


def test_a_tracked_thing_that_moves_has_its_name_and_one_that_stands_is_segmented():
    prediction = flat()
    moving = box(slice(10, 30), slice(20, 40))
    prediction.object_id = np.where(moving, 3, np.where(box(slice(35, 45), slice(5, 15)), 4, 0)).astype(np.int32)
    found = parts_of(prediction, moving=moving, names={3: "person_3", 4: "chair_4"})
    assert [(part.name, part.group, part.frame) for part in found] == [
        ("Background_photo_000", "Segmented", None), ("chair_4_photo_000", "Segmented", None), ("person_3_photo_000", "Moving", 0),
    ]  # fmt: skip


def test_with_per_frame_geometry_every_mesh_shows_at_its_frame():
    found = parts_of(flat(3), Settings(generate_meshes=True, per_frame_geometry=True))
    assert [(part.name, part.frame) for part in found] == [
        ("_Mesh_photo_000", 0),
        ("_Mesh_photo_001", 1),
        ("_Mesh_photo_002", 2),
    ]


def test_the_result_files_still_get_points():
    prediction = flat(2)
    batch = pipeline.Batch([0, 1], prediction)
    delivered = pipeline.deliver(batch, records_of(prediction), Settings(generate_meshes=True))
    assert all(isinstance(part.arrays, MeshArrays) for part in delivered.parts)
    assert sum(len(cloud) for cloud in delivered.clouds) == 2 * 48 * 64


def test_a_part_comes_back_from_its_files_as_it_was(tmp_path):
    [part] = parts_of(flat(), packed=["clip_000000.jpg"])
    back = Part.open(tmp_path, part.save(tmp_path, "batch0_0"))
    assert (back.name, back.frame, back.packed) == (part.name, part.frame, True)
    assert back.image == str(tmp_path / "clip_000000.jpg")
    for key, array in part.arrays.given().items():
        assert np.array_equal(back.arrays.given()[key], array), key


# ------------------------------------------------------------------------------------------------------------ video


@pytest.fixture
def video(tmp_path):
    return clips.write(tmp_path / "clip.mp4", [waves(320, 240, k) for k in range(4)])


def test_frames_of_a_video_become_pictures_of_full_size(video, tmp_path):
    frames = FrameSource.open(video)
    files = pictures.write_frames(frames, [1, 3], tmp_path)
    assert files == ["clip_000001.jpg", "clip_000003.jpg"]
    for index, file in zip((1, 3), files, strict=True):
        written = np.asarray(Image.open(tmp_path / file)).astype(int)
        assert written.shape == (240, 320, 3)
        # levels; JPEG of this quality changes the sample photographs by 0.6 on average
        assert np.abs(written - frames.load(index).image).mean() < 1.0
    settings = Settings(generate_meshes=True, process_resolution=140, batch_mode=BatchMode.IGNORE_BATCH_SIZE)
    [batch] = pipeline.reconstruct(frames, settings, Seen(), on_progress=lambda *_: None, cancelled=lambda: False)
    names = pictures.write_frames(frames, batch.indices, tmp_path)
    records = pipeline.camera_records(batch, frames, settings)
    delivered = pipeline.deliver(batch, records, settings, packed=names)
    for part, name in zip(delivered.parts, names, strict=True):
        assert part.packed and part.image == name
        own = blender_arrays.srgb_from_linear(part.arrays.point_color[part.arrays.corners.ravel(), :3]).astype(float)
        assert np.abs(stored_samples(tmp_path / name, part.arrays.uv) - own).mean() < 1.5  # and resampling


def test_a_video_that_is_gone_is_told(video, tmp_path):
    frames = FrameSource.open(video)
    frames.release()
    video.unlink()
    with pytest.raises(BadInput, match="clip_000003 cannot be read: the file is gone"):
        pictures.write_frames(frames, [3], tmp_path)


NAMES = ["IMG_0042", "twin", "twin", "é" * 40, "院" * 60, "PXL_20240501_123456789.PORTRAIT-01", "Zo\udce9", "", "a.b c"]


def test_names_of_images_in_names_of_objects_are_unique_short_and_whole_text():
    records = [payloads.record(np.eye(3, 4), np.eye(3), (4, 4), frame=i, name=n) for i, n in enumerate(NAMES)]
    labels = point_clouds.frame_labels(records)
    assert len(set(labels.values())) == len(NAMES)
    for label in labels.values():
        assert len(label.encode("utf-8")) <= point_clouds.LONGEST_LABEL + len("_0")
    assert [labels[i] for i in (0, 1, 2, 3, 6, 8)] == ["IMG_0042", "twin_1", "twin_2", "é" * 16 + "_3", "Zoé", "a.b c"]


def test_points_are_called_after_images_too():
    prediction = flat(2)
    moving = box(slice(10, 30), slice(20, 40), 2)
    settings = Settings(per_frame_geometry=True)
    parts = point_clouds.point_parts(prediction, [5, 7], settings, moving=moving, labels={5: "IMG_5", 7: "b"})
    assert [part.name for part in parts] == ["_Frame_IMG_5", "_Frame_b", "Moving_IMG_5", "Moving_b"]
