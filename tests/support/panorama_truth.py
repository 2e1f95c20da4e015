"""The sample panoramas' truth for a predictor that knows the answer, view by view."""

import numpy as np
import truth
from da3_blender.core.frames.panorama import rig
from da3_blender.core.prediction.prediction import Prediction

NAME = "panorama"


def truth_of_view(set_, panorama, rotation, pixels):
    """(pixels, pixels) z-depth in metres of a view, 0 of the sky: the nearest pixel's of the panorama."""
    rays = rig.rays(rig.intrinsics(pixels), pixels, pixels)
    height, width = set_.depth.shape[1:]
    u, v = rig.seen_at(rays @ rotation, width, height)
    distance = set_.depth[panorama][v.astype(int).clip(0, height - 1), u.astype(int) % width]
    return distance / np.linalg.norm(rays, axis=-1)


class PanoramaTruth:
    """Depth and cameras of the views into the sample set ``panorama``, in its own world turned to OpenCV's axes as they are."""

    def __init__(self, frames):
        self.frames, self.truth = frames, truth.load(NAME)

    def predict(self, images, indices, settings, cameras=None):
        size = settings.resolution
        views = [self.frames.views[index] for index in indices]
        depth = np.stack([truth_of_view(self.truth, view.panorama, view.rotation, size) for view in views]).astype(
            np.float32
        )
        extrinsics = np.stack([view.rotation @ self.truth.extrinsics[view.panorama] for view in views])
        return Prediction(
            depth, np.where(depth > 0, 5.0, 0.0).astype(np.float32), extrinsics,
            np.repeat(rig.intrinsics(size)[None], len(views), axis=0), resized(images, size),
        )  # fmt: skip


def resized(images, size):
    import cv2

    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images])
