"""The Gaussian head of Giant and Nested, read without gsplat and e3nn: against the package's own adapter, with random weights."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")
cv2 = pytest.importorskip("cv2")

import tiny_da3  # noqa: E402
from da3_blender.core.alignment.blending import join, select  # noqa: E402
from da3_blender.core.geometry.projection import (  # noqa: E402
    BLENDER_FROM_OPENCV,
    points_from_blender,
    project,
)
from da3_blender.core.geometry.similarity import Similarity  # noqa: E402
from da3_blender.core.output.blender_arrays import points  # noqa: E402
from da3_blender.core.prediction.compression import packed, unpacked  # noqa: E402
from da3_blender.core.predictors.da3 import DA3Predictor  # noqa: E402
from da3_blender.core.predictors.da3.predictor import SEED  # noqa: E402
from da3_blender.core.settings import Settings  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

DOTS = Settings(process_resolution=112)
SPLATS = replace(DOTS, splats=True)
MOVE = Similarity(3.7, Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix(), np.array([5.0, -2.0, 1.0]))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_da3.giant(tmp_path_factory.mktemp("giant"))


@pytest.fixture(scope="module")
def predictor(tiny):
    return DA3Predictor(tiny.info, tiny.file, device="cpu")


def pictures(count=3):
    """Smooth random images: of noise, the random network takes some for seen through an angle of 0."""
    coarse = np.random.default_rng(0).integers(0, 255, (count, 9, 12, 3), dtype=np.uint8)
    return [cv2.resize(image, (112, 84), interpolation=cv2.INTER_CUBIC) for image in coarse]


def without_moves(module, args, kwargs):
    """What the head says, without its own moves of the centres in the image and along the ray."""
    raw = kwargs["raw_gaussians"].clone()
    raw[..., :2], raw[..., -1] = 0.0, 0.0
    return args, {**kwargs, "raw_gaussians": raw}


@pytest.mark.parametrize("moved", [False, True])
def test_centres_lie_on_their_pixels_rays_at_the_depths_distance(predictor, moved):
    prediction = predictor.predict(pictures(), range(3), SPLATS)
    prediction = MOVE.apply(prediction) if moved else prediction
    cloud = points(prediction, range(3), 0.0, splats=True)
    for i in range(3):
        pixels, depth = project(
            points_from_blender(cloud.position[cloud.frame == i]), prediction.intrinsics[i], prediction.extrinsics[i]
        )
        known = prediction.depth[i] > 0
        v, u = np.nonzero(known)
        off = np.abs(pixels - np.stack([u, v], axis=-1) - 0.5).max() / prediction.depth.shape[2]
        assert off < 1e-4
        np.testing.assert_allclose(depth, prediction.depth[i][known], rtol=1e-4)


@pytest.mark.parametrize("moved", [False, True])
def test_form_and_colour_are_what_the_packages_adapter_makes_of_the_same_head(predictor, tiny, moved):
    ours = predictor.predict(pictures(), range(3), SPLATS)
    reference = tiny.reference()
    reference.model.gs_adapter.register_forward_pre_hook(without_moves, with_kwargs=True)
    torch.manual_seed(SEED)
    theirs = reference.inference(pictures(), infer_gs=True, process_res=112).gaussians
    move = MOVE if moved else Similarity(1.0, np.eye(3), np.zeros(3))
    cloud = points(move.apply(ours), range(3), 0.0, splats=True)
    np.testing.assert_allclose(cloud.scale, move.scale * theirs.scales[0].numpy(), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(cloud.radiance[:, 3], theirs.opacities[0].numpy().ravel(), atol=1e-3)
    np.testing.assert_allclose(cloud.radiance[:, :3], theirs.harmonics[0, :, :, 0].numpy(), atol=4e-3)
    own = Rotation.from_quat(cloud.rotation[:, [1, 2, 3, 0]]).as_matrix()
    wanted = Rotation.from_quat(theirs.rotations[0].numpy()[:, [1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(own, BLENDER_FROM_OPENCV @ move.rotation @ wanted, atol=5e-3)


def test_the_head_is_open_only_where_splats_are_wanted(predictor):
    before = predictor.memory_bytes
    with_head = predictor.predict(pictures(), range(3), SPLATS)
    assert predictor.memory_bytes == before
    without = predictor.predict(pictures(), range(3), DOTS)
    assert with_head.gaussians.shape == (3, 84, 112, 11) and without.gaussians is None
    np.testing.assert_array_equal(with_head.depth, without.depth)


def test_nested_takes_its_gaussians_along_to_metres(tmp_path):
    tiny = tiny_da3.nested_giant(tmp_path)
    prediction = DA3Predictor(tiny.info, tiny.file, device="cpu").predict(pictures(), range(3), SPLATS)
    cloud = points(prediction, range(3), 0.0, splats=True)
    pixel = prediction.depth / prediction.intrinsics[:, 0, 0][:, None, None]
    share = cloud.scale.max(axis=1) / pixel[prediction.depth > 0]
    assert 0.1 < np.median(share) < 7.0  # of a pixel's footprint: at most 6, by the head's own limits


def test_a_file_without_the_head_gives_discs(tiny, tmp_path):
    file = tmp_path / tiny.file.name
    save_file({name: value for name, value in load_file(tiny.file).items() if ".gs_head." not in name}, file)
    prediction = DA3Predictor(tiny.info, file, device="cpu").predict(pictures(), range(3), SPLATS)
    assert prediction.gaussians is None
    assert points(prediction, range(3), 0.0, splats=True).scale is not None


def test_gaussians_stay_with_their_frames(predictor):
    prediction = predictor.predict(pictures(), range(3), SPLATS)
    joined = join(select(prediction, [2]), select(prediction, [0, 1]))
    again = unpacked(packed(joined), joined.images)
    np.testing.assert_array_equal(again.gaussians, prediction.gaussians[[2, 0, 1]])
