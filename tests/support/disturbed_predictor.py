"""A predictor that errs the way a real model does: what is left of the error afterwards is the alignment's work."""

from dataclasses import dataclass

import cv2
import numpy as np
from da3_blender.core.prediction.prediction import Prediction


@dataclass(frozen=True)
class Disturbance:
    """How far a pass is from the truth; ``Disturbance.none()`` leaves the random similarity frame only."""

    pose_degrees: float = 0.3  # standard deviation about each axis, per frame and pass
    pose_shift: float = 0.001  # the same along each axis, relative to the path's length
    depth_error: float = 0.02  # standard deviation of a smooth factor
    correlation: float = 0.25  # distance, relative to the image's width, at which the factor's correlation is 1 / e
    bleeding: int = 2  # pixels on either side of a step in depth that are smeared across it
    outliers: float = 0.03  # share of the pixels
    known: float = 0.6  # share of the wrong pixels that the confidence knows of
    scales: tuple[float, float] = (0.5, 2.0)  # of a pass's own frame

    @classmethod
    def none(cls):
        return cls(pose_degrees=0, pose_shift=0, depth_error=0, bleeding=0, outliers=0)


class DisturbedPredictor:
    """The truth of a sample set, each pass disturbed and in a random similarity frame of its own.

    The same frames asked for again with the same seed give the same answer, in whatever order passes come.

    Parameters
    ----------
    truth : truth.Truth
    seed : of everything random
    """

    def __init__(self, truth, seed=0, disturbance=None):
        self.truth = truth
        self.seed = seed
        self.disturbance = disturbance or Disturbance()
        centres = truth.camera_to_world[:, :3, 3]
        self.path_length = np.linalg.norm(np.diff(centres, axis=0), axis=1).sum()
        self.passes = []

    def predict(self, images, indices, settings, cameras=None):
        indices = list(indices)
        self.passes.append(indices)
        random = np.random.default_rng([self.seed, len(indices), *indices])
        scale, rotation, translation = self._frame(random)
        w2c = self._poses(indices, random)
        true = self.truth.depth[indices]
        depth = self._depth(true, random)
        rotations = w2c[:, :, :3] @ rotation.T
        translations = scale * w2c[:, :, 3] - rotations @ translation
        return Prediction(
            depth=(depth * scale).astype(np.float32),
            conf=self._confidence(depth, true, random),
            extrinsics=np.concatenate([rotations, translations[:, :, None]], axis=-1),
            intrinsics=self.truth.intrinsics[indices].copy(),
            images=np.stack(list(images)),
        )

    def _frame(self, random):
        q, r = np.linalg.qr(random.normal(size=(3, 3)))
        rotation = q * np.sign(np.diag(r))
        low, high = np.log(self.disturbance.scales)
        return np.exp(random.uniform(low, high)), rotation * np.sign(np.linalg.det(rotation)), random.normal(size=3)

    def _poses(self, indices, random):
        """(N, 3, 4) world to camera: each camera turned about its own centre, and shifted."""
        d = self.disturbance
        poses = self.truth.extrinsics[indices].copy()
        for pose in poses:
            centre = -pose[:, :3].T @ pose[:, 3] + random.normal(size=3) * d.pose_shift * self.path_length
            turn, _ = cv2.Rodrigues(random.normal(size=3) * np.radians(d.pose_degrees))
            pose[:, :3] = turn @ pose[:, :3]
            pose[:, 3] = -pose[:, :3] @ centre
        return poses

    def _depth(self, true, random):
        d = self.disturbance
        count, height, width = true.shape
        depth = np.empty(true.shape)
        for i in range(count):
            depth[i] = self._bleed(true[i]) * (1 + d.depth_error * self._smooth(height, width, random))
        wrong = random.random(true.shape) < d.outliers
        depth[wrong] *= np.exp(random.uniform(-1, 1, wrong.sum()) * np.log(3))
        return depth

    def _smooth(self, height, width, random):
        """(height, width) noise of standard deviation 1, correlated over ``correlation`` of the width."""
        if self.disturbance.depth_error == 0:
            return 0.0
        sigma = self.disturbance.correlation * width / 2  # blurred noise is correlated as exp(-x^2 / (4 sigma^2))
        margin = int(3 * sigma)
        noise = random.normal(size=(height + 2 * margin, width + 2 * margin))
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma)[margin : margin + height, margin : margin + width]
        return smooth * 2 * sigma * np.sqrt(np.pi)

    def _bleed(self, true):
        """Foreground and background run into each other where the depth steps by more than a tenth."""
        reach = self.disturbance.bleeding
        if reach == 0:
            return true.astype(np.float64)
        known = (true > 0).astype(np.float32)
        near = cv2.erode(np.where(true > 0, true, np.inf).astype(np.float32), np.ones((3, 3), np.uint8))
        far = cv2.dilate(true, np.ones((3, 3), np.uint8))
        step = ((far > 1.1 * np.minimum(near, 1e6)) & (true > 0)).astype(np.uint8)
        zone = (cv2.dilate(step, np.ones((2 * reach - 1, 2 * reach - 1), np.uint8)) > 0) & (true > 0)
        kernel = (2 * reach + 1, 2 * reach + 1)
        mean = cv2.blur(true, kernel) / np.maximum(cv2.blur(known, kernel), 1e-6)
        return np.where(zone, mean, true).astype(np.float64)

    def _confidence(self, depth, true, random):
        """From 1 (wrong, and known to be) to about 9; 0 where there is nothing."""
        known = true > 0
        error = np.zeros(true.shape)
        error[known] = np.abs(np.log(depth[known] / true[known]))
        noticed = error * (random.random(true.shape) < self.disturbance.known)
        conf = 1 + 8 / (1 + noticed / 0.02) * np.exp(0.2 * random.normal(size=true.shape))
        return np.where(known, conf, 0).astype(np.float32)
