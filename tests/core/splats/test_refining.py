"""Refine Splats: the picture that is fitted is the one that splats make, and new views gain by the fit."""

import numpy as np
import pytest
import truth

torch = pytest.importorskip("torch")

from da3_blender.core.errors import BadInput, Cancelled  # noqa: E402
from da3_blender.core.geometry.projection import pinhole  # noqa: E402
from da3_blender.core.monitor import Monitor  # noqa: E402
from da3_blender.core.output.blender_arrays import points  # noqa: E402
from da3_blender.core.output.payload import Part  # noqa: E402
from da3_blender.core.output.splats.discs import matrices, quaternions  # noqa: E402
from da3_blender.core.output.splats.thinning import Thinner  # noqa: E402
from da3_blender.core.prediction.batch import Batch  # noqa: E402
from da3_blender.core.prediction.prediction import Prediction  # noqa: E402
from da3_blender.core.splats import run as refine_run  # noqa: E402
from da3_blender.core.splats.rasterizing import PIXEL, Splats, rasterize  # noqa: E402
from da3_blender.core.splats.refining import STAGE  # noqa: E402
from one_thread import one_thread  # noqa: E402, F401  # a fixture
from scipy.spatial.transform import Rotation  # noqa: E402

EVERY = 5  # pixel of the courtyard: small enough for seconds
WIDTH, HEIGHT = 24, 18


@pytest.fixture(scope="module")
def courtyard():
    """Seven photographs of the courtyard in a fifth of their size, as a model that knows the truth would see them."""
    known = truth.load("courtyard")
    lens = known.intrinsics[::2].copy()
    lens[:, :2] /= EVERY
    height, width = (size // EVERY for size in known.depth.shape[1:])
    small = known.images[::2, : height * EVERY, : width * EVERY].reshape(-1, height, EVERY, width, EVERY, 3)
    depth = known.depth[::2, EVERY // 2 :: EVERY, EVERY // 2 :: EVERY][:, :height, :width]
    images = np.round(small.mean(axis=(2, 4))).astype(np.uint8)
    conf = np.where(depth > 0, 5.0, 0.0).astype(np.float32)
    return Prediction(depth.copy(), conf, known.extrinsics[::2], lens, images)


def parts_of(prediction):
    frames = range(len(prediction))
    return [Part("_Points", points(prediction, frames, 0.5, splats=True, thinner=Thinner()))]


def some_splats(count=60, seed=0):
    rng = np.random.default_rng(seed)
    position = rng.uniform((-1.5, -1.0, 3.0), (1.5, 1.0, 5.0), (count, 3))
    axes = Rotation.random(count, random_state=seed).as_matrix()
    values = (position, rng.uniform(0.02, 0.12, (count, 3)), axes, rng.uniform(0.3, 0.9, count))
    return Splats(*(torch.tensor(value, dtype=torch.float32) for value in values))


def test_the_picture_is_that_of_the_splats_one_after_another():
    splats, lens = some_splats(), pinhole(WIDTH, HEIGHT, 50.0)
    pose = np.eye(4)[:3]
    colors = np.random.default_rng(1).random((60, 3))
    wanted, left = np.zeros((HEIGHT, WIDTH, 3)), np.ones((HEIGHT, WIDTH))
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for i in np.argsort(splats.position[:, 2].numpy()):
        x, y, z = splats.position[i].numpy().astype(float)
        f = lens[0, 0]
        by_point = np.array([[f / z, 0.0, -f * x / z**2], [0.0, lens[1, 1] / z, -lens[1, 1] * y / z**2]])
        root = by_point @ splats.axes[i].numpy() * splats.scale[i].numpy()
        own = root @ root.T
        spread = own + PIXEL * np.eye(2)
        off = np.stack([u - (f * x / z + lens[0, 2]), v - (lens[1, 1] * y / z + lens[1, 2])], axis=-1)
        distance = np.einsum("hwi,ij,hwj->hw", off, np.linalg.inv(spread), off)
        share = np.sqrt(np.linalg.det(own) / np.linalg.det(spread))
        alpha = float(splats.opacity[i]) * share * np.exp(-0.5 * distance)
        wanted += (left * alpha)[..., None] * colors[i]
        left *= 1.0 - alpha
    seen = rasterize(splats, *(torch.tensor(a, dtype=torch.float32) for a in (lens, pose)), HEIGHT, WIDTH)
    mixed, covered = seen.render(torch.tensor(colors, dtype=torch.float32), splats.opacity, torch.ones(60))
    picture = np.zeros((HEIGHT * WIDTH, 3))
    picture[seen.pixels.numpy()] = mixed.numpy()
    # what lies beyond 2.8 standard deviations is 2 % of a splat, and left out
    assert np.abs(picture.reshape(HEIGHT, WIDTH, 3) - wanted).max() < 0.06
    assert np.abs(picture.reshape(HEIGHT, WIDTH, 3) - wanted).mean() < 0.005
    assert np.abs(1.0 - covered.numpy() - left.ravel()[seen.pixels.numpy()]).max() < 0.06


def test_matrices_are_the_inverse_of_quaternions():
    turns = Rotation.random(50, random_state=3).as_matrix()
    np.testing.assert_allclose(matrices(quaternions(turns)), turns, atol=1e-5)


def test_views_that_took_no_part_gain(courtyard):
    frames = list(range(len(courtyard)))
    views = refine_run.views_of(Batch(frames, courtyard), frames)
    parts = parts_of(courtyard)
    done = refine_run.refined([parts], views, Monitor(), "cpu")
    assert done.found.after > done.found.before + 0.5
    old, new = parts[0].arrays, done.parts[0][0].arrays
    hidden = old.scale[:, 0] == 0
    np.testing.assert_array_equal(new.position, old.position)
    np.testing.assert_array_equal(new.rotation, old.rotation)
    np.testing.assert_array_equal(new.scale == 0, old.scale == 0)
    np.testing.assert_array_equal(new.radiance[hidden], old.radiance[hidden])
    assert np.abs(new.point_color - old.point_color)[~hidden].max() > 0.01
    assert all(np.isfinite(array).all() for array in new.given().values())


def test_what_cannot_be_bettered_stays_as_it_was(courtyard):
    """Photographs of noise have nothing in common: what one view learns, the view that judges does not confirm."""
    frames = list(range(len(courtyard)))
    noise = np.random.default_rng(0).integers(0, 255, courtyard.images.shape, dtype=np.uint8)
    views = refine_run.views_of(Batch(frames, courtyard), frames)
    views = [
        type(view)(noise[i], view.intrinsics, view.extrinsics, view.frame, view.valid) for i, view in enumerate(views)
    ]
    done = refine_run.refined([parts_of(courtyard)], views, Monitor(), "cpu")
    assert done.found.after >= done.found.before


def test_two_images_are_too_few(courtyard):
    frames = [0, 1]
    views = refine_run.views_of(Batch(frames, courtyard), frames)
    with pytest.raises(BadInput, match="3 images"):
        refine_run.refined([parts_of(courtyard)], views, Monitor(), "cpu")


def test_it_stops_when_it_should(courtyard):
    frames = list(range(len(courtyard)))
    views = refine_run.views_of(Batch(frames, courtyard), frames)
    told = []

    def progress(stage, fraction):
        assert stage == STAGE
        told.append(fraction)

    with pytest.raises(Cancelled):
        refine_run.refined([parts_of(courtyard)], views, Monitor(progress, lambda: len(told) > 12), "cpu")
    assert told == sorted(told) and len(told) <= 14
