"""Frames that fade from one scene into another are found, and nothing else of a video is taken for one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import truth as truths
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import fades


def small(name: str, chosen: range) -> list[np.ndarray]:
    images = truths.load(name).images
    return [cv2.resize(images[i], (360, 240), interpolation=cv2.INTER_AREA) for i in chosen]


def test_frames_that_show_two_scenes_are_found_while_the_camera_moves():
    before, after = small("courtyard", range(6)), small("walk", range(6))
    shares = (0.2, 0.4, 0.6, 0.8)
    moves = [
        [np.roll(image, 3 * i, axis=1) for i in range(5)] for image in (before[-1], after[0])
    ]  # pixels of 360 a frame
    mixed = [cv2.addWeighted(moves[0][i], 1.0 - s, moves[1][i], s, 0.0) for i, s in enumerate(shares)]
    assert fades.blended([*before, *mixed, moves[1][4], *after], Monitor()) == [6, 7, 8, 9]


@pytest.mark.parametrize(
    "what", ["a cut", "a walk", "views far apart", "fades from and to black", "a cloud before the sun", "a pan"]
)
def test_nothing_else_is_taken_for_one(what):
    yard = small("courtyard", range(14))
    frames = {
        "a cut": lambda: yard + small("walk", range(8)),
        "a walk": lambda: small("walk", range(0, 100, 2)),
        "views far apart": lambda: yard[::4] + yard[1::4] + yard[2::4],
        "fades from and to black": lambda: [(yard[0] * s).astype(np.uint8) for s in (0.0, 0.3, 0.6, 1.0, 0.5, 0.0)],
        "a cloud before the sun": lambda: [(yard[0] * s).astype(np.uint8) for s in np.linspace(1.0, 0.3, 9)],
        "a pan": lambda: [np.roll(yard[0], 20 * i, axis=1) for i in range(18)],
    }
    assert fades.blended(frames[what](), Monitor()) == []
