"""The sky is found by colour and place, and what is near, indoors or below the horizon is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import truth
from da3_blender.core.prediction import filters, sky
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings

NOISE = np.random.default_rng(0)


def picture(colour, *, from_row: int = 0, to_row: int = 60) -> np.ndarray:
    """(1, 120, 160, 3) a band of one colour over coarse texture."""
    image = NOISE.integers(20, 140, (120, 160, 3)).astype(np.uint8)
    image[from_row:to_row] = colour
    return image[None]


NOTHING = np.zeros((1, 120, 160), bool)


@pytest.mark.parametrize(
    "colour", [(90, 140, 220), (255, 255, 255), (190, 195, 200)], ids=["blue", "white", "overcast"]
)
def test_an_even_bright_upper_part_is_sky(colour):
    found = sky.find(picture(colour), NOTHING)[0]
    assert found[:56].mean() > 0.98 and found[66:].mean() < 0.02


def test_a_bright_thing_that_does_not_begin_at_the_top_is_none():
    assert not sky.find(picture((230, 230, 230), from_row=30, to_row=80), NOTHING).any()


def test_what_has_parallax_is_none():
    near = NOTHING.copy()
    near[:, :60] = True
    assert not sky.find(picture((90, 140, 220)), near).any()


def test_the_courtyards_sky_is_found_and_nothing_else():
    known = truth.load("courtyard")
    nothing = np.zeros(known.depth.shape, bool)
    found = sky.find(known.images, nothing, None, known.extrinsics, known.intrinsics)
    true = known.depth <= 0
    assert found[true].mean() > 0.9  # behind leaves and grids it shows in single pixels
    assert found[~true].mean() < 0.01


def test_drop_sky_takes_the_confidence_of_a_model_that_does_not_tell():
    images = picture((90, 140, 220))
    depth = np.full((1, 120, 160), 2.0, np.float32)
    depth[:, :60] = 30.0
    for drop in (True, False):
        prediction = Prediction(depth, np.ones_like(depth), None, None, images)
        filters.apply(prediction, Settings(drop_sky=drop, filter_edges=False))
        assert (prediction.conf[0, :56] == 0).mean() == pytest.approx(float(drop), abs=0.02)
        assert prediction.conf[0, 66:].all()
