"""The sun from the sky: found where it is, whatever way the cameras look, and not made up of clouds."""

import numpy as np
import pytest
from da3_blender.core.geometry.projection import BLENDER_FROM_OPENCV, invert_rigid
from da3_blender.core.geometry.smoothing import exponential
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.shots.sunlight import Sky

SIZE = 120, 180
K = np.array([[120.0, 0.0, 90.0], [0.0, 120.0, 60.0], [0.0, 0.0, 1.0]])


def seen(sky_of, poses):
    """A prediction whose pictures show ``sky_of`` (P, 3) directions of Blender's world, grey, above the horizon."""
    v, u = np.mgrid[0.5 : SIZE[0], 0.5 : SIZE[1]]
    images, masks = [], []
    for pose in poses:
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T @ invert_rigid(pose)[:, :3].T
        rays = rays @ BLENDER_FROM_OPENCV.T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        images.append(np.repeat(sky_of(rays.reshape(-1, 3)).reshape(*SIZE, 1), 3, axis=2))
        masks.append(rays[..., 2] > 0.0)
    shape = (len(poses), *SIZE)
    return Prediction(
        np.ones(shape, np.float32), np.ones(shape, np.float32), np.stack(poses), np.repeat(K[None], len(poses), axis=0),
        np.stack(images).clip(0, 255).astype(np.uint8), sky=np.stack(masks),
    )  # fmt: skip


def poses():
    """Twelve ways around, at two heights: all of the sky."""
    up = exponential(
        np.radians([[20.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    )  # OpenCV's x is to the right: the camera looks up
    around = exponential(np.radians(np.arange(0.0, 360.0, 30.0))[:, None] * (0.0, 1.0, 0.0))
    turns = [np.swapaxes(way @ height, 0, 1) for height in up for way in around]
    return [np.concatenate([turn, np.array([[0.1], [0.2], [0.3]])], axis=1) for turn in turns]


def glow(sun):
    """A blue sky that gets white around the sun, and the sun in it."""

    def grey(rays):
        angle = np.degrees(np.arccos(np.clip(rays @ sun, -1.0, 1.0)))
        return np.where(angle < 4.0, 255.0, 120.0 + 130.0 * np.exp(-angle / 8.0))

    return grey


@pytest.mark.parametrize("seed", range(4))
def test_the_sun_is_found_to_three_degrees(seed):
    sun = np.random.default_rng(seed).normal(size=3)
    sun[2] = abs(sun[2]) + 0.2
    sun /= np.linalg.norm(sun)
    sky = Sky()
    for pose in poses():
        sky.add(seen(glow(sun), [pose]))
    found = sky.sun()
    assert found is not None
    assert np.degrees(np.arccos(np.clip(np.dot(found, sun), -1.0, 1.0))) < 3.0


def test_an_even_sky_clouds_and_no_sky_tell_of_no_sun():
    even, clouds, none = Sky(), Sky(), Sky()
    even.add(seen(lambda rays: np.full(len(rays), 180.0), poses()))
    clouds.add(seen(lambda rays: 150.0 + 105.0 * (np.sin(9.0 * rays).prod(axis=1) > 0.1), poses()))
    inside = seen(lambda rays: np.full(len(rays), 255.0), poses())
    inside.sky = None
    none.add(inside)
    assert even.sun() is None and clouds.sun() is None and none.sun() is None
