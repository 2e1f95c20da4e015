"""Depth as EXR: every value as it was, in files that are numbered as the plate."""

from dataclasses import replace

import av
import numpy as np
import payloads
import pytest
import truth
from da3_blender.core.files import exr
from da3_blender.core.geometry.projection import BLENDER_FROM_OPENCV
from da3_blender.core.output import camera_files
from da3_blender.core.output.result_files import ResultFiles
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings

SIZE = (50, 37)  # three blocks of 16 lines, the last one short
K = np.array([[40.0, 0.0, 25.0], [0.0, 40.0, 18.5], [0.0, 0.0, 1.0]])


def batch(count):
    rng = np.random.default_rng(0)
    shape = count, SIZE[1], SIZE[0]
    conf = np.where(rng.random(shape) < 0.2, 0.0, rng.uniform(1.0, 9.0, shape)).astype(np.float32)
    depth = rng.uniform(0.1, 50.0, shape).astype(np.float32)
    return Batch(list(range(count)), Prediction(depth, conf, None, None, np.zeros((*shape, 3), np.uint8)))


def records(names, video=""):
    pose = np.eye(3, 4)
    return [
        replace(payloads.record(pose, K, SIZE, frame=4 + k, name=name), video=video) for k, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("names", "video", "files"),
    [
        (["plate_1001", "plate_1002"], "", ["depth_plate_1001.exr", "depth_plate_1002.exr"]),
        (["shot_000004", "shot_000005"], "shot.mov", ["depth_shot_000001.exr", "depth_shot_000002.exr"]),
    ],
)
def test_the_files_are_numbered_as_the_plate(tmp_path, names, video, files):
    made, cameras = batch(2), records(names, video)
    with ResultFiles(Settings(output_folder=str(tmp_path / "out"), output_depth=True), "shot") as results:
        results.add([], cameras, [SIZE] * 2)
        results.add_depths(made, cameras)
        written = results.finish()
    assert [path.name for path in written if path.suffix == ".exr"] == files
    assert not results.failures
    assert all((tmp_path / "out" / "depth" / name).is_file() for name in files)


def test_ffmpeg_gets_every_value_back(tmp_path):
    """FFmpeg's decoder, which is not ours, reads channels R, G, B; depth is written in the same way."""
    depth = batch(1).prediction.depth[0]
    path = tmp_path / "depth.exr"
    path.write_bytes(exr.encode({"R": depth, "G": depth * 2.0, "B": np.zeros_like(depth)}))
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
    planes = frame.to_ndarray(format="gbrpf32le")
    found = planes.reshape(SIZE[1], SIZE[0], 3) if planes.ndim == 3 else planes
    assert np.array_equal(np.sort(found.reshape(-1, 3).max(axis=1)), np.sort((depth * 2.0).ravel()))


def test_normals_are_those_of_the_surface_and_look_at_the_camera():
    """Of a floor and a wall that is seen at a slant; and of courtyard's paving, which is level."""
    v, u = np.mgrid[0.5 : SIZE[1], 0.5 : SIZE[0]]
    for true in ([0.0, -1.0, 0.2], [-0.5, 0.0, -1.0]):
        true = np.array(true) / np.linalg.norm(true)
        rays = np.stack([(u - 25.0) / 40.0, (v - 18.5) / 40.0, np.ones_like(u)], axis=-1)
        depth = np.maximum(-3.0 / np.minimum(rays @ true, -0.05), 0.0).astype(np.float32)
        seen = rays @ true < -0.06
        found = camera_files.normals(depth, np.where(seen, 5.0, 0.0).astype(np.float32), K, np.eye(3, 4))
        assert np.abs(found[seen] @ (BLENDER_FROM_OPENCV @ true) - 1.0).max() < 1e-3
        assert (found[~seen] == 0.0).all()
    courtyard = truth.load("courtyard")
    (paving,) = (number for number, name in courtyard.objects.items() if name == "floor")
    on_ground = courtyard.ids[0] == paving
    assert on_ground.sum() > 1000
    conf = (courtyard.depth[0] > 0).astype(np.float32)
    found = camera_files.normals(courtyard.depth[0], conf, courtyard.intrinsics[0], courtyard.extrinsics[0])
    up = BLENDER_FROM_OPENCV @ [0.0, 0.0, 1.0]  # the truth's world is z up
    assert np.median(np.degrees(np.arccos(np.clip(found[on_ground] @ up, -1.0, 1.0)))) < 1.0


def test_cryptomatte_s_hashes_are_those_of_its_specification():
    assert f"{exr._hash(b'bunny'):08x}" == "13851a76" and f"{exr._hash(b'default'):08x}" == "42c9679f"


def test_things_are_told_by_name_and_place():
    ids = np.array([[0, 3, 3], [7, 0, 7]], np.int32)
    channels, texts = exr.cryptomatte(ids, {3: "person_3"})
    identity = channels["CryptoObject00.R"].view(np.uint32)
    assert (identity[ids == 3] == exr._hash(b"person_3")).all() and (identity[ids == 7] == exr._hash(b"7")).all()
    assert np.array_equal(channels["CryptoObject00.G"], ids != 0) and (identity[ids == 0] == 0).all()
    (manifest,) = (text for name, text in texts.items() if name.endswith("/manifest"))
    assert "person_3" in manifest
