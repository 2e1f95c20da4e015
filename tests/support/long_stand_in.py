"""A predictor for long runs inside the real worker that costs next to nothing, or as long as it is told.

Opened by ``DA3_PREDICTOR=long_stand_in.py:lap`` (or ``walk``). ``$DA3_PASS_LOG`` gets a line of JSON for each pass begun and done;
``$DA3_PASS_SECONDS`` is how long a frame takes.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent))  # the worker does not have it

LAP = 40  # frames, again and again; $LAP says it otherwise


class Logged:
    """Notes when which pass is made and what it costs."""

    def __init__(self, answer):
        self.answer = answer
        self.log = Path(os.environ["DA3_PASS_LOG"])
        self.seconds = float(os.environ.get("DA3_PASS_SECONDS", "0"))

    def predict(self, images, indices, settings, cameras=None):
        self._note(begun=list(indices))
        started = time.thread_time()
        made = self.answer(np.stack(list(images)), list(indices))
        time.sleep(self.seconds * len(indices))
        self._note(done=list(indices), processor=time.thread_time() - started)
        return made

    def _note(self, **what):
        with self.log.open("a", encoding="ascii") as file:
            file.write(json.dumps({"at": time.time(), **what}) + "\n")


def lap(name, folder, frames, monitor, *, fp16=False, device=None):
    """A stretch of the long walk over and over, at the images' own size: the walker is back at its start after each."""
    import long_walk
    import torch  # noqa: F401  # a real model has loaded it by now
    from da3_blender.core.prediction.prediction import Prediction

    count = int(os.environ.get("DA3_LAP", LAP))
    scene = long_walk.make(count, size=1)
    header = frames.headers[frames.selected[0]]
    width, height = header.width, header.height
    rows, columns = np.arange(height) * long_walk.HEIGHT // height, np.arange(width) * long_walk.WIDTH // width
    depth = scene.depth[:, rows][:, :, columns]
    to_size = np.array([[width / long_walk.WIDTH], [height / long_walk.HEIGHT], [1.0]])

    def answer(images, indices):
        at = np.asarray(indices) % count
        conf = np.full(images.shape[:3], 5.0, np.float32)
        return Prediction(depth[at], conf, scene.extrinsics[at].copy(), scene.intrinsics[at] * to_size, images)

    return Logged(answer)


def walk(name, folder, frames, monitor, *, fp16=False, device=None):
    """The sample set ``walk`` as a model that errs sees it."""
    import truth
    from disturbed_predictor import DisturbedPredictor

    model = DisturbedPredictor(truth.load("walk"))
    return Logged(lambda images, indices: model.predict(images, indices, None))
