"""A ground on which nothing is sure: its plane from what the pictures show, or none."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from da3_blender.core.predictors.classic.stereo.ground.parts import Parts
from da3_blender.core.predictors.classic.stereo.ground.pictures import Pictures
from da3_blender.core.predictors.classic.stereo.ground.plane import Plane, Points
from da3_blender.core.predictors.classic.stereo.ground.search import agreed

SIZE = (90, 120)
INTRINSICS = np.array([[100.0, 0.0, 60.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]])
PLACES = ((-0.2, 0.0), (-0.1, 0.05), (0.0, -0.05), (0.1, 0.02), (0.2, 0.0))  # of the cameras, aside and downwards
GROUND = Plane(np.array([0.03, -0.98, -0.197]) / np.linalg.norm([0.03, -0.98, -0.197]), 0.3)
THINGS = Points(np.array([[x, -0.4, 1.5] for x in np.linspace(-1.0, 1.0, 50)]), np.full(50, 1.5))


@dataclass
class View:
    index: int
    neighbours: list[int]
    farthest: float = 2.5


EXTRINSICS = np.stack([np.concatenate([np.eye(3), [[-x], [-y], [0.0]]], axis=1) for x, y in PLACES])
VIEWS = [View(i, sorted(set(range(5)) - {i}, key=lambda j: abs(j - i))) for i in range(5)]


def pictured(lawns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Views of the ground, each with its own lawn lying on it: (5, H, W) float32, and bool where it is near enough."""
    v, u = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    rays = np.linalg.inv(INTRINSICS) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    gray, near = [], []
    for e, lawn in zip(EXTRINSICS, lawns, strict=True):
        inverse = GROUND.inverse_depth(INTRINSICS, e, SIZE)
        x, _y, z = (rays / np.maximum(inverse.ravel(), 0.1)).reshape(3, *SIZE) - e[:, 3, None, None]
        at = [(p * 150.0 + 300.0).astype(np.float32) for p in (x, z - 1.0)]
        gray.append(cv2.remap(lawn, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
        near.append(inverse > 0.4)
    return np.stack(gray), np.stack(near)


def seen(lawns: list[np.ndarray]) -> Pictures:
    """These views, of which nothing is known."""
    return Pictures(*pictured(lawns), np.stack([INTRINSICS] * 5), EXTRINSICS, VIEWS)


def lawn(seed: int) -> np.ndarray:
    """(600, 600) float32, 0 to 1: details of all sizes."""
    noise = np.random.default_rng(seed).normal(0.0, 1.0, (600, 600)).astype(np.float32)
    return np.clip(0.5 + sum(0.06 * s * cv2.GaussianBlur(noise, (0, 0), s) for s in (1.5, 4.0, 12.0)), 0.0, 1.0)


def test_the_plane_of_a_lawn_is_found_from_its_pictures_alone():
    found = agreed(seen([lawn(0)] * 5), THINGS, lambda: None)
    assert found is not None
    inverse = [plane.inverse_depth(INTRINSICS, np.eye(4)[:3], SIZE)[60:] for plane in (found, GROUND)]
    error = np.abs(inverse[0] / inverse[1] - 1.0)
    # What is continued has to be right to 1 % in the median, and to 5 %; measured: 1.1 % at the worst corner.
    assert np.median(error) < 0.01 and error.max() < 0.05


def test_pictures_that_show_different_lawns_tell_no_plane():
    assert agreed(seen([lawn(k) for k in range(5)]), THINGS, lambda: None) is None


def test_a_plane_of_sure_points_goes_on_only_where_the_pictures_show_it():
    lower = Plane(GROUND.normal, 1.6 * GROUND.offset)
    pictures = seen([lawn(0)] * 5)
    assert pictures.show(GROUND) and not pictures.show(lower)
    assert not seen([lawn(k) for k in range(5)]).show(GROUND)


def test_a_table_goes_on_beside_what_is_known_of_it_and_not_into_the_room_behind():
    (table, unknown), (room, _) = pictured([lawn(0)] * 5), pictured([lawn(k) for k in range(5)])
    sides = np.where(np.arange(SIZE[1]) < 60, table, room)  # on the right each view shows something else
    known = np.zeros(SIZE, np.float32)
    known[75:80, 20:40] = 1.0 / GROUND.inverse_depth(INTRINSICS, EXTRINSICS[2], SIZE)[75:80, 20:40]
    unknown[2] &= known == 0.0
    parts = Parts(sides, unknown, np.stack([INTRINSICS] * 5), EXTRINSICS)
    of = parts.of(GROUND, VIEWS[2], known, unknown[2])
    left, right = (unknown[2][:, side] for side in (slice(0, 40), slice(80, None)))
    # The windows of 41 pixels reach over the border at 60; at the picture's edges the others see nothing.
    assert of[:, 10:40].mean() > 0.6 * left[:, 10:].mean() and of[:, 80:].sum() < 0.01 * right.sum()
    nothing = np.zeros(SIZE, np.float32)  # that it would continue
    assert not parts.of(GROUND, VIEWS[2], nothing, unknown[2]).any()
