"""Mounted Together through the worker's whole way: two folders, a model whose cameras shake, one rig in the scene."""

import numpy as np
import pytest
from da3_blender.core.output.payload import CameraRecord
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings
from da3_blender.core.worker import protocol
from da3_blender.core.worker.server import generate_job, loaded_model
from PIL import Image

MOMENTS = 5


class Shaking:
    """A wall 2 units ahead; the left camera steps along x, the right one stands 0.4 beside it; both shake by 0.6 degrees."""

    def predict(self, images, indices, settings, cameras=None):
        random = np.random.default_rng(list(indices))
        size = (48, 64)
        extrinsics = []
        for index in indices:
            x, y, z = 0.01 * random.normal(size=3)
            turn = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])
            u, _, v = np.linalg.svd(turn)
            centre = np.array([0.1 * (index % MOMENTS) + 0.4 * (index >= MOMENTS), 0.0, 0.0])
            extrinsics.append(np.column_stack([u @ v, -(u @ v) @ centre]))
        pinhole = np.array([[60.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])
        depth = np.full((len(indices), *size), 2.0, np.float32)
        canvas = np.zeros((*depth.shape, 3), np.uint8)
        return Prediction(
            depth, np.full_like(depth, 3.0), np.stack(extrinsics), np.repeat(pinhole[None], len(indices), 0), canvas
        )


@pytest.mark.parametrize("mode", ["automatic", "last_frame_overlap"])
def test_cameras_of_one_moment_keep_to_each_other_in_the_scene(tmp_path, mode):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        for k in range(MOMENTS):
            Image.new("RGB", (64, 48), (40 * k, 90, 120)).save(tmp_path / name / f"{k}.png")
    (tmp_path / "job").mkdir()
    settings = Settings(
        input=str(tmp_path / "left"), more_inputs=f"|{tmp_path / 'right'}", mounted_together=True, model="da3-small",
        batch_mode=mode, batch_size=6, process_resolution=64,
    )  # fmt: skip
    events = []
    model = loaded_model.LoadedModel(lambda *_, **__: Shaking())
    request = protocol.Generate(1, str(tmp_path / "job"), settings.to_json(), str(tmp_path))
    report = generate_job.generate(request, model, events.append, lambda: False)
    records = [CameraRecord.from_json(c) for e in events if isinstance(e, protocol.BatchReady) for c in e.cameras]
    poses = {record.frame: np.reshape(record.camera_to_world, (4, 4)) for record in records}
    assert sorted(poses) == list(range(2 * MOMENTS)) and {record.input for record in records} == {"left", "right"}
    relative = np.stack([np.linalg.inv(poses[k]) @ poses[k + MOMENTS] for k in range(MOMENTS)])
    assert np.abs(relative - relative[0]).max() < 1e-5
    assert not any("Mounted" in warning for warning in report["warnings"])
