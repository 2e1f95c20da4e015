"""Camera centres fitted to noisy positions, against the truth of the walk and the error that is possible at all."""

import numpy as np
import pytest
import truth
from da3_blender.core.geometry import geodesy, position_fit

SEEDS = range(40)


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk").camera_to_world[:, :3, 3]


def of_a_model(centres, seed):
    """The centres in a random world of a model's, and the (scale, rotation) that bring them back."""
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    scale = random.uniform(0.1, 5.0)
    return (centres @ turn.T + random.normal(size=3)) / scale, scale, turn.T


def angle(a, b):
    return np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


def north_of(fit, turn):
    """Degrees between the horizontal direction that is taken for north and north."""
    x, y, _ = fit.similarity.rotation @ turn.T @ np.array([0.0, 1.0, 0.0])
    return abs(np.degrees(np.arctan2(x, y)))


@pytest.mark.parametrize("outliers", [0, 15])
def test_two_metres_of_noise_on_the_walk(walk, outliers):
    """2 m root mean square. The best that is possible (Cramer-Rao) is noise over spread; we come within 15 % of it."""
    scales, norths, ups = [], [], []
    for seed in SEEDS:
        random = np.random.default_rng(100 + seed)
        measured = walk + random.normal(0, 2.0 / np.sqrt(3.0), walk.shape)
        measured[random.choice(len(walk), outliers, replace=False)] += random.normal(0, 40, (outliers, 3))
        centres, scale, turn = of_a_model(walk, seed)
        fit = position_fit.fit(centres, measured, turn.T @ [0.0, 0.0, 1.0])
        scales.append(fit.similarity.scale / scale - 1)
        norths.append(north_of(fit, turn))
        ups.append(angle(fit.similarity.rotation[2], turn[2]))
    possible = 2.0 / np.sqrt(3.0) / np.sqrt(((walk - walk.mean(0)) ** 2).sum())
    rms = float(np.sqrt(np.mean(np.square(scales))))
    print(
        f"{outliers} outliers, {len(scales)} trials: scale {100 * np.median(np.abs(scales)):.2f} % (median), {100 * rms:.2f} % "
        f"(rms; possible {100 * possible:.2f} %), north {np.median(norths):.2f}, at most {max(norths):.2f} degrees, up {max(ups):.2f}"
    )
    assert np.median(np.abs(scales)) < 0.02 and max(norths) < 3.0
    assert rms < 1.15 * possible * np.sqrt(100 / (100 - outliers)) + 1e-3
    assert fit.scale_error == pytest.approx(possible, rel=0.3)  # what is said of it is true


def test_a_straight_way_has_its_vertical_from_the_images():
    line = np.column_stack([np.linspace(0, 60, 40), np.linspace(0, 20, 40), np.zeros(40)])
    measured = line + np.random.default_rng(1).normal(0, 1.0, line.shape)
    centres, scale, turn = of_a_model(line, 3)
    fit = position_fit.fit(centres, measured, turn.T @ [0.0, 0.0, 1.0])
    assert angle(fit.similarity.rotation[2], turn[2]) < 0.01
    assert fit.similarity.scale == pytest.approx(scale, rel=0.02) and north_of(fit, turn) < 3.0


def test_too_few_positions_and_those_of_one_place_say_nothing():
    assert position_fit.fit(np.eye(3)[:2], np.eye(3)[:2]) is None
    assert position_fit.fit(np.eye(3), np.ones((3, 3))) is None


def test_degrees_become_metres():
    """Reference: the meridian's degree at 48 degrees north is 111,198 m, the parallel's 74,628 m (WGS 84)."""
    origin = np.array([48.0, 11.0, 500.0])
    places = np.array([[48.001, 11.0, 500.0], [48.0, 11.001, 500.0], [48.0, 11.0, 501.0]])
    found = geodesy.east_north_up(places, origin)
    expected = np.diag([0.0, 0.0, 1.0])
    expected[0, 1], expected[1, 0] = 111.198, 74.628 * (1 + 500 / 6_390_000)
    assert np.abs(found - expected).max() < 0.02
