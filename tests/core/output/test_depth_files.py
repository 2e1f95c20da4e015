"""Depth as EXR: every value as it was, in files that are numbered as the plate."""

from dataclasses import replace

import av
import numpy as np
import payloads
import pytest
from da3_blender.core.files import exr
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
