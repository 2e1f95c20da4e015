"""What is said where little of what the images show got depth."""

from __future__ import annotations

import classic_room
import numpy as np
import pytest
from da3_blender.core.predictors.classic.coverage import of_little
from da3_blender.core.predictors.classic.sfm.reconstruction import SfmResult
from da3_blender.core.predictors.classic.stereo.view_selection import neighbour_angles

SIZE = (40, 60)
TARGET = np.array([0.0, 0.0, 4.0])


def around(degrees: float, count: int = 4) -> SfmResult:
    """Cameras on a circle around one place, whose points all of them see."""
    turns = np.radians(degrees) * np.arange(count)
    centres = TARGET + 4.0 * np.stack([np.sin(turns), np.zeros(count), -np.cos(turns)], axis=1)
    points = TARGET + np.random.default_rng(0).uniform(-0.05, 0.05, (20, 3))
    observations = np.array([[view, point] for view in range(count) for point in range(20)])
    return SfmResult(
        np.ones(count, bool), np.stack([classic_room.look(centre, TARGET) for centre in centres]),
        np.stack([np.eye(3)] * count), np.zeros((count, 2)), points, np.zeros(20), observations,
    )  # fmt: skip


def noise(count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (count, *SIZE, 3), np.uint8)


def known(share: float, count: int = 4) -> np.ndarray:
    conf = np.zeros((count, *SIZE), np.float32)
    conf[:, : round(share * SIZE[0])] = 3.0
    return conf


ALL = np.ones((4, *SIZE), bool)


@pytest.mark.parametrize("degrees", [8.0, 35.0])
def test_the_angle_between_neighbours_is_that_of_the_nearest_ones(degrees):
    # The points lie within 0.05 of the place that is 4 away: a hundredth of the angle.
    assert neighbour_angles(around(degrees)) == pytest.approx([degrees] * 4, rel=0.03)


def test_half_of_the_picture_is_not_little():
    assert of_little(noise(), ALL, known(0.5), around(35.0)) is None


def test_images_far_apart_are_named_with_their_angle_and_the_share():
    sentence = of_little(noise(), ALL, known(0.2), around(35.0))
    assert "Only 20% of what 4 images show" in sentence and "35 degrees apart" in sentence
    assert "images in between" in sentence and "DA3 model" in sentence


def test_plain_surfaces_are_named_where_the_images_are_near_enough():
    plain = np.full((4, *SIZE, 3), 200, np.uint8)
    sentence = of_little(plain, ALL, known(0.1), around(8.0))
    assert "100% of the rest is plain" in sentence and "in between" not in sentence


def test_what_is_in_one_image_only_is_named_where_neither_is_the_cause():
    assert "in one image only" in of_little(noise(), ALL, known(0.1), around(8.0))


def test_sky_and_images_without_a_camera_do_not_count():
    no_sky = ALL.copy()
    no_sky[:, 20:] = False
    assert of_little(noise(), no_sky, known(0.4), around(35.0)) is None
    sfm = around(35.0)
    sfm.registered[2:] = False
    some = known(0.4)
    some[2:] = 0.0
    assert of_little(noise(), ALL, some, sfm) is None
