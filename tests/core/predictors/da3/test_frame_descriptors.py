"""What DA3 says a frame looks like: the same in every pass, and more alike the nearer two frames are."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")

import tiny_da3  # noqa: E402
import truth  # noqa: E402
from da3_blender.core.predictors.da3 import DA3Predictor  # noqa: E402
from da3_blender.core.settings import BatchMode, Settings  # noqa: E402
from da3_blender.streaming.registration.frame_descriptors import without_common  # noqa: E402

STREAMING = Settings(process_resolution=168, batch_size=10, batch_mode=BatchMode.DA3_STREAMING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def predictor(folder):
    torch.set_num_threads(1)
    tiny = tiny_da3.any_view(folder)
    return DA3Predictor(tiny.info, tiny.file, device="cpu")


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk")


def looks(predictor, walk, rows, settings=STREAMING):
    return predictor.predict([walk.images[i] for i in rows], rows, settings).descriptors


def test_a_frame_looks_the_same_in_every_pass(predictor, walk):
    first = looks(predictor, walk, [3, 4, 5, 6, 50])
    other = looks(predictor, walk, [80, 50, 4])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(other[1], first[4], atol=1e-4)
    np.testing.assert_allclose(other[2], first[1], atol=1e-4)
    assert np.abs(other[0] - first[0]).max() > 1e-3


def test_neighbours_are_more_alike_than_frames_far_apart(predictor, walk):
    # Random weights know nothing, but colours and textures come through them.
    own = without_common(looks(predictor, walk, list(range(0, 50, 2))))
    alike = own @ own.T
    apart = np.abs(np.subtract.outer(range(25), range(25)))
    assert np.median(alike[apart == 1]) > 0.5
    assert np.median(alike[apart >= 8]) < 0.1


def test_other_modes_and_models_without_such_blocks_say_nothing(predictor, walk, folder):
    assert looks(predictor, walk, [0, 1], Settings(process_resolution=112)) is None
    metric = tiny_da3.metric(folder)
    assert looks(DA3Predictor(metric.info, metric.file, device="cpu"), walk, [0]) is None


def test_a_nested_model_says_it_too(walk, folder):
    nested = tiny_da3.nested(folder)
    found = looks(DA3Predictor(nested.info, nested.file, device="cpu"), walk, [0, 1])
    assert found.shape == (2, 2 * 192)
