"""A predictor that knows the answer: nothing after it may lose accuracy."""

import runpy
from pathlib import Path

import numpy as np
from da3_blender.core.prediction.prediction import Prediction


class TruthPredictor:
    """The ground truth of a sample set, in a random similarity frame like a real model's pass.

    Parameters
    ----------
    truth : truth.Truth
    seed : of the frame; the same seed gives the same frame for every pass
    """

    def __init__(self, truth, seed=0):
        self.truth = truth
        random = np.random.default_rng(seed)
        q, r = np.linalg.qr(random.normal(size=(3, 3)))
        rotation = q * np.sign(np.diag(r))
        self.rotation = rotation * np.sign(np.linalg.det(rotation))
        self.scale = random.uniform(0.5, 2.0)
        self.translation = random.normal(size=3)

    def to_truth(self, points):
        """Points of the prediction's world, (..., 3) OpenCV axes, in the truth's world."""
        return (points - self.translation) / self.scale @ self.rotation

    def predict(self, images, indices, settings, cameras=None):
        indices = list(indices)
        w2c = self.truth.extrinsics[indices]
        rotations = w2c[:, :, :3] @ self.rotation.T
        translations = self.scale * w2c[:, :, 3] - rotations @ self.translation
        depth = (self.truth.depth[indices] * self.scale).astype(np.float32)
        return Prediction(
            depth=depth,
            conf=np.where(depth > 0, 5.0, 0.0).astype(np.float32),
            extrinsics=np.concatenate([rotations, translations[:, :, None]], axis=-1),
            intrinsics=self.truth.intrinsics[indices],
            images=np.stack(list(images)),
        )


def open_predictor(_name, _folder, frames, _watch, **_):
    """For ``$DA3_PREDICTOR``: the truth of the sample set that the input's folder is called after."""
    load = runpy.run_path(str(Path(__file__).with_name("truth.py")))["load"]  # the worker's path has no tests in it
    return TruthPredictor(load(frames.name))
