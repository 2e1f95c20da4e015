"""Frames around photographs, with words or without: found to the pixel, and never what a photograph shows itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import truth as truths
from da3_blender.core.geometry import projection
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.predictors.classic.sfm import borders
from da3_blender.core.settings import FeatureMatching


def framed(image: np.ndarray, around: int = 0, below: int = 56, words: str = "24mm f/1.8 1/100s ISO50") -> np.ndarray:
    """As phones do: white around, the camera's name below; as JPEG keeps it."""
    own = cv2.copyMakeBorder(image, around, below, around, around, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    cv2.putText(own, words, (around + 20, len(own) - below // 3), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (20, 20, 20), 2)
    data = cv2.imencode(".jpg", own, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize("around, below", [(0, 56), (26, 80), (26, 26)])
def test_the_photograph_is_found_to_the_pixel(around, below):
    words = "" if below == around else "24mm f/1.8 1/100s ISO50"
    for image in truths.load("courtyard").images[:3]:
        height, width = image.shape[:2]
        assert borders.inside(framed(image, around, below, words)) == (around, around, around + width, around + height)


def test_a_photograph_as_white_as_its_frame_takes_that_of_the_others():
    own, size = (0, 0, 640, 428), (640, 484)
    found, plain = [own, (0, 0, *size), own, (0, 0, *size)], [frozenset({3})] * 3 + [frozenset()]
    assert borders.agreed(found, [size] * 4, plain) == [own, own, own, (0, 0, *size)]


def test_a_sky_a_thing_on_white_and_plain_photographs_have_no_frame():
    """White above only may be the sky, and a thing on a white table does not end along a line."""
    image = truths.load("courtyard").images[0].copy()
    assert borders.inside(image) == borders.whole(image)
    image[:90] = 255
    assert borders.inside(image) == borders.whole(image)
    thing = np.full((300, 400, 3), 255, np.uint8)
    cv2.circle(thing, (210, 160), 120, (40, 90, 160), -1)
    cv2.rectangle(thing, (60, 200), (120, 240), (30, 30, 30), -1)
    assert borders.inside(thing) == borders.whole(thing)
    for black in (0, 128, 255):
        plain = np.full((90, 120, 3), black, np.uint8)
        assert borders.inside(plain) == borders.whole(plain)


def test_framed_photographs_among_others_have_the_others_cameras():
    truth = truths.load("courtyard")
    images = [framed(image) if i in (0, 2) else image for i, image in enumerate(truth.images[:4])]
    found = structure_from_motion(images, [None] * 4, Monitor(), matching=FeatureMatching.SIFT)
    assert found.registered.all()
    own, true = (projection.homogeneous(m)[1:] for m in (found.extrinsics, _from_first(truth.extrinsics[:4])))
    turned = (np.einsum("nij,nij->n", own[:, :3, :3], true[:, :3, :3]) - 1.0) / 2.0
    assert np.degrees(np.arccos(turned.clip(-1.0, 1.0))).max() < 0.1  # 8 degrees with the frames
    scale = np.linalg.norm(true[:, :3, 3]) / np.linalg.norm(own[:, :3, 3])
    places = [projection.invert_rigid(m[:, :3])[:, :, 3] for m in (own, true)]
    assert np.abs(scale * places[0] - places[1]).max() < 0.003 * np.linalg.norm(np.ptp(places[1], axis=0))
    assert np.allclose(found.intrinsics[:, :2, 2], truth.intrinsics[:4, :2, 2])
    assert (found.pixels[:, 1] < 428).all()


def _from_first(extrinsics: np.ndarray) -> np.ndarray:
    """World to camera, the first camera being the world."""
    whole = projection.homogeneous(extrinsics)
    return (whole @ np.linalg.inv(whole[0]))[:, :3]
