"""A model that takes a fixed time for each pass, and whose answer depends on the pass: for runs on several workers.

What it does stands in ``stand_in.json`` in the folder of its model: ``delay`` in seconds a pass, ``hangs`` from which frame on it takes an hour; ``limit``, the frames that fit
into memory, of the process that was first to make the file ``small`` there; ``pids``, a folder in which each process that computes leaves
its number. It is read again for each pass.
"""

import json
import os
import time
from pathlib import Path

import numpy as np


class Fixed:
    device = "cpu"

    def __init__(self, folder):
        self.about = Path(folder) / "stand_in.json"
        self.is_small = False
        if "limit" in self.read():
            try:
                self.about.with_name("small").touch(exist_ok=False)
                self.is_small = True
            except FileExistsError:
                self.is_small = False  # another process was first

    def read(self):
        return json.loads(self.about.read_text()) if self.about.exists() else {}

    def unload(self):
        self.about = None

    def predict(self, images, indices, settings, cameras=None):
        from da3_blender.core.errors import OutOfMemory
        from da3_blender.core.prediction.prediction import Prediction

        about = self.read()
        if about.get("pids"):
            (Path(about["pids"]) / str(os.getpid())).touch()
        if self.is_small and len(indices) > about["limit"]:
            raise OutOfMemory("Memory ran out")
        time.sleep(3600.0 if indices[0] >= about.get("hangs", 1 << 30) else about.get("delay", 0.0))
        images = np.stack(list(images))
        n, height, width = images.shape[:3]
        noise = np.random.default_rng(sum(indices)).uniform(0.99, 1.01, images.shape[:3])
        depth = ((2.0 + images[..., 0] / 64.0) * noise).astype(np.float32)
        extrinsics = np.repeat(np.eye(4)[None, :3], n, axis=0)
        extrinsics[:, 0, 3] = -0.05 * (np.asarray(indices) - indices[0])
        focal = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
        return Prediction(
            depth, np.full(depth.shape, 3.0, np.float32), extrinsics, np.repeat(focal[None], n, axis=0), images
        )


def open_predictor(name, folder, frames, monitor, *, fp16=False, device=None):
    return Fixed(folder)
