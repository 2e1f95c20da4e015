"""Attention where no fused kernel serves: torch would then hold the score of every query with every key at once."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SCORES = 128 << 20  # bytes of float32 scores of one piece: enough to keep any card busy
FEWEST = 16  # queries of a piece


class InPieces(TorchFunctionMode):
    """Inside, attention is computed for some queries after another wherever all of them at once would make the matrix of all
    scores: on Apple's cards always, on others where neither flash nor memory-efficient attention takes the call. A query's
    result does not depend on the other queries, so nothing else changes.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            query, key, value = args
            if (kwargs or {}).get("attn_mask") is None and makes_all_scores(query, key, value):
                return in_pieces(query, key, value)
        return func(*args, **(kwargs or {}))


def makes_all_scores(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether torch has no fused kernel for this call where it is computed."""
    if query.device.type == "mps":
        return True
    if query.device.type != "cuda":
        return False  # the processor's own kernel works in pieces
    call = torch.backends.cuda.SDPAParams(*_as_computed(query, key, value), None, 0.0, False, False)
    fused = torch.backends.cuda.can_use_flash_attention(call) or torch.backends.cuda.can_use_efficient_attention(call)
    return not fused


def in_pieces(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """``scaled_dot_product_attention`` of (B, heads, T, D) tensors, without a mask, in little memory."""
    query, key, value = _as_computed(query, key, value)
    batch, heads, count, _ = query.shape
    rows = max(FEWEST, SCORES // (4 * batch * heads * key.shape[2]))
    if rows >= count:
        return functional.scaled_dot_product_attention(query, key, value)
    result = torch.empty_like(query)
    for piece, into in zip(query.split(rows, dim=2), result.split(rows, dim=2), strict=True):
        into.copy_(functional.scaled_dot_product_attention(piece.contiguous(), key, value))
    return result


def _as_computed(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """In the type that autocast gives this call; once, instead of with each piece."""
    kind = tensors[0].device.type
    if torch.is_autocast_enabled(kind):
        return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)
    return tensors
