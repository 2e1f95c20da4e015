"""Logos, stamps and displays that lie over all pictures: found, and neither matched nor given depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import truth as truths
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.predictors.classic.sfm.overlays import off_centre, over_all
from da3_blender.core.settings import FeatureMatching


@pytest.fixture(scope="module")
def stamped() -> list[np.ndarray]:
    """Six images of the courtyard with a logo over their lower right corner, as JPEG keeps it."""
    blocks = np.random.default_rng(5).integers(0, 255, (9, 16, 3)).astype(np.uint8)
    images = []
    for image in truths.load("courtyard").images[:6]:
        own = image.copy()
        own[-72:, -128:] = cv2.resize(blocks, (128, 72), interpolation=cv2.INTER_NEAREST)
        data = cv2.imencode(".jpg", own, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        images.append(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return images


def test_a_logo_is_found_where_it_is(stamped):
    over = over_all(stamped)
    logo = np.zeros(over.shape, bool)
    logo[-72:, -128:] = True
    assert over[logo].mean() > 0.95 and over[~logo].mean() < 0.02


def test_bars_are_found_where_they_are():
    """Black was continued before and below the yard: the same colour, of which nothing is known, in every view."""
    images = [image.copy() for image in truths.load("courtyard").images[:6]]
    for image in images:
        image[:50], image[-30:], image[:, :20] = 0, 0, 0
    over = over_all(images)
    bars = (images[0] == 0).all(axis=2)
    assert off_centre(over) == pytest.approx(10 / 640, abs=0.008)
    assert over[bars].all() and over[60:-40, 30:].sum() < 0.01 * over.size


@pytest.mark.parametrize("change", ["none", "still", "few"])
def test_nothing_else_is_taken_for_one(change):
    images = [image.copy() for image in truths.load("courtyard").images[:6]]
    if change == "still":
        images = [images[0]] * 6
    assert over_all(images[:3] if change == "few" else images) is None


def test_a_logo_does_not_hold_the_cameras(stamped):
    truth = truths.load("courtyard")
    found = structure_from_motion(stamped, [None] * 6, Monitor(), matching=FeatureMatching.SIFT)
    assert found.registered.all()
    assert abs(found.intrinsics[0, 0, 0] / truth.intrinsics[0, 0, 0] - 1.0) < 0.01
    seen = found.pixels[found.observations[:, 0] == 0]
    assert len(seen) > 100 and not ((seen[:, 0] > 516) & (seen[:, 1] > 360)).any()
