"""``classic`` behind the ``Predictor`` protocol."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ...devices.choosing import choose
from ...frames.resizing import Placement, place
from ...frames.source import FrameSource
from ...monitor import Monitor
from ...prediction.prediction import Cameras, Prediction
from ...settings import Lens, Settings
from . import coverage, cutouts, scene
from .scene import Scene
from .sfm import borders
from .sfm.overlays import over_all
from .sfm.reconstruction import SfmResult, structure_from_motion
from .stereo.depths import dense

STRAIGHT = 1e-9  # coefficients below it are no distortion


class ClassicPredictor:
    """Depth, confidence and cameras of overlapping images, without a network.

    The cameras of a whole input are found before its passes (``find_cameras``). Without that, and of passes for which
    cameras are given, each ``predict`` finds its own. An image that structure from motion cannot place gets no depth and no confidence (0 everywhere), its nearest
    neighbour's camera, and a line in ``warnings``. The world is the first placed camera's frame, scaled to a median depth
    of about 1; or the frame of the cameras that are given.

    Parameters
    ----------
    focals : focal length of every frame of the input, pixels of the original upright image, None where EXIF has none
    monitor : hears the stages "cameras" and "depth"
    device : where learned features are found; CUDA if it is there and works, by default. Depth takes the processor
    """

    def __init__(self, focals: Sequence[float | None], monitor: Monitor, device: str | None = None):
        self.focals = list(focals)
        self.monitor = monitor
        choice = choose(device, ("cuda",))
        self.device, self.device_warning = str(choice.device), choice.warning
        self.warnings: list[str] = []
        self._scene: Scene | None = None

    def find_cameras(
        self, frames: FrameSource, indices: Sequence[int], settings: Settings
    ) -> tuple[list[int], list[str], str]:
        """Find the cameras of these frames at once; passes of them are then seen in that one frame.

        Returns
        -------
        the frames that have a camera, what a person should know of the others, and which features and cameras gave them

        Raises
        ------
        BadInput
            No two of them have one.
        Cancelled
        """
        self._scene = scene.find(frames, indices, settings, self.monitor, self.device)
        return self._scene.indices, self._scene.warnings, self._scene.sfm.way

    @property
    def cameras_fingerprint(self) -> str:
        """Of the cameras that were found for the whole input: others give other results."""
        return self._scene.fingerprint if self._scene else ""

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
        found = self._scene.of(indices) if self._scene and cameras is None else None
        if found is None:
            focals = [self.focals[i] if i < len(self.focals) else None for i in indices]
            sfm = structure_from_motion(
                images,
                focals,
                self.monitor,
                cameras,
                settings.feature_matching,
                self.device,
                Lens.PER_FRAME if settings.lens is Lens.FIXED else settings.lens,
            )
        else:
            sfm = found
        if not sfm.registered.all():
            lost = [str(indices[i]) for i in np.flatnonzero(~sfm.registered).tolist()]
            self.warnings.append(
                f"classic could not place {len(lost)} of {len(images)} images (frame {', '.join(lost)}); they are left out"
            )
        # One after another: hundreds of originals do not fit into memory.
        straight = (undistort(image, sfm, i) for i, image in enumerate(images))
        canvas, valid, placements = place(straight, settings.resolution, settings.resize_method)
        for i, at in enumerate(placements):
            valid[i, at.rows, at.columns] &= covered(sfm, i, at)
        over = over_all(canvas)
        if over is not None:
            valid &= ~over
        background = cutouts.around(canvas, valid)
        if background is not None:
            valid &= ~background
        intrinsics = np.stack([p.to_processed(k) for p, k in zip(placements, sfm.intrinsics, strict=True)])
        depth, conf, sky = dense(canvas, valid, intrinsics, sfm, self.monitor)
        little = coverage.of_little(canvas, valid & ~sky, conf, sfm)
        if little:
            self.warnings.append(little)
        return Prediction(
            depth,
            conf,
            sfm.extrinsics,
            intrinsics,
            canvas,
            sky,
            reprojection_error=None
            if sfm.away is None
            else np.where(sfm.registered & np.isfinite(sfm.away), sfm.away, 0.0),
            distortion=np.pad(sfm.distortion, ((0, 0), (0, 1))),
            tracks=sfm.tracks(indices),
            cameras_known=found is not None,
            scale_known=found is None,
            warnings=() if little is None else (little,),
        )


def undistort(image: np.ndarray, sfm: SfmResult, index: int) -> np.ndarray:
    """The image as a pinhole camera of the same focal length sees it."""
    bending = sfm.distortion[index]
    if np.abs(bending).max() < STRAIGHT:
        return image
    matrix = sfm.intrinsics[index].copy()
    matrix[:2, 2] -= 0.5  # OpenCV counts from the centre of the first pixel
    return cv2.undistort(image, matrix, np.array([*bending, 0.0, 0.0]))


def covered(sfm: SfmResult, index: int, at: Placement) -> np.ndarray:
    """(h, w) bool of the processed image, where a straightened image shows what the original saw, but for a frame around it."""
    rect = (0, 0, at.original_width, at.original_height) if sfm.insides is None else tuple(sfm.insides[index].tolist())
    if np.abs(sfm.distortion[index]).max() < STRAIGHT and rect == (0, 0, at.original_width, at.original_height):
        return np.ones((at.height, at.width), bool)
    whole = np.zeros((at.original_height, at.original_width), np.uint8)
    borders.cut(whole, rect)[:] = 255
    straight = cv2.resize(undistort(whole, sfm, index), (at.width, at.height), interpolation=cv2.INTER_AREA)
    return straight == 255
