"""Things that were cut out of their pictures: what lies around them is known for nothing, and nothing else is taken for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import truth as truths
from da3_blender.core.predictors.classic.cutouts import around


def yard(shown, colour: int) -> tuple[np.ndarray, np.ndarray]:
    """Four pictures of the courtyard with one colour but where ``shown`` says of the objects' ids, as JPEG keeps them."""
    truth = truths.load("courtyard")
    images, masks = [], shown(truth.ids[:4])
    for image, mask in zip(truth.images[:4], masks, strict=True):
        own = np.where(mask[..., None], image, np.uint8(colour))
        images.append(cv2.imdecode(cv2.imencode(".jpg", own, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR))
    return np.stack(images), masks


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_what_lies_around_things_that_were_cut_out_is_found(colour):
    images, things = yard(lambda ids: (ids >= 21) & (ids <= 37), colour)
    found = around(images, np.ones(things.shape, bool))
    assert found[~things].mean() > 0.98
    inside = cv2.erode(np.moveaxis(things, 0, 2).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert found[np.moveaxis(inside, 2, 0)].mean() < 0.01


@pytest.mark.parametrize("colour", [0, 255])
def test_a_sky_of_one_colour_is_no_such_place(colour):
    images, known = yard(lambda ids: ids > 0, colour)
    assert around(images, np.ones(known.shape, bool)) is None
