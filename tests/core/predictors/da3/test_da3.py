"""DA3 behind the predictor: the same numbers as the package's own ``inference()``."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")
cv2 = pytest.importorskip("cv2")

import tiny_da3  # noqa: E402
from da3_blender.core.errors import BadInput, DA3Error  # noqa: E402
from da3_blender.core.frames.resizing import place  # noqa: E402
from da3_blender.core.prediction.prediction import Cameras  # noqa: E402
from da3_blender.core.predictors.da3 import DA3Predictor  # noqa: E402
from da3_blender.core.predictors.da3.predictor import SEED  # noqa: E402
from da3_blender.core.settings import RefView, ResizeMethod, Settings  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

SMALL = Settings(process_resolution=112)


@pytest.fixture(scope="module")
def tinies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {make.__name__: make(folder) for make in (tiny_da3.any_view, tiny_da3.metric, tiny_da3.nested)}


@pytest.fixture(scope="module")
def predictors(tinies):
    return {name: DA3Predictor(tiny.info, tiny.file, device="cpu") for name, tiny in tinies.items()}


@pytest.fixture(scope="module")
def references(tinies):
    return {name: tiny.reference() for name, tiny in tinies.items()}


def photos(count, width=200, height=150, seed=0):
    """Smooth random images, each different."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (count, 9, 12, 3), dtype=np.uint8)
    return [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse]


def package_says(reference, images, settings, **cameras):
    torch.manual_seed(SEED)
    return reference.inference(
        list(images),
        use_ray_pose=settings.use_ray_pose,
        ref_view_strategy=settings.ref_view_strategy.value,
        process_res=settings.resolution,
        process_res_method=settings.resize_method.value,
        **cameras,
    )


def assert_same(ours, theirs):
    np.testing.assert_array_equal(ours.depth, theirs.depth)
    if theirs.conf is not None:
        np.testing.assert_array_equal(ours.conf, theirs.conf)
    if theirs.sky is not None:
        np.testing.assert_array_equal(ours.sky, theirs.sky)
    if theirs.extrinsics is None:
        assert ours.extrinsics is None and ours.intrinsics is None
    else:
        np.testing.assert_array_equal(ours.extrinsics, theirs.extrinsics[:, :3])
        np.testing.assert_array_equal(ours.intrinsics, theirs.intrinsics)
    # The package normalises its images, undoes that and truncates, so a level may be lost there.
    assert np.abs(ours.images.astype(int) - theirs.processed_images).max() <= 1


@pytest.mark.parametrize("family", ["any_view", "metric", "nested"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_pass_equals_the_packages_inference(family, count, predictors, references):
    images = photos(count)
    ours = predictors[family].predict(images, range(count), SMALL)
    assert_same(ours, package_says(references[family], images, SMALL))
    assert ours.depth.shape == ours.conf.shape == (count, 84, 112)
    assert ours.depth.dtype == ours.conf.dtype == np.float32


def test_more_frames_than_the_heads_take_at_once_equal_the_packages_inference(predictors, references):
    images = photos(9)  # heads work on eight
    ours = predictors["any_view"].predict(images, range(9), SMALL)
    assert_same(ours, package_says(references["any_view"], images, SMALL))


@pytest.mark.parametrize(
    "changed",
    [
        {"resize_method": ResizeMethod.LOWER_BOUND},
        {"process_resolution": 150},  # rounded to 154
        {"use_ray_pose": True},
        *({"ref_view_strategy": strategy} for strategy in RefView),
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["any_view", "nested"])
def test_every_setting_reaches_the_network(family, changed, predictors, references):
    settings = dataclasses.replace(SMALL, **changed)
    images = photos(4, 150, 200)
    ours = predictors[family].predict(images, range(4), settings)
    assert_same(ours, package_says(references[family], images, settings))


def test_the_reference_view_matters(predictors):
    images = photos(4)
    first, middle = (
        predictors["any_view"].predict(images, range(4), dataclasses.replace(SMALL, ref_view_strategy=strategy)).depth
        for strategy in (RefView.FIRST, RefView.MIDDLE)
    )
    assert np.abs(first - middle).max() > 1e-3


@pytest.mark.parametrize(
    ("family", "changed"),
    [
        ("any_view", {"use_ray_pose": True}),
        ("metric", {"process_resolution": 280}),  # over 100,000 pixels: the package samples for its quantiles
        ("nested", {"process_resolution": 280}),
    ],
)
def test_random_samples_of_the_package_repeat_and_leave_the_generator_alone(family, changed, predictors):
    settings = dataclasses.replace(SMALL, **changed)
    images = photos(3)
    before = torch.random.get_rng_state()
    first = predictors[family].predict(images, range(3), settings)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(5)
    again = predictors[family].predict(images, range(3), settings)
    np.testing.assert_array_equal(first.depth, again.depth)
    if first.extrinsics is not None:
        np.testing.assert_array_equal(first.extrinsics, again.extrinsics)


def test_metric_and_mono_give_sky_and_even_confidence_but_no_cameras(predictors):
    prediction = predictors["metric"].predict(photos(2), range(2), SMALL)
    assert prediction.extrinsics is None and prediction.intrinsics is None
    assert (prediction.conf == 1.0).all()
    assert prediction.sky.dtype == bool and 0.02 < prediction.sky.mean() < 0.98
    assert not prediction.is_metric


def test_nested_is_metric_and_its_sky_is_where_the_depth_was_set(predictors):
    prediction = predictors["nested"].predict(photos(2), range(2), SMALL)
    assert prediction.is_metric is True
    assert 0.02 < prediction.sky.mean() < 0.98
    assert np.unique(prediction.depth[prediction.sky]).size == 1
    assert (prediction.conf[prediction.sky] == 1.0).all()


def test_only_the_nested_family_is_metric(predictors):
    assert predictors["any_view"].predict(photos(1), [0], SMALL).is_metric is False


def test_images_that_are_all_sky_are_refused_with_a_sentence(tmp_path):
    tiny = tiny_da3.nested(tmp_path, sky=100.0)
    with pytest.raises(BadInput, match="nothing but sky"):
        DA3Predictor(tiny.info, tiny.file, device="cpu").predict(photos(2), range(2), SMALL)


def test_images_without_anything_to_measure_are_refused_with_a_sentence(tinies, tmp_path):
    weights = load_file(tinies["nested"].file)
    weights["model.da3_metric.head.scratch.output_conv2.2.bias"].fill_(-20.0)  # all depths under a centimetre
    save_file(weights, tmp_path / "near.safetensors")
    predictor = DA3Predictor(tinies["nested"].info, tmp_path / "near.safetensors", device="cpu")
    with pytest.raises(DA3Error, match="nothing in these images that it could measure"):
        predictor.predict(photos(2), range(2), SMALL)


# Known cameras


@pytest.mark.parametrize("family", ["any_view", "nested"])
@pytest.mark.parametrize("count", [4, 11])  # from ten on the package aligns with RANSAC
def test_known_cameras_equal_the_packages_inference(family, count, predictors, references):
    images, cameras = photos(count), tiny_da3.cameras_around(count)
    ours = predictors[family].predict(images, range(count), SMALL, cameras)
    four = np.tile(np.eye(4), (count, 1, 1))
    four[:, :3] = cameras.extrinsics
    theirs = package_says(references[family], images, SMALL, extrinsics=four, intrinsics=cameras.intrinsics)
    # Intrinsics are scaled in two steps there and in one here, so the network's input differs in the last digit.
    np.testing.assert_allclose(ours.depth, theirs.depth, rtol=1e-4)
    np.testing.assert_allclose(ours.conf, theirs.conf, rtol=1e-4)
    np.testing.assert_allclose(ours.intrinsics, theirs.intrinsics, rtol=1e-6)
    np.testing.assert_allclose(ours.extrinsics, theirs.extrinsics, rtol=1e-6)


def test_known_cameras_come_back_as_they_were_given(predictors):
    cameras = tiny_da3.cameras_around(4)
    prediction = predictors["nested"].predict(photos(4), range(4), SMALL, cameras)
    np.testing.assert_array_equal(prediction.extrinsics, cameras.extrinsics)
    np.testing.assert_allclose(prediction.intrinsics[:, 0, 2], (100 + 3) * 112 / 200)
    assert not prediction.is_metric  # the unit is now that of the known cameras


def test_a_larger_unit_of_the_known_cameras_scales_the_depth(predictors):
    cameras = tiny_da3.cameras_around(4)
    doubled = Cameras(cameras.extrinsics * [1.0, 1.0, 1.0, 2.0], cameras.intrinsics)
    once, twice = (predictors["any_view"].predict(photos(4), range(4), SMALL, c).depth for c in (cameras, doubled))
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-3)  # float32 through a network


def test_known_cameras_far_from_their_origin_are_as_good_as_near_ones(predictors):
    near = tiny_da3.cameras_around(4)
    far = Cameras(near.extrinsics.copy(), near.intrinsics)
    far.extrinsics[:, :, 3] -= far.extrinsics[:, :, :3] @ [5e6, 4e5, 100.0]  # a float32 there has steps of 0.5
    here, there = (predictors["any_view"].predict(photos(4), range(4), SMALL, c).depth for c in (near, far))
    np.testing.assert_allclose(there, here, rtol=1e-4)


@pytest.mark.parametrize(
    ("count", "change", "sentence"),
    [
        (2, lambda t: t, "at least 3 frames"),
        (4, lambda t: np.zeros_like(t), "in one place"),
        (4, lambda t: np.linspace(0, 1, 4)[:, None] * [1.0, 2.0, 3.0], "straight line"),
        (4, lambda t: t * np.nan, "not numbers"),
    ],
)
def test_cameras_that_cannot_condition_a_pass_are_refused(count, change, sentence, predictors):
    cameras = tiny_da3.cameras_around(count)
    cameras.extrinsics[:, :, :3] = np.eye(3)
    cameras.extrinsics[:, :, 3] = change(cameras.extrinsics[:, :, 3])
    with pytest.raises(BadInput, match=sentence):
        predictors["any_view"].predict(photos(count), range(count), SMALL, cameras)


def test_a_wrong_number_of_cameras_and_a_model_without_them_are_refused(predictors):
    with pytest.raises(BadInput, match="4 frames came with 3 known cameras"):
        predictors["any_view"].predict(photos(4), range(4), SMALL, tiny_da3.cameras_around(3))
    with pytest.raises(BadInput, match="Tiny Metric cannot use known cameras"):
        predictors["metric"].predict(photos(4), range(4), SMALL, tiny_da3.cameras_around(4))


# Sizes


@pytest.mark.parametrize("method", list(ResizeMethod))
@pytest.mark.parametrize("size", [(640, 428), (428, 640), (333, 217), (100, 75), (504, 378), (1013, 1009), (700, 200)])
def test_images_are_resized_as_the_package_does(size, method):
    from depth_anything_3.utils.io.input_processor import InputProcessor

    image = photos(1, *size)[0]
    canvas, valid, placements = place([image], 252, method)
    K = np.array([[500.0, 0, 310], [0, 510, 200], [0, 0, 1]])
    theirs, _, pixels = InputProcessor()([image], None, K[None], 252, method.value, sequential=True)
    mean, deviation = (np.array(v, np.float32) for v in (InputProcessor.NORMALIZE.mean, InputProcessor.NORMALIZE.std))
    ours = (canvas.astype(np.float32) / 255 - mean) / deviation
    assert np.abs(ours - theirs.permute(0, 2, 3, 1).numpy()).max() < 1e-6  # same bytes; a level is 0.017
    np.testing.assert_allclose(placements[0].to_processed(K), pixels[0], rtol=1e-6)
    assert valid.all()


@pytest.mark.parametrize("family", ["any_view", "metric", "nested"])
def test_pixels_outside_a_smaller_image_are_unknown(family, predictors):
    images = [photos(1, 200, 150)[0], photos(1, 150, 200, seed=1)[0]]
    prediction = predictors[family].predict(images, range(2), SMALL)
    _, valid, _ = place(images, SMALL.resolution, SMALL.resize_method)
    assert prediction.depth.shape == (2, 112, 112) and not valid.all()
    assert (prediction.depth[valid] > 0).all() and (prediction.conf[valid] >= 1).all()
    assert (prediction.depth[~valid] == 0).all() and (prediction.conf[~valid] == 0).all()
    assert prediction.sky is None or not prediction.sky[~valid].any()


def test_no_images_and_too_narrow_images_are_refused(predictors):
    with pytest.raises(BadInput, match="no images"):
        predictors["any_view"].predict([], [], SMALL)
    with pytest.raises(BadInput, match="2000 x 20 pixels is too narrow"):
        predictors["any_view"].predict(photos(1, 2000, 20), [0], SMALL)


# Values that are not numbers


@pytest.fixture
def changed(tinies, tmp_path):
    """A predictor whose weights of some names were replaced by one value."""

    def make(value, *names, fp16=False):
        weights = load_file(tinies["any_view"].file)
        for name in names:
            weights["model." + name] = torch.full_like(weights["model." + name], value)
        file = tmp_path / "changed.safetensors"
        save_file(weights, file)
        return DA3Predictor(tinies["any_view"].info, file, device="cpu", fp16=fp16)

    return make


def test_a_field_of_view_of_zero_does_not_fail(changed):
    prediction = changed(-9.0, "cam_dec.fc_fov.0.bias").predict(photos(2), range(2), SMALL)
    assert np.isfinite(prediction.intrinsics).all()


def test_rotations_that_are_not_numbers_are_a_sentence_with_the_frames(changed):
    predictor = changed(0.0, "cam_dec.fc_qvec.weight", "cam_dec.fc_qvec.bias")
    with pytest.raises(DA3Error, match="not numbers for frames 5, 7"):
        predictor.predict(photos(2), [5, 7], SMALL)


def test_an_overflow_in_16_bit_is_a_sentence_that_says_so(changed):
    predictor = changed(1e5, "backbone.pretrained.blocks.3.mlp.fc2.bias", fp16=True)  # float16 ends at 65504
    with pytest.raises(DA3Error, match="turn FP16 weights off"):
        predictor.predict(photos(2), range(2), SMALL)


def test_rays_that_make_no_camera_are_a_sentence(changed):
    settings = dataclasses.replace(SMALL, use_ray_pose=True)
    with pytest.raises(DA3Error, match="turn ray-based pose off"):
        changed(np.nan, "head.scratch.output_conv2_aux.3.5.bias").predict(photos(2), range(2), settings)
