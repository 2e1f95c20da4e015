"""``classic`` behind the ``Predictor`` protocol."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ...frames.resizing import Placement, place
from ...monitor import Monitor
from ...prediction.prediction import Cameras, Prediction
from ...settings import Settings
from .sfm.reconstruction import SfmResult, structure_from_motion
from .stereo.depths import dense

STRAIGHT = 1e-9  # |k1| below it is no distortion


class ClassicPredictor:
    """Depth, confidence and cameras of overlapping images, without a network.

    An image that structure from motion cannot place gets no depth and no confidence (0 everywhere), its nearest
    neighbour's camera, and a line in ``warnings``. The world is the first placed camera's frame, scaled to a median depth
    of about 1; or the frame of the cameras that are given.

    Parameters
    ----------
    focals : focal length of every frame of the input, pixels of the original upright image, None where EXIF has none
    watch : hears the stages "cameras" and "depth"
    """

    def __init__(self, focals: Sequence[float | None], monitor: Monitor):
        self.focals = list(focals)
        self.monitor = monitor
        self.warnings: list[str] = []

    def predict(
        self,
        images: Sequence[np.ndarray],
        indices: Sequence[int],
        settings: Settings,
        cameras: Cameras | None = None,
    ) -> Prediction:
        """See ``Predictor``.

        Raises
        ------
        BadInput
            One image, images that do not overlap, or a camera that did not move.
        Cancelled
        """
        self.warnings.clear()
        focals = [self.focals[i] if i < len(self.focals) else None for i in indices]
        sfm = structure_from_motion(images, focals, self.monitor, cameras)
        if not sfm.registered.all():
            lost = [str(indices[i]) for i in np.flatnonzero(~sfm.registered).tolist()]
            self.warnings.append(
                f"classic could not place {len(lost)} of {len(images)} images (frame {', '.join(lost)}); they are left out"
            )
        straight = [undistort(image, sfm, i) for i, image in enumerate(images)]
        canvas, valid, placements = place(straight, settings.resolution, settings.resize_method)
        for i, at in enumerate(placements):
            valid[i, at.rows, at.columns] &= covered(sfm, i, at)
        intrinsics = np.stack([p.to_processed(k) for p, k in zip(placements, sfm.intrinsics, strict=True)])
        depth, conf, sky = dense(canvas, valid, intrinsics, sfm, self.monitor)
        return Prediction(depth, conf, sfm.extrinsics, intrinsics, canvas, sky)


def undistort(image: np.ndarray, sfm: SfmResult, index: int) -> np.ndarray:
    """The image as a pinhole camera of the same focal length sees it."""
    k1 = float(sfm.distortion[index])
    if abs(k1) < STRAIGHT:
        return image
    matrix = sfm.intrinsics[index].copy()
    matrix[:2, 2] -= 0.5  # OpenCV counts from the centre of the first pixel
    return cv2.undistort(image, matrix, np.array([k1, 0.0, 0.0, 0.0]))


def covered(sfm: SfmResult, index: int, at: Placement) -> np.ndarray:
    """(h, w) bool of the processed image, where a straightened image shows what the original saw."""
    if abs(float(sfm.distortion[index])) < STRAIGHT:
        return np.ones((at.height, at.width), bool)
    whole = np.full((at.original_height, at.original_width), 255, np.uint8)
    straight = cv2.resize(undistort(whole, sfm, index), (at.width, at.height), interpolation=cv2.INTER_AREA)
    return straight == 255
