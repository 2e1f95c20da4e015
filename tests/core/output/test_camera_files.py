"""Camera files: what is written comes back, and what others write is read as they mean it."""

import json

import numpy as np
import payloads
import pytest
from da3_blender.core.alignment import known_cameras
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.lens.bending import Lens
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import cameras_to_blender
from da3_blender.core.monitor import Monitor
from da3_blender.core.output.cameras import chan, transforms_json
from da3_blender.core.output.cameras.colmap import View
from da3_blender.core.output.result_files import ResultFiles
from da3_blender.core.settings import KnownCameras, Settings
from PIL import Image

K = np.array([[500.0, 0.0, 320.0], [0.0, 500.0, 180.0], [0.0, 0.0, 1.0]])
SIZE = (640, 360)
SAME = 1e-4  # of a pose's numbers, as the issue asks


@pytest.fixture
def plate(tmp_path):
    """plate_1001.png to plate_1005.png, and their cameras."""
    folder = tmp_path / "plate"
    folder.mkdir()
    for k in range(5):
        Image.new("RGB", SIZE, (40 * k, 90, 30)).save(folder / f"plate_{1001 + k}.png")
    rng = np.random.default_rng(0)
    poses = [payloads.random_pose(rng) for _ in range(5)]
    records = [
        payloads.record(pose, K, SIZE, frame=k, name=f"plate_{1001 + k}", image=str(folder / f"plate_{1001 + k}.png"))
        for k, pose in enumerate(poses)
    ]
    return folder, np.stack(poses), records


@pytest.mark.parametrize("file", ["transforms.json", "plate.chan", "plate.nk"])
def test_a_camera_file_comes_back_as_known_cameras(plate, tmp_path, file):
    folder, poses, records = plate
    out = tmp_path / "out"
    settings = Settings(input=str(folder), output_folder=str(out), output_cameras=True)
    with ResultFiles(settings, "plate") as files:
        files.add([], records, [SIZE] * 5)
        assert out / file in files.finish()
    known = Settings(known_cameras=KnownCameras.FILE, known_cameras_file=str(out / file))
    found = known_cameras.find(known, FrameSource.open(folder), (), Monitor())
    assert sorted(found.extrinsics) == list(range(5)) and not found.warnings
    for k in range(5):
        assert np.abs(found.extrinsics[k] - poses[k]).max() < SAME
        assert found.intrinsics[k] == pytest.approx(K, abs=1e-6)
    if file == "transforms.json":
        about = json.loads((out / file).read_text())
        assert (out / about["frames"][0]["file_path"]).resolve() == (folder / "plate_1001.png").resolve()


def test_a_chan_line_is_nuke_s(tmp_path):
    """By hand: 2 up, 5 back, turned by 90 degrees to the left: it looks along -x."""
    file = tmp_path / "shot.chan"
    file.write_text("7 0 2 5 0 90 0 45\n")
    (line,) = chan.read(file)
    (matrix,) = cameras_to_blender(line.extrinsics[None])
    assert line.number == 7 and np.degrees(line.field_of_view) == pytest.approx(45.0)
    assert matrix[:3, 3] == pytest.approx([0.0, -5.0, 2.0])
    assert -matrix[:3, 2] == pytest.approx([-1.0, 0.0, 0.0]) and matrix[:3, 1] == pytest.approx([0.0, 0.0, 1.0])


@pytest.mark.parametrize("seed", range(8))
def test_turns_of_every_kind_come_back_from_a_chan(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pose = payloads.random_pose(rng)
    if seed == 0:  # straight down, where two of the three angles turn about the same axis
        pose[:, :3] = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]
        pose[:, :3] = [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]] @ pose[:, :3]
    (tmp_path / "a.chan").write_text(chan.text([View("", *SIZE, K, pose)], [1]))
    (line,) = chan.read(tmp_path / "a.chan")
    assert np.abs(line.extrinsics - pose).max() < SAME


def test_an_angle_of_instant_ngp_is_read_and_a_fisheye_refused(tmp_path):
    file = tmp_path / "transforms.json"
    about = {"camera_angle_x": 2 * np.arctan(0.5), "w": 100, "h": 50, "k1": 0.1}
    about["frames"] = [{"file_path": "./train/r_0", "transform_matrix": np.eye(4).tolist()}]
    file.write_text(json.dumps(about))
    (view,) = transforms_json.read(file)
    assert view.intrinsics[[0, 1], [0, 1]] == pytest.approx([100.0, 100.0])
    assert view.lens == Lens(False, (0.1, 0.0, 0.0, 0.0, 0.0))
    file.write_text(json.dumps({**about, "camera_model": "OPENCV_FISHEYE"}))
    with pytest.raises(BadInput, match="only pinholes"):
        transforms_json.read(file)


@pytest.mark.parametrize(
    ("name", "text"),
    [("transforms.json", "{}"), ("a.chan", "1 2 3\n"), ("a.nk", "{"), ("b.nk", "Camera2 {}"), ("a.txt", "")],
)
def test_a_file_of_another_kind_is_said(plate, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    settings = Settings(known_cameras=KnownCameras.FILE, known_cameras_file=str(tmp_path / name))
    with pytest.raises(BadInput, match=r"is no |choose a transforms\.json|0 cameras that move"):
        known_cameras.find(settings, FrameSource.open(plate[0]), (), Monitor())


def test_frames_of_other_numbers_are_told(plate, tmp_path):
    (tmp_path / "a.chan").write_text("1 0 0 0 0 0 0 45\n2 1 0 0 0 0 0 45\n3 0 1 0 0 0 0 45\n")
    settings = Settings(known_cameras=KnownCameras.FILE, known_cameras_file=str(tmp_path / "a.chan"))
    with pytest.raises(BadInput, match="1 to 3, and the images are 1001 to 1005"):
        known_cameras.find(settings, FrameSource.open(plate[0]), (), Monitor())
