"""The result files are whole, right, and only there when they are wanted."""

import csv
import os
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import payloads
import pycolmap
import pytest
import truth
from da3_blender.core import pipeline
from da3_blender.core.errors import BadInput
from da3_blender.core.files import ownership
from da3_blender.core.files.ply import VERTEX, PlyWriter
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.output import calibration, debug_images, output_folder, result_files
from da3_blender.core.output.blender_arrays import linear_from_srgb
from da3_blender.core.output.cameras import colmap
from da3_blender.core.output.payload import PointArrays
from da3_blender.core.output.point_clouds import EvenSample
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.settings import BatchMode, ColmapExport, Settings, SplatFile
from PIL import Image
from truth_predictor import TruthPredictor


def delivered_from(batch, frames, settings, merger=None):
    return pipeline.deliver(batch, pipeline.camera_records(batch, frames, settings), settings, merger)


def read_ply(path):
    """The vertices of a PLY as this add-on writes it, by the header's own words."""
    data = path.read_bytes()
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    (count,) = [int(line.split()[2]) for line in lines if line.startswith("element vertex")]
    properties = [line.split()[1:] for line in lines if line.startswith("property")]
    types = {"float": "<f4", "uchar": "u1"}
    vertices = np.frombuffer(body, np.dtype([(name, types[kind]) for kind, name in properties]))
    assert len(vertices) == count
    return vertices


def some_points(count, seed=0):
    cloud = payloads.random_cloud(count, seed)
    colors = np.random.default_rng(seed).integers(0, 256, (count, 3), np.uint8)
    cloud.point_color[:, :3] = linear_from_srgb(colors)
    return cloud, colors


def record_of(size, placement, original, **words):
    k = np.array([[500.0, 0.0, size[0] / 2], [0.0, 510.0, size[1] / 2], [0.0, 0.0, 1.0]])
    return payloads.record(np.eye(3, 4), k, size, placement=placement, **words), original


def settings_for(folder, **more):
    return Settings(output_folder=str(folder), **more)


def test_without_an_output_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with result_files.ResultFiles(Settings(output_debug_images=True), "room") as files:
        files.add([payloads.random_cloud(5)], payloads.random_records(2), [(640, 428)] * 2)
        assert files.finish() == []
    assert list(tmp_path.iterdir()) == []


def test_the_point_cloud_holds_every_point_of_every_batch_in_the_photograph_s_colours(tmp_path):
    first, first_colors = some_points(300, 0)
    second, second_colors = some_points(200, 1)
    with result_files.ResultFiles(settings_for(tmp_path), "room") as files:
        files.add([first], payloads.random_records(1), [(640, 428)])
        files.add([second], [], [])
        files.finish()
    vertices = read_ply(tmp_path / "room.ply")
    xyz = np.stack([vertices[axis] for axis in "xyz"], axis=-1)
    assert np.array_equal(xyz, np.concatenate([first.position, second.position]))
    rgb = np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=-1)
    assert np.array_equal(rgb, np.concatenate([first_colors, second_colors]))
    assert np.array_equal(vertices["confidence"], np.concatenate([first.conf, second.conf]))


def test_a_cloud_larger_than_the_memory_that_is_used_for_it_is_written(tmp_path):
    cloud = payloads.random_cloud(400_000)
    with result_files.ResultFiles(settings_for(tmp_path), "big") as files:
        tracemalloc.start()
        for _ in range(20):
            files.add([cloud], payloads.random_records(1), [(640, 428)])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        files.finish()
    written = (tmp_path / "big.ply").stat().st_size
    assert written == 512 + 20 * len(cloud) * VERTEX.itemsize
    assert peak < written / 4  # what is held is one batch's conversion and the sample for COLMAP, however many batches


def test_the_header_is_as_long_for_no_point_as_for_many(tmp_path):
    with PlyWriter(tmp_path / "none.ply", "test") as ply:
        ply.finish()
    assert len(read_ply(tmp_path / "none.ply")) == 0
    assert (tmp_path / "none.ply").stat().st_size == 512


def test_a_run_that_does_not_end_leaves_no_half_file_and_the_old_one_as_it_was(tmp_path):
    (tmp_path / "room.ply").write_text("of the run before")
    with pytest.raises(KeyError), result_files.ResultFiles(settings_for(tmp_path), "room") as files:
        files.add([payloads.random_cloud(50)], payloads.random_records(1), [(640, 428)])
        raise KeyError
    assert [p.name for p in tmp_path.glob("[!.]*")] == ["room.ply"]
    assert (tmp_path / "room.ply").read_text() == "of the run before"


def test_calibration_is_the_median_at_the_processed_and_at_the_original_size(tmp_path):
    # 504 x 378 pixels in the middle of a canvas of 504 x 504, from an original four times as large.
    made = [record_of((504, 504), (0, 63, 504, 378), (2016, 1512), frame=i, name=f"{i}") for i in range(3)]
    records, sizes = [r for r, _ in made], [s for _, s in made]
    with result_files.ResultFiles(settings_for(tmp_path), "room") as files:
        files.add([], records, sizes)
        files.finish()
    assert (tmp_path / "calib_room_da3.txt").read_text() == "500.000000 510.000000 252.000000 252.000000\n"
    # cy: (252 - 63) * 4
    assert (tmp_path / "calib_room.txt").read_text() == "2000.000000 2040.000000 1008.000000 756.000000\n"


def test_a_folder_with_a_general_name_gives_the_name_of_the_one_around_it(tmp_path):
    out = tmp_path / "out"
    for shot in ("harbour", "tower"):
        for general in ("Frames", "images"):
            folder = tmp_path / shot / general
            folder.mkdir(parents=True)
            with result_files.ResultFiles(settings_for(out, input=str(folder)), folder.name) as files:
                files.add([], payloads.random_records(2), [(640, 428)] * 2)
                files.finish()
    assert {f"calib_{shot}{kind}.txt" for shot in ("harbour", "tower") for kind in ("", "_da3")} == {
        path.name for path in out.glob("calib_*")
    }
    video = tmp_path / "frames.mp4"
    video.touch()
    assert output_folder.descriptive_name(str(video), "frames") == "frames"  # a file's name is its own
    assert output_folder.descriptive_name(str(tmp_path / "harbour"), "harbour") == "harbour"


def test_consensus_and_deviation_are_numpys_over_the_commonest_size():
    rng = np.random.default_rng(1)
    records = [replace(r, fx=float(rng.uniform(480, 520)), photo=(1280, 856)) for r in payloads.random_records(5)]
    odd = replace(records[0], frame=9, fx=9000.0, photo=(100, 100))
    agreed = calibration.consensus([*records, odd])
    focal = [record.fx for record in records]
    assert agreed["fx"] == pytest.approx((np.median(focal), np.std(focal)))
    assert list(agreed) == ["fx", "fy", "cx", "cy", "fov_h_deg", "fov_v_deg"]
    lines = calibration.camera_report([*records, odd], "walk").splitlines()
    assert lines[0] == "Cameras of walk: 5 frames of 6, whose photographs have the commonest size"
    table = {words[0]: [float(word) for word in words[1:]] for line in lines if len(words := line.split()) == 3}
    assert table["fx"] == pytest.approx([np.median(focal), np.std(focal)], abs=1e-4)
    (last,) = [line.split() for line in lines[-8:] if line.startswith("fx ")]
    assert float(last[1]) == pytest.approx(2 * np.median(focal), abs=1e-4)  # the photograph is twice as large


def test_the_table_lists_every_camera_once_in_the_order_of_the_frames(tmp_path):
    records = payloads.random_records(4)
    with result_files.ResultFiles(settings_for(tmp_path), "room") as files:
        files.add([], records[2:], [(640, 428)] * 2)
        files.add([], records[:3], [(640, 428)] * 3)
        files.finish()
    with (tmp_path / "camera_intrinsics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]
    assert list(rows[0]) == ["frame", "name", "fx", "fy", "cx", "cy", "fov_h_deg", "fov_v_deg"]


@pytest.mark.parametrize("form", [ColmapExport.BINARY, ColmapExport.TEXT])
def test_colmap_export_of_a_run_is_read_back_by_pycolmap_to_1e_6(tmp_path, form):
    known = truth.load("courtyard")
    predictor = TruthPredictor(known, seed=2)
    settings = settings_for(tmp_path, batch_mode=BatchMode.IGNORE_BATCH_SIZE, output_colmap=form)
    frames = FrameSource.open(known.folder)
    with result_files.ResultFiles(settings, frames.name) as files:
        for batch in pipeline.reconstruct(
            frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False
        ):
            delivered = delivered_from(batch, frames, settings)
            sizes = [(frames.headers[i].width, frames.headers[i].height) for i in batch.indices]
            files.add(delivered.clouds, delivered.cameras, sizes)
        files.finish()

    model = pycolmap.Reconstruction(str(tmp_path / "colmap" / "sparse" / "0"))

    assert sorted(image.name for image in model.images.values()) == known.names
    expected = predictor.predict(known.images, range(len(known)), settings)
    for image in model.images.values():
        i = known.names.index(image.name)
        camera = model.cameras[image.camera_id]
        height, width = known.images.shape[1:3]
        assert (camera.model.name, camera.width, camera.height) == ("PINHOLE", width, height)
        # The truth's depth is as large as the photographs, so its intrinsics are the originals'.
        assert np.abs(camera.calibration_matrix() - known.intrinsics[i]).max() < 1e-6
        assert np.abs(image.cam_from_world().matrix() - expected.extrinsics[i]).max() < 1e-6
    assert 50_000 < model.num_points3D() <= result_files.COLMAP_POINTS
    # A point of the model lies on the surface that the cameras see: before them, and most of them in some picture.
    xyz = np.array([model.points3D[p].xyz for p in list(model.points3D)[:500]])
    seen = np.zeros(len(xyz), bool)
    for i in range(len(known)):
        local = xyz @ expected.extrinsics[i, :, :3].T + expected.extrinsics[i, :, 3]
        pixels = local @ known.intrinsics[i].T
        at = pixels[:, :2] / pixels[:, 2:]
        seen |= (local[:, 2] > 0) & (at > -0.01).all(axis=1) & (at < np.array([width, height]) + 0.01).all(axis=1)
    assert seen.all()


def test_debug_images_show_each_frame_five_times(tmp_path):
    known = truth.load("portrait")
    settings = settings_for(tmp_path, output_debug_images=True, filter_edges=False)
    prediction = TruthPredictor(known).predict(known.images, range(3), settings)
    prediction.conf[0, :10] = 0.0
    with result_files.ResultFiles(settings, "portrait") as files:
        files.add_pictures(Batch([0, 1, 2], prediction), ["000", "001", "002"])
        files.finish()
    names = {p.name for p in (tmp_path / "debug").iterdir()}
    kinds = ("bad_confidence", "color", "confidence", "depth", "gradient")
    assert names == {f"{i:06d}_{i:03d}_{kind}.png" for i in range(3) for kind in kinds}
    color = np.asarray(Image.open(tmp_path / "debug" / "000000_000_color.png"))
    assert np.array_equal(color, known.images[0])
    bad = np.asarray(Image.open(tmp_path / "debug" / "000000_000_bad_confidence.png"))
    marked = (bad != color).any(axis=-1)
    assert marked[:10].mean() > 0.9  # a red pixel may be red already
    clear = (prediction.conf[0] > 2) & (prediction.depth[0] > 0)
    assert not marked[clear].any()
    depth = np.asarray(Image.open(tmp_path / "debug" / "000000_000_depth.png")).astype(int).sum(axis=-1)
    z = prediction.depth[0]
    known_z = z > 0
    assert depth[z == z[known_z].min()].mean() > depth[z == z[known_z].max()].mean()


def test_bad_confidence_has_three_colours():
    conf = np.full((1, 9), 5.0)
    conf[0, 1], conf[0, 3:7] = 1.7, (1.0, 0.0, 1.0, 5.0)
    gone = np.zeros((1, 9), bool)
    gone[0, 6] = True  # a pixel without depth
    picture = debug_images.bad_confidence(np.zeros((1, 9, 3), np.uint8), conf, gone)[0]
    on = [tuple((pixel > 0).tolist()) for pixel in picture]
    red, magenta, yellow, none = (True, False, False), (True, False, True), (True, True, False), (False, False, False)
    assert on == [none, yellow, none, magenta, red, red, magenta, none, none]


def test_masks_keep_a_thing_s_colour_from_frame_to_frame_and_motion_is_white():
    known = truth.load("portrait")
    prediction = TruthPredictor(known).predict(known.images[:2], range(2), Settings())
    prediction.object_id = np.zeros(prediction.depth.shape, np.int32)
    prediction.object_id[0, :40], prediction.object_id[1, 40:60], prediction.object_id[0, 90:] = 3, 3, 4
    moving = prediction.object_id == 4
    first, second = (debug_images.pictures(Batch([0, 1], prediction, moving=moving), i, 0.5) for i in range(2))
    (thing,) = {tuple(pixel) for pixel in first["mask"][:40].reshape(-1, 3).tolist()}
    (other,) = {tuple(pixel) for pixel in first["mask"][90:].reshape(-1, 3).tolist()}
    assert {tuple(pixel) for pixel in second["mask"][40:60].reshape(-1, 3).tolist()} == {thing}
    assert thing != other and not first["mask"][40:90].any()
    assert np.array_equal(first["moving"] == 255, np.repeat(moving[0][..., None], 3, axis=-1))


def test_beside_the_input_only_when_asked(tmp_path):
    known = truth.load("portrait")
    (tmp_path / "shots").mkdir()
    batch = Batch([0], TruthPredictor(known).predict(known.images[:1], range(1), Settings()))
    for asked in (False, True):
        settings = Settings(input=str(tmp_path / "shots"), output_debug_images=True, debug_beside_input=asked)
        with result_files.ResultFiles(settings, "shots") as files:
            files.add_pictures(batch, ["000"])
            written = files.finish()
        assert {path.name for path in tmp_path.iterdir()} == {"shots", *(["shots_debug"] if asked else [])}
        assert not list((tmp_path / "shots").iterdir())
        assert asked != any("Beside Input" in warning for warning in files.warnings)
        assert {path.parent for path in written} == ({tmp_path / "shots_debug"} if asked else set())
    assert (tmp_path / "shots_debug" / "000000_000_depth.png").is_file() and len(written) == 5


def test_a_folder_that_cannot_be_made_or_written_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="choose another"):
        result_files.ResultFiles(settings_for(tmp_path / "file" / "under"), "room")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_bad_input(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="choose another"):
        result_files.ResultFiles(settings_for(tmp_path), "room")


def test_a_disk_that_is_full_is_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with result_files.ResultFiles(settings_for(tmp_path), "room") as files:
        monkeypatch.setattr("da3_blender.core.files.ply.PlyWriter.add", full)
        for seed in range(2):
            files.add([payloads.random_cloud(5, seed)], payloads.random_records(1), [(640, 428)])
        names = {path.name for path in files.finish()}
    (failure,) = files.failures
    assert "point cloud (No space left on device)" in failure
    assert "camera_intrinsics.csv" in names and not list(tmp_path.glob("room.ply*"))


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_half(tmp_path, monkeypatch):
    own = ownership.share(tmp_path, "results")
    own.write("a.txt", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ownership.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        own.write("a.txt", b"new", sync=True)
    assert [(p.name, p.read_text()) for p in tmp_path.glob("*") if p.name != ".da3-results"] == [("a.txt", "old")]


def test_the_sample_for_colmap_is_evenly_spread_over_a_long_stream():
    sample = EvenSample(100)
    total = 0
    for seed in range(30):
        cloud = payloads.random_cloud(37, seed)
        cloud.position[:, 0] = np.arange(total, total + 37)
        sample.add(cloud, seed)
        total += 37
    kept = sample.points()[0][:, 0]
    assert 50 <= len(kept) <= 100
    assert len(set(np.diff(kept))) == 1


def test_names_with_spaces_are_written_in_binary_since_text_cannot_hold_them(tmp_path):
    record = payloads.record(
        np.eye(3, 4), np.diag([500.0, 500.0, 1.0]), (640, 428), name="photo 1", image="photo 1.jpg"
    )
    with result_files.ResultFiles(settings_for(tmp_path, output_colmap=ColmapExport.TEXT), "room") as files:
        files.add([payloads.random_cloud(5)], [record], [(640, 428)])
        files.finish()
    (warning,) = files.warnings
    assert "spaces" in warning
    (image,) = pycolmap.Reconstruction(str(tmp_path / "colmap" / "sparse" / "0")).images.values()
    assert image.name == "photo 1.jpg"


def test_video_frames_have_the_name_of_their_camera():
    (view,) = calibration.colmap_views([payloads.random_records(1)[0]], [(640, 428)])
    assert isinstance(view, colmap.View) and view.name == "photo_000"


def test_parts_of_a_cloud_are_written_in_their_order(tmp_path):
    parts = [payloads.random_cloud(7, 1), payloads.random_cloud(0), payloads.random_cloud(9, 2)]
    assert all(isinstance(p, PointArrays) for p in parts)
    with result_files.ResultFiles(settings_for(tmp_path, output_colmap=ColmapExport.OFF), "room") as files:
        files.add(parts, payloads.random_records(1), [(640, 428)])
        names = {p.name for p in files.finish()}
    assert names == {"camera_intrinsics.csv", "camera_report.txt", "calib_room.txt", "calib_room_da3.txt", "room.ply"}
    assert np.array_equal(read_ply(tmp_path / "room.ply")["x"][:7], parts[0].position[:, 0])


def test_a_move_of_the_cameras_and_one_of_the_points_keep_what_is_seen():
    """Streaming's batches move at last: what a camera sees of a point stays the same but for the scale."""
    angle, scale = 0.3, 1.7
    move = np.eye(4)
    move[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    move[:3, :3] *= scale
    move[:3, 3] = [1.0, -2.0, 0.5]
    camera = payloads.record(np.eye(4), np.diag([50.0, 50.0, 1.0]), (64, 48))
    moved = np.reshape(camera.moved(move).camera_to_world, (4, 4))
    point = np.array([0.2, 3.0, -0.4, 1.0])
    seen = np.linalg.inv(np.reshape(camera.camera_to_world, (4, 4))) @ point
    np.testing.assert_allclose((np.linalg.inv(moved) @ move @ point)[:3], scale * seen[:3], atol=1e-12)
    sample = EvenSample(10)
    for batch in range(2):
        sample.add(payloads.random_cloud(4), batch)
    before = sample._position.copy()
    sample.move([np.eye(4), move])
    np.testing.assert_array_equal(sample._position[:4], before[:4])
    np.testing.assert_allclose(sample._position[4:], before[4:] @ move[:3, :3].T + move[:3, 3], rtol=1e-5)


@pytest.mark.parametrize(
    ("wanted", "bytes_each", "said"),
    [
        ({"output_point_cloud": True}, 19, "The point cloud may"),
        ({"output_splats": SplatFile.PLY}, 56, "The splats may"),
        ({"output_point_cloud": True, "output_splats": SplatFile.SPZ}, 75, "The point cloud and splats may"),
    ],
)
def test_a_disk_that_is_too_small_is_told_before(tmp_path, monkeypatch, wanted, bytes_each, said):
    files = result_files.ResultFiles(
        Settings(output_folder=str(tmp_path / "out"), **{"output_point_cloud": False, **wanted}), "x"
    )
    for spare, told in ((0, 0), (-1, 1)):
        free = SimpleNamespace(free=10 * 100 * bytes_each + spare)
        monkeypatch.setattr(result_files.shutil, "disk_usage", lambda _, free=free: free)
        sentences = files.warn_of_space(10, 100)
        assert len(sentences) == told and all(sentence.startswith(said) for sentence in sentences)
