"""Similarities: their group, and their fit to points."""

import numpy as np
import pytest
from da3_blender.core.geometry.similarity import skew
from da3_blender.core.settings import AlignmentLibrary, AlignmentMethod
from da3_blender.streaming.registration import sim3
from scipy.linalg import expm


@pytest.fixture
def random():
    return np.random.default_rng(0)


def generator(tangent):
    out = np.zeros((4, 4))
    out[:3, :3] = skew(tangent[3:6]) + tangent[6] * np.eye(3)
    out[:3, 3] = tangent[:3]
    return out


def test_the_exponential_is_that_of_the_generator(random):
    tangents = random.normal(size=(40, 7)) * 0.7
    tangents[0] = 0
    for tangent, found in zip(tangents, sim3.exp(tangents), strict=True):
        np.testing.assert_allclose(found, expm(generator(tangent)), atol=1e-12)


def test_the_logarithm_undoes_the_exponential(random):
    tangents = random.normal(size=(40, 7)) * 0.7
    np.testing.assert_allclose(sim3.log(sim3.exp(tangents)), tangents, atol=1e-12)


def test_the_adjoint_carries_a_tangent_through(random):
    matrices, small = sim3.exp(random.normal(size=(20, 7))), 1e-2 * random.normal(size=(20, 7))
    carried = (sim3.adjoint(matrices) @ small[..., None])[..., 0]
    np.testing.assert_allclose(matrices @ sim3.exp(small) @ sim3.inverse(matrices), sim3.exp(carried), atol=1e-12)


def test_the_inverse_jacobian_is_that_of_the_logarithm(random):
    tangents, small = random.normal(size=(20, 7)) * 0.3, 1e-6 * random.normal(size=(20, 7))
    moved = sim3.log(sim3.exp(small) @ sim3.exp(tangents)) - tangents
    expected = (sim3.inverse_left_jacobian(tangents) @ small[..., None])[..., 0]
    np.testing.assert_allclose(moved, expected, atol=1e-11)  # second order of 1e-6


def cloud(random, noise=0.0, outliers=0.0, count=2000, unit=1.0):
    true = sim3.exp(np.array([[1.0, -2.0, 0.5, 0.4, 1.1, -0.3, 0.5]]))[0]
    source = random.normal(size=(count, 3)) * unit
    target = source @ true[:3, :3].T + true[:3, 3] * unit + noise * unit * random.normal(size=source.shape)
    wrong = random.random(count) < outliers
    target[wrong] += unit * np.array([5.0, 0, 0])
    true = true.copy()
    true[:3, 3] *= unit
    return source, target, random.uniform(0.5, 2, count), true


@pytest.mark.parametrize("library", list(AlignmentLibrary))
def test_exact_points_give_the_exact_similarity(random, library):
    source, target, weights, true = cloud(random)
    found = sim3.fit_points(source, target, weights, library=library)
    np.testing.assert_allclose(found.matrix, true, atol=1e-9)
    assert found.residual < 1e-9


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_outliers_bend_it_little_in_a_scene_of_any_unit(random, unit):
    source, target, weights, true = cloud(random, noise=0.01, outliers=0.2, unit=unit)
    found = sim3.fit_points(source, target, weights, iterations=30).matrix
    # A fifth of the points is 5 units off, which plain least squares would follow by a whole unit.
    np.testing.assert_allclose(found[:3, 3] / unit, true[:3, 3] / unit, atol=0.02)


@pytest.mark.parametrize("method", list(AlignmentMethod))
def test_both_libraries_say_the_same(random, method):
    source, target, weights, _ = cloud(random, noise=0.02, outliers=0.1)
    one, two = (sim3.fit_points(source, target, weights, method, library) for library in AlignmentLibrary)
    np.testing.assert_allclose(one.matrix, two.matrix, atol=1e-6)
    assert one.residual == pytest.approx(two.residual, abs=1e-6)


def test_se3_leaves_the_scale(random):
    source, target, weights, _ = cloud(random)
    found = sim3.fit_points(source, target, weights, AlignmentMethod.SE3).matrix
    assert sim3.scale_of(found) == pytest.approx(1.0)
