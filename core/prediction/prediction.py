"""What a model says about some images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAME_SURFACE = 0.1  # two depths that differ by more than this part are two surfaces, between which there is nothing


@dataclass(frozen=True)
class Tracks:
    """T points that were followed from image to image, in a prediction's world, and where its own images see them, M times."""

    number: np.ndarray  # (T,) int64, one number for a track, whichever passes see it
    points: np.ndarray  # (T, 3) float64, world
    error: np.ndarray  # (T,) float64, mean reprojection error in all images that see it, pixels of the originals
    length: np.ndarray  # (T,) int64, how many images see it
    seen: np.ndarray  # (M, 2) int64, (frame of the input, row of the track)
    pixels: np.ndarray  # (M, 2) float64, where: pixels of the original, with what its lens bends


@dataclass
class Prediction:
    """Depth and cameras of N frames: of one pass, or of the whole run once aligned.

    ``H, W`` is the size of the processed image. Pixels follow ``geometry``'s convention: the centre of the top-left
    pixel is at (0.5, 0.5), so an image's centre is at (W / 2, H / 2).
    """

    depth: np.ndarray  # (N, H, W) float32, z-depth; 0 where nothing is known
    conf: np.ndarray  # (N, H, W) float32, >= 1; 0 where a filter removed the pixel
    extrinsics: np.ndarray | None  # (N, 3, 4) float64, world to camera, OpenCV axes
    intrinsics: np.ndarray | None  # (N, 3, 3) float64, pixels of the processed image
    images: np.ndarray  # (N, H, W, 3) uint8, RGB
    sky: np.ndarray | None = None  # (N, H, W) bool
    is_metric: bool = False  # depth and cameras are in metres
    metric_focal: float | None = None  # where set, depth in metres is depth * focal / metric_focal (pixels)
    cameras_known: bool = False  # the cameras are those that were given: nothing may move or scale them
    scale_known: bool = True  # of known cameras: their unit is the scene's; False where only their places are known
    object_id: np.ndarray | None = None  # (N, H, W) int32, which tracked thing is seen; 0 is none
    unfiltered: np.ndarray | None = None  # (N, H, W) float32, the confidence before any filter of the settings
    people: np.ndarray | None = None  # (N, H, W) bool; they get confidence 1 and take no part in any alignment
    distortion: np.ndarray | None = (
        None  # (N, 3) k1 k2 k3 of the originals (OpenCV's radial polynomial); None: none known
    )
    #: (N,) float64, mean distance of what a frame was placed by from where it was seen, pixels of the original; 0: not known
    reprojection_error: np.ndarray | None = None
    tracks: Tracks | None = None  # of a model that follows points; not by frame: a choice of frames keeps all
    #: (N, D) float32 of length 1, what each frame looks like; alike places are near
    descriptors: np.ndarray | None = None
    #: (N, H, W, 11) float16, a Gaussian of each pixel: standard deviations in pixels of its depth, quaternion (w, x, y, z) from
    #: its axes to the camera's (OpenCV), opacity, constant spherical harmonics of red, green, blue; its centre is the pixel's point
    gaussians: np.ndarray | None = None
    warnings: tuple[str, ...] = ()  # sentences, of what a person should know of this pass

    def __len__(self) -> int:
        return len(self.depth)


@dataclass(frozen=True)
class Cameras:
    """Cameras that are known before the model runs.

    ``extrinsics`` (N, 3, 4) float64, world to camera, OpenCV axes; ``intrinsics`` (N, 3, 3) float64, pixels of the
    original images.
    """

    extrinsics: np.ndarray
    intrinsics: np.ndarray
