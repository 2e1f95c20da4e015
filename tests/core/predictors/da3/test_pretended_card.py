"""Every path of the networks on a card that is none: where tensors are, what they are, and how often anybody waits."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")

import tiny_da3  # noqa: E402
from da3_blender.core.predictors.da3 import DA3Predictor  # noqa: E402
from da3_blender.core.settings import BatchMode, RefView, Settings  # noqa: E402
from pretended_card import pretended_card  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

SMALL = Settings(process_resolution=112)
IMAGES = list(np.random.default_rng(0).integers(0, 255, (4, 84, 112, 3), dtype=np.uint8))
WAITS = 4  # of ours, in a pass; the package has its own
OLD, TURING, AMPERE = (6, 1), (7, 5), (8, 6)

PATHS = {
    "plain": ("any_view", {}, {}),
    "one image": ("any_view", {}, {"count": 1}),
    "middle reference": ("any_view", {"ref_view_strategy": RefView.MIDDLE}, {}),
    "fp16": ("any_view", {}, {"fp16": True}),
    "ray pose": ("any_view", {"use_ray_pose": True}, {}),
    "known cameras": ("any_view", {}, {"cameras": tiny_da3.cameras_around(4, 112, 84)}),
    "descriptors": ("any_view", {"batch_mode": BatchMode.DA3_STREAMING}, {}),
    "metric": ("metric", {"process_resolution": 280}, {}),
    "metric fp16": ("metric", {}, {"fp16": True}),
    "nested": ("nested", {}, {}),
    "nested ray pose": ("nested", {"use_ray_pose": True}, {}),
    "nested descriptors fp16": ("nested", {"batch_mode": BatchMode.DA3_STREAMING}, {"fp16": True}),
}


@pytest.fixture(scope="module")
def tinies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {make.__name__: make(folder) for make in (tiny_da3.any_view, tiny_da3.metric, tiny_da3.nested)}


def run(tiny, changed, how, device, card=None):
    predictor = DA3Predictor(tiny.info, tiny.file, fp16=how.get("fp16", False), device=device)
    assert predictor.device.type == device and predictor.device_warning == ""
    if card is not None:
        card.clear()
    count = how.get("count", 4)
    settings = dataclasses.replace(SMALL, **changed)
    return predictor.predict(IMAGES[:count], range(count), settings, how.get("cameras"))


@pytest.mark.parametrize("path", PATHS)
def test_on_a_card_every_path_gives_the_processors_numbers(tinies, path):
    family, changed, how = PATHS[path]
    expected = run(tinies[family], changed, how, "cpu")
    with pretended_card(OLD) as card:  # which computes in float32, as the processor does
        found = run(tinies[family], changed, how, "cuda", card)
    for name in ("depth", "conf", "extrinsics", "intrinsics", "sky", "descriptors"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)
    assert card.mixed == []
    assert len(card.waits["ours"]) <= WAITS, card.waits["ours"]
    assert card.waits["other"] == []
    assert card.doubles == []
    assert card.launches > 100


@pytest.mark.parametrize(
    ("capability", "expected", "family"),
    [
        ((5, 2), torch.float32, "any_view"),
        (OLD, torch.float32, "nested"),
        (TURING, torch.float16, "metric"),
        (TURING, torch.float16, "any_view"),
        (AMPERE, torch.bfloat16, "nested"),
        ((9, 0), torch.bfloat16, "any_view"),
    ],
)
def test_attention_is_computed_in_what_the_card_has_hardware_for(tinies, family, capability, expected):
    with pretended_card(capability) as card:
        prediction = run(tinies[family], {}, {}, "cuda", card)
    assert card.attention == {expected}
    assert card.products == {expected, torch.float32}  # heads are always in float32
    assert prediction.depth.dtype == np.float32 and np.isfinite(prediction.depth).all()


def test_what_is_too_large_for_float16_is_computed_in_float32(tinies, tmp_path):
    weights = load_file(tinies["any_view"].file)
    name = "model.backbone.pretrained.blocks.3.mlp.fc2.bias"
    weights[name] = torch.full_like(weights[name], 1e5)  # float16 ends at 65504
    large = dataclasses.replace(tinies["any_view"], file=tmp_path / "large.safetensors")
    save_file(weights, large.file)
    expected = run(large, {}, {}, "cpu")
    with pretended_card(TURING) as card:
        found = run(large, {}, {}, "cuda", card)
    np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-3)  # beside 1e5 little of other values is left
    assert card.attention == {torch.float16, torch.float32}  # it was tried


def test_16_bit_errs_by_its_rounding_only(tinies):
    exact = run(tinies["any_view"], {}, {}, "cpu").depth
    for capability, step in ((TURING, 2**-11), (AMPERE, 2**-8)):
        with pretended_card(capability):
            short = run(tinies["any_view"], {}, {}, "cuda").depth
        assert np.median(np.abs(short / exact - 1)) < 2 * step  # of one rounding: eight blocks average


def test_what_the_pretended_card_refuses_a_real_one_refuses():
    with pretended_card() as card:
        there = torch.ones(3, device="cuda")
        with pytest.raises(TypeError, match="cpu"):
            there.numpy()
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        assert len(card.mixed) == 1
        assert there[[0, 2]].sum().item() == 2.0
        there[1:] = 5.0
        assert there.tolist() == [1.0, 5.0, 5.0]
        assert len(card.waits["other"]) == 2
        live = card.live
        del there
        assert card.live < live


def test_a_model_that_is_unloaded_leaves_nothing_on_the_card(tinies):
    with pretended_card() as card:
        predictor = DA3Predictor(tinies["any_view"].info, tinies["any_view"].file)
        assert card.live >= predictor.memory_bytes > 0
        predictor.predict(IMAGES[:2], range(2), SMALL)
        predictor.unload()
        assert card.live == 0
