"""Attention in pieces: the same numbers, in little memory, and only where torch would hold all scores."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3.registry")

import tiny_da3  # noqa: E402
from da3_blender.core.predictors.da3 import DA3Predictor, attention  # noqa: E402
from da3_blender.core.settings import Settings  # noqa: E402
from pretended_card import pretended_card  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

MIB = 1 << 20


def queries(batch=2, heads=3, count=301, width=64):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, heads, count, width, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("rows", [16, 100, 300, 301, 5000])
def test_pieces_give_what_the_whole_gives(monkeypatch, rows):
    query, key, value = queries()
    monkeypatch.setattr(attention, "SCORES", 4 * 2 * 3 * 301 * rows)
    whole = scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attention.in_pieces(query, key, value), whole, rtol=1e-5, atol=1e-6)


def test_a_card_without_kernels_for_it_never_holds_more_scores_than_allowed():
    tokens = 10 * 721  # ten images of 504 x 280; da3-large has 16 heads of 64
    with pretended_card((6, 1), meta=True, fused=False) as card:
        query, key, value = (torch.empty(1, 16, tokens, 64, device="cuda") for _ in range(3))
        card.clear()
        before = card.live
        scaled_dot_product_attention(query, key, value)
        whole = card.peak - before
        card.clear()
        before = card.live
        with attention.InPieces():
            scaled_dot_product_attention(query, key, value)
        pieces = card.peak - before
    assert whole > 6000 * MIB
    assert pieces < 2 * attention.SCORES + 2 * query.nbytes


@pytest.mark.parametrize(
    ("capability", "dtype", "expected"),
    [
        ((5, 2), torch.float32, False),
        ((7, 5), torch.float16, False),
        ((7, 5), torch.bfloat16, True),  # which short_type never asks for
        ((8, 6), torch.bfloat16, False),
    ],
)
def test_pieces_are_made_only_where_no_kernel_serves(capability, dtype, expected):
    with pretended_card(capability):
        query = torch.ones(1, 1, 4, 64, dtype=dtype, device="cuda")
        assert attention.makes_all_scores(query, query, query) is expected
    assert not attention.makes_all_scores(*queries())


def test_on_metal_pieces_are_always_made():
    query = SimpleNamespace(device=torch.device("mps"))
    assert attention.makes_all_scores(query, query, query)


def test_autocast_reaches_the_pieces():
    with pretended_card((8, 6), fused=False) as card:
        tensors = [tensor.to("cuda") for tensor in queries()]
        with attention.InPieces(), torch.autocast("cuda", dtype=torch.bfloat16):
            found = scaled_dot_product_attention(*tensors)
        assert found.dtype is torch.bfloat16 and card.attention == {torch.bfloat16}


def test_a_network_gives_the_same_depth_in_pieces(tmp_path, monkeypatch):
    tiny = tiny_da3.any_view(tmp_path)
    images = list(np.random.default_rng(0).integers(0, 255, (4, 84, 112, 3), dtype=np.uint8))
    settings = Settings(process_resolution=112)
    whole = DA3Predictor(tiny.info, tiny.file, device="cpu").predict(images, range(4), settings)
    monkeypatch.setattr(attention, "SCORES", 1)  # sixteen queries at a time
    with pretended_card((6, 1), fused=False) as card:
        pieces = DA3Predictor(tiny.info, tiny.file, device="cuda").predict(images, range(4), settings)
        launched = card.launches
    np.testing.assert_allclose(pieces.depth, whole.depth, rtol=1e-5)
    np.testing.assert_allclose(pieces.extrinsics, whole.extrinsics, atol=1e-5)
    assert launched > 2000  # 1600 with one call for each block
