"""COLMAP models: what is written, pycolmap reads back; what pycolmap writes, is read."""

import struct

import numpy as np
import payloads
import pycolmap
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.lens.bending import Lens
from da3_blender.core.output.cameras import colmap

# Both sides keep float64; the way over a quaternion costs a few of its last digits.
EXACT = 1e-6


def views(count=5, seed=0, space="_"):
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        fx, fy, cx, cy = rng.uniform(300.0, 900.0, 4)
        intrinsics = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        made.append(colmap.View(f"photo{space}{i:02d}.JPG", 1920 + i, 1080, intrinsics, payloads.random_pose(rng)))
    return made


@pytest.mark.parametrize("as_text", [False, True], ids=["binary", "text"])
def test_pycolmap_reads_back_cameras_and_image_names(tmp_path, as_text):
    written = views(space="_" if as_text else " ")  # COLMAP's text form takes a space for the name's end
    points = np.random.default_rng(1).normal(size=(50, 3))
    colors = np.random.default_rng(2).integers(0, 256, (50, 3), np.uint8)
    colmap.write(tmp_path / "sparse" / "0", written, points, colors, as_text=as_text)

    model = pycolmap.Reconstruction(str(tmp_path / "sparse" / "0"))

    assert model.num_reg_images() == len(written)
    by_name = {image.name: image for image in model.images.values()}
    for view in written:
        image = by_name[view.name]
        camera = model.cameras[image.camera_id]
        assert (camera.model.name, camera.width, camera.height) == ("PINHOLE", view.width, view.height)
        assert np.abs(camera.calibration_matrix() - view.intrinsics).max() < EXACT
        assert np.abs(image.cam_from_world().matrix() - view.extrinsics).max() < EXACT
    read = [model.points3D[i] for i in sorted(model.points3D)]
    assert np.abs(np.array([p.xyz for p in read]) - points).max() < EXACT
    assert np.array_equal([p.color for p in read], colors)


@pytest.mark.parametrize("as_text", [False, True], ids=["binary", "text"])
def test_what_pycolmap_writes_is_read(tmp_path, as_text):
    written = views()
    colmap.write(tmp_path / "ours", written, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    model = pycolmap.Reconstruction(str(tmp_path / "ours"))
    theirs = tmp_path / "project" / "sparse" / "0"
    theirs.mkdir(parents=True)
    (model.write_text if as_text else model.write_binary)(str(theirs))

    read = colmap.read(tmp_path / "project")

    assert [v.name for v in read] == [v.name for v in written]
    for ours, view in zip(written, read, strict=True):
        assert (view.width, view.height, view.lens) == (ours.width, ours.height, None)
        assert np.abs(view.intrinsics - ours.intrinsics).max() < EXACT
        assert np.abs(view.extrinsics - ours.extrinsics).max() < EXACT


def test_images_with_the_same_intrinsics_share_a_camera(tmp_path):
    same = [colmap.View(f"{i}.png", 64, 48, np.diag([50.0, 50.0, 1.0]), np.eye(3, 4)) for i in range(3)]
    colmap.write(tmp_path, same, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    assert len(pycolmap.Reconstruction(str(tmp_path)).cameras) == 1


def test_text_with_points_seen_and_comments_is_read(tmp_path):
    (tmp_path / "cameras.txt").write_text(
        "# list\n7 SIMPLE_RADIAL 64 48 50 32 24 0.1\n8 OPENCV 64 48 50 60 32 24 0 0 0 0\n"
    )
    (tmp_path / "images.txt").write_text(
        "# two lines an image\n2 1 0 0 0 1 2 3 8 b.png\n\n1 0 1 0 0 0 0 0 7 a.png\n10 20 -1 11 21 5\n"
    )
    first, second = colmap.read(tmp_path)
    assert (first.name, first.lens) == ("a.png", Lens(False, (0.1, 0.0, 0.0, 0.0)))
    assert np.array_equal(first.extrinsics, np.concatenate([np.diag([1.0, -1.0, -1.0]), np.zeros((3, 1))], axis=1))
    assert (second.name, second.lens) == ("b.png", None)
    assert second.intrinsics[[0, 1], [0, 1]].tolist() == [50.0, 60.0]


def test_half_turns_keep_their_rotation(tmp_path):
    turns = [np.diag(d) for d in ([1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0])]
    written = [
        colmap.View(f"{i}", 9, 9, np.eye(3), np.concatenate([t, np.ones((3, 1))], axis=1)) for i, t in enumerate(turns)
    ]
    colmap.write(tmp_path, written, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    for view, turn in zip(colmap.read(tmp_path), turns, strict=True):
        assert np.abs(view.extrinsics[:, :3] - turn).max() < EXACT


def test_a_second_export_in_the_other_form_leaves_one_model(tmp_path):
    nothing = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    colmap.write(tmp_path, views(5), *nothing)
    colmap.write(tmp_path, views(2), *nothing, as_text=True)
    assert sorted(p.name for p in tmp_path.glob("[!.]*")) == ["cameras.txt", "images.txt", "points3D.txt"]
    assert len(colmap.read(tmp_path)) == 2


@pytest.mark.parametrize("cut", [4, 30, 100])
def test_a_file_that_is_cut_off_is_named(tmp_path, cut):
    colmap.write(tmp_path, views(), np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    whole = (tmp_path / "images.bin").read_bytes()
    (tmp_path / "images.bin").write_bytes(whole[:cut])
    with pytest.raises(BadInput, match="images.bin"):
        colmap.read(tmp_path)


def test_a_lens_that_cannot_be_undone_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "cameras.txt").write_text("1 FOV 64 48 50 50 32 24 0.9\n")
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.png\n\n")
    with pytest.raises(BadInput, match="image_undistorter"):
        colmap.read(tmp_path)


def test_a_folder_without_a_model_and_no_folder_are_said_so(tmp_path):
    with pytest.raises(BadInput, match="no COLMAP model"):
        colmap.read(tmp_path)
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<Q", 0))
    with pytest.raises(BadInput, match="no COLMAP model"):
        colmap.read(tmp_path)
    from pathlib import Path

    with pytest.raises(BadInput, match="choose the folder"):
        colmap.read(Path())
