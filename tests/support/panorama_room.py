"""A box-shaped room whose walls are patterned: what a panorama sees in it, and how far everything is, by formula."""

import numpy as np
from da3_blender.core.frames.panorama import rig
from da3_blender.core.prediction.prediction import Prediction

LOW, HIGH = np.array([-3.0, -1.5, -4.0]), np.array([4.0, 1.2, 5.0])  # metres, OpenCV's axes: y is down


def distances(centre, directions):
    """(...,) metres from a place in the room to its walls, along (..., 3) directions of the room's axes."""
    with np.errstate(divide="ignore"):
        walls = np.where(directions > 0, HIGH - centre, LOW - centre) / directions
    return np.where(directions == 0, np.inf, walls).min(axis=-1) * np.linalg.norm(directions, axis=-1)


def panorama(centre, rotation, width=1024):
    """(width / 2, width, 3) uint8 from a place, (3,), through axes (3, 3) of which ``rotation`` comes from the room's."""
    height = width // 2
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2.0 * np.pi
    latitude = ((np.arange(height) + 0.5) / height - 0.5)[:, None] * np.pi  # downwards
    own = np.stack(
        np.broadcast_arrays(
            np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)
        ),
        -1,
    )
    return pattern(centre + (own @ rotation) * distances(centre, own @ rotation)[..., None])


def pattern(points):
    """(..., 3) uint8 of (..., 3) places on the walls: smooth noise that is nowhere the same."""
    shades = np.zeros(points.shape)
    random = np.random.default_rng(0)
    for octave in range(5):
        waves = random.normal(size=(24, 3)) * 3.0 * 1.8**octave
        phases = random.uniform(0.0, 2.0 * np.pi, (24, 1))
        for channel in range(3):
            shades[..., channel] += (
                sum(np.sin(points @ w + p) for w, p in zip(waves[channel::3], phases[channel::3], strict=True))
                / 1.3**octave
            )
    return np.clip(128.0 + 18.0 * shades, 0, 255).astype(np.uint8)


class RoomPredictor:
    """The room's truth for the views of panoramas, disturbed as a model's is.

    ``poses``: of each panorama by its place in the input, (centre, rotation from the room); ``scale_error``: deviation of the
    logarithm of a view's scale; ``pose_error``: metres and radians
    """

    def __init__(self, frames, poses, scale_error=0.0, pose_error=0.0):
        self.frames, self.poses = frames, poses
        self.scale_error, self.pose_error = scale_error, pose_error

    def predict(self, images, indices, settings, cameras=None):
        random = np.random.default_rng(7)
        size = settings.resolution
        k = rig.intrinsics(size)
        rays = rig.rays(k, size, size)
        depth, extrinsics = [], []
        for index in indices:
            view = self.frames.views[index]
            centre, rotation = self.poses[view.panorama]
            own = view.rotation @ rotation
            distance = distances(centre, rays @ own)
            scale = np.exp(self.scale_error * random.normal())
            depth.append(scale * distance / np.linalg.norm(rays, axis=-1))
            angle = self.pose_error * random.normal(size=3)
            turn = np.eye(3) + np.array([[0, -angle[2], angle[1]], [angle[2], 0, -angle[0]], [-angle[1], angle[0], 0]])
            turn = np.linalg.qr(turn)[0] * np.sign(np.diag(np.linalg.qr(turn)[1])) @ own
            place = centre + self.pose_error * random.normal(size=3)
            extrinsics.append(np.column_stack([turn, -turn @ place]))
        depth = np.stack(depth).astype(np.float32)
        return Prediction(
            depth, np.full(depth.shape, 5.0, np.float32), np.stack(extrinsics), np.repeat(k[None], len(indices), axis=0),
            np.zeros((*depth.shape, 3), np.uint8),
        )  # fmt: skip
