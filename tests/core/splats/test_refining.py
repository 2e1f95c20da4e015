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
from da3_blender.core.splats.rasterizing import Splats, rasterize  # noqa: E402
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


def along_rays(splats, colors, lens, side):
    """What Cycles draws, by its definition: along each of ``side`` x ``side`` rays of a pixel, a splat holds back its opacity at
    the ray's point nearest to it in standard deviations; those points lie one behind another. (H, W, 3), and the light left."""
    v, u, below, right = np.mgrid[:HEIGHT, :WIDTH, :side, :side]
    v, u = v + (below + 0.5) / side, u + (right + 0.5) / side
    rays = np.stack([(u - lens[0, 2]) / lens[0, 0], (v - lens[1, 2]) / lens[1, 1], np.ones_like(u)], axis=-1)
    alphas, depths = [], []
    own = (splats.position.numpy(), splats.scale.numpy(), splats.axes.numpy(), splats.opacity.numpy())
    for position, scale, axes, opacity in zip(*own, strict=True):
        to_own = (axes / scale).T.astype(float)
        start, ray = -to_own @ position, rays @ to_own.T
        t = -(ray @ start) / np.square(ray).sum(axis=-1)
        alphas.append(opacity * np.exp(-0.5 * np.square(start + t[..., None] * ray).sum(axis=-1)))
        depths.append(t)
    order = np.argsort(depths, axis=0)
    alpha = np.take_along_axis(np.array(alphas), order, axis=0)
    left = np.cumprod(1.0 - alpha, axis=0)
    weight = alpha * np.concatenate([np.ones_like(left[:1]), left[:-1]])
    return (weight[..., None] * colors[order]).sum(axis=0).mean(axis=(2, 3)), left[-1].mean(axis=(2, 3))


@pytest.mark.parametrize("flat", [False, True])
def test_the_picture_is_that_of_the_splats_along_rays(flat):
    """Also of discs smaller than a pixel, of which a part of each hides a part of another."""
    splats, lens = some_splats(), pinhole(WIDTH, HEIGHT, 50.0)
    if flat:
        splats.scale[:, 2] *= 0.1
    colors = np.random.default_rng(1).random((60, 3))
    wanted, left = along_rays(splats, colors, lens, side=10)
    arrays = (torch.tensor(a, dtype=torch.float32) for a in (lens, np.eye(4)[:3]))
    seen = rasterize(splats, *arrays, HEIGHT, WIDTH)
    mixed, covered = seen.render(torch.tensor(colors, dtype=torch.float32), splats.opacity, torch.ones(60))
    picture, there = np.zeros((HEIGHT * WIDTH, 3)), np.zeros(HEIGHT * WIDTH)
    picture[seen.pixels.numpy()], there[seen.pixels.numpy()] = mixed.numpy(), covered.numpy()
    # what lies beyond 2.8 standard deviations is 2 % of a splat, and left out; the rest is that a pixel has four samples
    assert np.abs(picture.reshape(HEIGHT, WIDTH, 3) - wanted).max() < 0.05
    assert -10.0 * np.log10(np.square(picture.reshape(HEIGHT, WIDTH, 3) - wanted).mean()) > 42.0
    assert np.abs(1.0 - there.reshape(HEIGHT, WIDTH) - left).max() < 0.05


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
