"""Which way is up: held against scenes whose vertical and ground are known."""

import numpy as np
import pytest
import truth
from da3_blender.core.geometry import upright
from da3_blender.core.geometry.projection import BLENDER_FROM_OPENCV, cameras_to_blender, points_to_blender, unproject
from disturbed_predictor import DisturbedPredictor
from truth_predictor import TruthPredictor


def seen(prediction):
    """Points and cameras of a prediction, Blender's axes."""
    kept = (prediction.depth > 0) & (prediction.conf > 0)
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)[kept]
    return points_to_blender(points), cameras_to_blender(prediction.extrinsics)


def tilt(found, up):
    """Degrees between what was found and a direction, (3,)."""
    return np.degrees(np.arccos(np.clip(found.matrix[2, :3] @ (up / np.linalg.norm(up)), -1.0, 1.0)))


def turned(points, cameras, seed):
    """The same in a random frame; also where its z axis and origin went."""
    random = np.random.default_rng(seed)
    q, _ = np.linalg.qr(random.normal(size=(3, 3)))
    rotation, shift, scale = q * np.sign(np.linalg.det(q)), random.normal(size=3) * 5.0, 0.4
    cameras = cameras.copy()
    cameras[:, :3, :3] = rotation @ cameras[:, :3, :3]
    cameras[:, :3, 3] = scale * cameras[:, :3, 3] @ rotation.T + shift
    return scale * points @ rotation.T + shift, cameras, rotation[:, 2], shift


def looking(position, target, roll=0.0):
    """(4, 4) a Blender camera."""
    backward = np.subtract(position, target).astype(float)
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    up = np.cross(backward, right)
    out = np.eye(4)
    out[:3, 0] = np.cos(roll) * right + np.sin(roll) * up
    out[:3, 1] = np.cos(roll) * up - np.sin(roll) * right
    out[:3, 2], out[:3, 3] = backward, position
    return out


def sheet(count, corner, a, b):
    """(count, 3) points of a parallelogram, 2 cm thick."""
    random = np.random.default_rng(count)
    at = random.random((count, 2))
    return np.add(corner, at @ np.array([a, b], float)) + random.normal(size=(count, 3)) * 0.02


FLOOR = sheet(8000, (-3, -3, 0), (6, 0, 0), (0, 6, 0))
ROOM = np.concatenate([
    FLOOR, sheet(8001, (-3, -3, 2.5), (6, 0, 0), (0, 6, 0)), sheet(3000, (-0.8, -0.5, 0.75), (1.6, 0, 0), (0, 1, 0)),
    sheet(4000, (-3, -3, 0), (6, 0, 0), (0, 0, 2.5)), sheet(4001, (3, -3, 0), (0, 6, 0), (0, 0, 2.5)),
])  # fmt: skip
FACADE = sheet(9000, (-5, 0, 0), (10, 0, 0), (0, 0, 8))


@pytest.mark.parametrize("name", truth.SETS)
def test_true_geometry_stands_upright_on_its_ground(name):
    known = truth.load(name)
    frames = range(0, len(known), max(1, len(known) // 6))
    for seed in range(2):
        predictor = TruthPredictor(known, seed)
        found = upright.find(*seen(predictor.predict([np.zeros((1, 1, 3))] * len(frames), frames, None)))
        assert tilt(found, BLENDER_FROM_OPENCV @ predictor.rotation[:, 2]) < 0.1  # measured: 0.03
        assert found.has_ground
        ground = found.matrix @ np.append(BLENDER_FROM_OPENCV @ predictor.translation, 1.0)
        assert abs(ground[2]) < 0.01 * predictor.scale  # metres: the floors' tiles are at 0; measured: 0.002


@pytest.mark.parametrize("seed", range(3))
def test_the_courtyard_with_a_models_errors_in_a_random_rotation_is_right_to_a_degree(seed):
    known = truth.load("courtyard")
    predictor = DisturbedPredictor(known, seed)
    frames = range(0, len(known), 2)
    prediction = predictor.predict(known.images[::2], frames, None)
    points, cameras = seen(prediction)
    # The predictor's own random frame, from where it put the cameras' mean orientation.
    rotations = np.swapaxes(prediction.extrinsics[:, :, :3], 1, 2) @ known.extrinsics[::2, :, :3]
    u, _, vt = np.linalg.svd(rotations.sum(axis=0))
    found = upright.find(points, cameras)
    assert tilt(found, BLENDER_FROM_OPENCV @ (u @ vt)[:, 2]) < 1.0
    assert found.has_ground


@pytest.mark.parametrize(
    ("what", "points", "cameras"),
    [
        ("a room", ROOM, [looking((x, -2, 1.5), (0.3 * x, 2, 1.2), 0.05 * x) for x in (-1.5, -0.5, 0.5, 1.5)]),
        ("one camera that looks down", ROOM, [looking((0, -2, 1.8), (0, 0, 0.3), 0.05)]),
        ("one camera held askew", ROOM, [looking((0, -2, 1.2), (0, 2, 1.2), 0.35)]),
        ("one camera that looks up", ROOM, [looking((0, -2, 1.2), (0, 2, 3.0))]),
    ],
)
def test_the_floor_is_the_ground_and_neither_ceiling_nor_table_nor_wall(what, points, cameras):
    for seed in range(3):
        points_there, cameras_there, up, origin = turned(points, np.array(cameras), seed)
        found = upright.find(points_there, cameras_there)
        assert tilt(found, up) < 1.0, what
        assert abs((found.matrix @ np.append(origin, 1.0))[2]) < 0.01, what  # of a room 2.4 wide in this frame's unit


def test_a_facade_alone_stands_by_its_cameras_and_has_no_ground():
    cameras = np.array([looking((x, -6, 1.6), (0.8 * x, 0, 4.5), 0.01 * x) for x in (-3, -1, 1, 3)])
    points, cameras, up, _ = turned(FACADE, cameras, 1)
    found = upright.find(points, cameras)
    assert (
        tilt(found, up) < 2.0
    )  # nothing but the cameras says how far the wall leans to the side, and they lean 1 to 3 degrees
    assert not found.has_ground


def test_from_above_what_the_cameras_looked_at_is_the_ground():
    cameras = np.array([looking((x, y, 12.0), (x, y + 0.01, 0)) for x in (-2, 0, 2) for y in (-2, 2)])
    points, cameras, up, origin = turned(FLOOR, cameras, 2)
    found = upright.find(points, cameras, from_above=True)
    assert tilt(found, up) < 1.0
    assert abs((found.matrix @ np.append(origin, 1.0))[2]) < 0.01


def test_the_answer_is_rigid_and_the_same_every_time():
    points, cameras, *_ = turned(ROOM, np.array([looking((0, -2, 1.5), (0, 2, 1.2))]), 3)
    first, second = (upright.find(points, cameras).matrix for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[:3, :3] @ first[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(first[:3, :3]) > 0


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((50, 3)), np.full((50, 3), np.nan), np.ones((2, 3))])
def test_without_a_usable_point_the_cameras_decide(points):
    found = upright.find(points, np.array([looking((0, -2, 1), (0, 2, 1))]))
    assert np.isfinite(found.matrix).all()
    assert tilt(found, np.array([0.0, 0.0, 1.0])) < 1.0
    assert not found.has_ground


def test_with_neither_points_nor_cameras_there_is_no_answer():
    assert upright.find(np.zeros((0, 3)), np.zeros((0, 4, 4))) is None


def test_points_that_are_not_numbers_or_absurdly_far_off_change_nothing():
    cameras = np.array([looking((0, -2, 1.5), (0, 2, 1.2))])
    points = ROOM.copy()
    points[5], points[6] = np.nan, 1e12
    assert tilt(upright.find(points, cameras), np.array([0.0, 0.0, 1.0])) < 1.0


def test_what_already_stands_is_left_standing():
    cameras = np.array([looking((x, -2, 1.5), (x, 2, 1.2)) for x in (-1, 0, 1)])
    np.testing.assert_allclose(upright.find(ROOM, cameras).matrix, np.eye(4), atol=0.02)  # the sheets are 2 cm thick
    upside_down = np.diag([1.0, -1.0, -1.0, 1.0])
    found = upright.find(ROOM @ upside_down[:3, :3].T, upside_down @ cameras)
    assert tilt(found, np.array([0.0, 0.0, -1.0])) < 1.0
