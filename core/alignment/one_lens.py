"""One lens for a whole shot: the focal length that a model finds anew for every frame is held, and its poses follow.

A model that sees a frame through a lens that is off by a factor also sees its camera too near or too far. Where the focal
length f becomes s f, the points of the frame stay where they are in the world, the camera is put where it sees them best
through the new lens (least squares of the reprojection error; for points around one depth z it is (s - 1) z farther back),
and the depth of every pixel is that of its point from there. A single frame has no other to agree with: its depths become
s z, and every point stays on its pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..frames.resizing import on_canvas
from ..frames.source import FrameSource
from ..geometry.projection import homogeneous
from ..geometry.similarity import skew
from ..prediction.conditioning import longest_side
from ..prediction.prediction import Cameras, Prediction
from ..prediction.predictor import Predictor
from ..settings import Settings
from .joint_fit import exponential

SAMPLES = 2000  # pixels of a frame that its pose is refined by
STEPS = 8
OUTLIER = 1.0  # pixels of the processed image, from which a residual counts linearly (Huber)
STRANGE = 0.1  # part by which a typed lens may differ from what the model sees, before it is said
SAME = 1e-9  # relative change of a focal length that is none


class OneLensPredictor:
    """A predictor whose frames all have one lens: the fixed one, or the median of the first pass.

    Parameters
    ----------
    focal : in lengths of the original's longest side; None: the first pass says it
    """

    def __init__(self, inner: Predictor, frames: FrameSource, focal: float | None):
        self.inner = inner
        self._frames = frames
        self._is_fixed = focal is not None
        self.focal = focal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass; see ``Predictor``."""
        prediction = self.inner.predict(images, indices, settings, cameras)
        if prediction.intrinsics is None or prediction.extrinsics is None or prediction.cameras_known:
            return prediction
        scales = self._pixels_per_side(prediction, indices, settings)
        seen = prediction.intrinsics[:, [0, 1], [0, 1]] / scales
        if self.focal is None:
            self.focal = float(np.median(seen))
        held = hold(prediction, self.focal * scales)
        self._tell(float(np.median(seen)), held)
        return held.prediction

    def remember(self, prediction: Prediction, indices: Sequence[int], settings: Settings) -> None:
        """Take the lens from a pass that was held before, by a run that now goes on."""
        if prediction.intrinsics is not None:
            scales = self._pixels_per_side(prediction, indices, settings)
            self.focal = float(np.median(prediction.intrinsics[:, [0, 1], [0, 1]] / scales))

    def _pixels_per_side(self, prediction: Prediction, indices: Sequence[int], settings: Settings) -> np.ndarray:
        """(N, 2) pixels across and down that the original's longest side has in the processed image."""
        sizes = [(self._frames.headers[i].width, self._frames.headers[i].height) for i in indices]
        _, height, width = prediction.depth.shape
        placements = on_canvas((height, width), sizes, settings.resolution, settings.resize_method)
        return np.array([
            (longest_side(self._frames, i) * p.width / p.original_width, longest_side(self._frames, i) * p.height / p.original_height)
            for i, p in zip(indices, placements, strict=True)
        ])  # fmt: skip

    def _tell(self, seen: float, held: Held) -> None:
        """What the lens costs, once; and whether the model sees quite another."""
        assert self.focal is not None
        said = f"Lens: {36.0 * self.focal:.2f} mm on a sensor of 36 mm for all frames"
        if any(warning.startswith(said) for warning in self._frames.warnings):
            return
        strange = self._is_fixed and abs(seen / self.focal - 1.0) > STRANGE
        doubt = (
            f" The model sees {36.0 * seen:.2f} mm: look whether focal length and sensor are right." if strange else ""
        )
        self._frames.warnings.append(
            f"{said}; it moves what a frame sees by {np.median(held.errors):.2f} pixels of the processed image in the median, "
            f"{held.errors.max():.2f} at most.{doubt}"
        )


@dataclass(frozen=True)
class Held:
    """A prediction with the lenses it was to have, and what that costs each frame: (N,) median pixels that points moved."""

    prediction: Prediction
    errors: np.ndarray


def hold(prediction: Prediction, focals: np.ndarray) -> Held:
    """Give each frame another focal length, and the pose and depth that go with it; see the module.

    Parameters
    ----------
    prediction : N frames with cameras
    focals : (N, 2) fx and fy, pixels of the processed image
    """
    assert prediction.intrinsics is not None and prediction.extrinsics is not None
    intrinsics, extrinsics = prediction.intrinsics.copy(), prediction.extrinsics.astype(np.float64)
    depth, errors = prediction.depth.copy(), np.zeros(len(prediction))
    intrinsics[:, [0, 1], [0, 1]] = focals
    for i, before in enumerate(prediction.intrinsics):
        ratio = intrinsics[i, 0, 0] / before[0, 0]
        if abs(ratio - 1.0) < SAME and abs(intrinsics[i, 1, 1] / before[1, 1] - 1.0) < SAME:
            continue
        if len(prediction) == 1:
            depth[i] *= np.float32(ratio)
            continue
        pixels, points = _sample(prediction, i)
        if len(points) < 6:  # nothing to see it by
            continue
        pose, errors[i] = _refined(points, pixels, intrinsics[i], ratio)
        extrinsics[i] = (homogeneous(pose) @ homogeneous(extrinsics[i]))[:3]
        depth[i] = _depth_from(pose, depth[i], before)
    return Held(replace(prediction, intrinsics=intrinsics, extrinsics=extrinsics, depth=depth), errors)


def _sample(prediction: Prediction, i: int) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) pixels of a frame, and their (P, 3) points in its camera."""
    assert prediction.intrinsics is not None
    known = (prediction.depth[i] > 0) & (prediction.conf[i] > 0)
    if prediction.sky is not None:
        known &= ~prediction.sky[i]
    v, u = np.nonzero(known)
    chosen = np.linspace(0, len(u) - 1, min(SAMPLES, len(u))).astype(int) if len(u) else np.zeros(0, int)
    pixels = np.stack([u[chosen] + 0.5, v[chosen] + 0.5], axis=-1)
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(prediction.intrinsics[i]).T
    return pixels, rays * prediction.depth[i][v[chosen], u[chosen], None].astype(np.float64)


def _refined(points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray, ratio: float) -> tuple[np.ndarray, float]:
    """(3, 4) from the old camera to the one that sees (P, 3) points nearest to their pixels, by Gauss-Newton; and how near.

    The step from the old camera is small, so that the equations are those of a bundle adjustment with one camera (Hartley
    and Zisserman 2004, 6.2).
    """
    rotation, shift = np.eye(3), np.array([0.0, 0.0, (ratio - 1.0) * np.median(points[:, 2])])
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    for _ in range(STEPS):
        turned = points @ rotation.T
        seen = turned + shift
        z = np.maximum(seen[:, 2:], 1e-3 * np.median(points[:, 2]))
        residual = seen[:, :2] / z * focal + centre - pixels
        by_point = np.zeros((len(points), 2, 3))
        by_point[:, 0, 0], by_point[:, 1, 1] = (focal / z).T
        by_point[:, :, 2] = -seen[:, :2] * focal / z**2
        jacobian = np.concatenate([-by_point @ skew(turned), by_point], axis=2)
        weight = np.minimum(1.0, OUTLIER / np.maximum(np.linalg.norm(residual, axis=1), 1e-9))
        weighted = jacobian * weight[:, None, None]
        step = -np.linalg.solve(
            np.einsum("pki,pkj->ij", weighted, jacobian), np.einsum("pki,pk->i", weighted, residual)
        )
        rotation, shift = exponential(step[:3]) @ rotation, shift + step[3:]
    return np.concatenate([rotation, shift[:, None]], axis=1), float(np.median(np.linalg.norm(residual, axis=1)))


def _depth_from(pose: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(H, W) float32 depth of every pixel's point from a camera that moved by (3, 4) ``pose``; 0 where it is behind it."""
    height, width = depth.shape
    to_z = pose[2, :3] @ np.linalg.inv(intrinsics)
    rays = to_z[0] * np.arange(0.5, width) + to_z[1] * np.arange(0.5, height)[:, None] + to_z[2]
    moved = depth * rays + pose[2, 3]
    return np.where((depth > 0) & (moved > 0), moved, 0.0).astype(np.float32)
