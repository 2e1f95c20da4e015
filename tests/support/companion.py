"""The sample set ``walk`` with a person walking along in front of the camera: pictures, depth and ids at true scale.

The person is a flat figure, cut out of the set ``passer_by`` (a walker in sixteen poses), that always faces the camera.
"""

from dataclasses import replace

import cv2
import numpy as np
from disturbed_predictor import DisturbedPredictor

PERSON = 250  # id; no thing of the sets has it
TALL = 1.80  # metres, hat included
SPREAD = 0.25  # standard deviation of the log of the factor by which a pass misjudges how far what moves is
FLICKER = 0.1  # the same of a frame


def companion(walk, passer_by, nearest=1.3, farthest=2.3):
    """``walk`` with somebody in it, a ``truth.Truth``.

    Parameters
    ----------
    nearest, farthest : metres between the camera and the person, who falls back and goes ahead again
    """
    images, depth, ids = walk.images.copy(), walk.depth.copy(), walk.ids.copy()
    figures = _figures(passer_by)
    for i in range(len(walk)):
        distance = (nearest + farthest) / 2 + (farthest - nearest) / 2 * np.sin(0.23 * i)
        sideways = distance * np.tan(np.radians(17 * np.sin(0.31 * i)))
        camera = walk.camera_to_world[i]
        foot = camera[:3, 3] + distance * camera[:3, 2] + sideways * camera[:3, 0]
        foot[2] = 0.0
        place = walk.extrinsics[i, :, :3] @ foot + walk.extrinsics[i, :, 3]
        _stand(figures[i % len(figures)], place, walk.intrinsics[i], images[i], depth[i], ids[i])
    there = replace(walk, depth=depth, ids=ids, moving=[PERSON], objects={**walk.objects, PERSON: "companion"})
    there.__dict__["images"] = images  # what the cached property would read from the files
    return there


class MisjudgingPredictor(DisturbedPredictor):
    """A disturbed predictor whose passes do not agree on how far the person is, as models do not on what moves."""

    def predict(self, images, indices, settings, cameras=None):
        prediction = super().predict(images, indices, settings, cameras)
        random = np.random.default_rng([self.seed, 77, *indices])
        factors = np.exp(random.normal(size=len(indices)) * FLICKER + random.normal() * SPREAD)
        people = self.truth.ids[list(indices)] == PERSON
        prediction.depth *= np.where(people, factors[:, None, None], 1.0).astype(np.float32)
        prediction.images = self.truth.images[list(indices)]
        return prediction


def _figures(passer_by):
    """(colours, mask) of the walker in each pose."""
    found = []
    for image, ids in zip(passer_by.images, passer_by.ids, strict=True):
        mask = ids == passer_by.moving[0]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found.append((image[cut], mask[cut]))
    return found


def _stand(figure, place, intrinsics, image, depth, ids):
    """Paint a figure whose foot is at ``place`` in the camera's frame."""
    colours, mask = figure
    scale = TALL * intrinsics[1, 1] / place[2] / mask.shape[0]
    foot = intrinsics @ place
    left, top = foot[0] / foot[2] - scale * mask.shape[1] / 2, foot[1] / foot[2] - scale * mask.shape[0]
    # OpenCV's centre of the first pixel is at (0, 0), the intrinsics' at (0.5, 0.5).
    warp = np.array([[scale, 0, left + 0.5 * scale - 0.5], [0, scale, top + 0.5 * scale - 0.5]])
    size = (image.shape[1], image.shape[0])
    seen = cv2.warpAffine(mask.astype(np.float32), warp, size) > 0.5
    painted = cv2.warpAffine(colours, warp, size, borderMode=cv2.BORDER_REPLICATE)
    seen &= (depth == 0) | (depth > place[2])
    image[seen], depth[seen], ids[seen] = painted[seen], place[2], PERSON
