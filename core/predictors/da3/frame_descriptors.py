"""What each image of a pass looks like, read off the backbone's early blocks: no pass of its own, no other model.

Before images exchange anything (``alt_start``), a block's features are of one image alone, so a frame looks the same in
whatever pass it is. Mean and standard deviation of each channel over the patches, the statistics that texture synthesis
calls style (Gatys et al. 2016), do not care where in the image a thing is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...settings import PATCH
from .network import backbones


class DescriptorReader:
    """Reads one pass.

    Parameters
    ----------
    valid : (N, H, W) bool, where the canvas holds an image
    """

    def __init__(self, valid: np.ndarray):
        count, height, width = valid.shape
        patches = valid.reshape(count, height // PATCH, PATCH, width // PATCH, PATCH)
        self._weights = torch.from_numpy(patches.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1))
        self._found: torch.Tensor | None = None

    @property
    def found(self) -> np.ndarray | None:
        """(N, D) float32, of length 1; None where the network has no such blocks (metric, mono)."""
        return None if self._found is None else self._found.cpu().numpy()

    @contextlib.contextmanager
    def reading(self, net: nn.Module) -> Iterator[None]:
        """Inside, a pass of ``net`` is read."""
        block = _last_alone(net)
        if block is None:
            yield
            return
        hook = block.register_forward_hook(self._read)
        try:
            yield
        finally:
            hook.remove()

    def _read(self, _block: nn.Module, _args: Any, output: torch.Tensor) -> None:
        rows = []
        for tokens, weights in zip(output, self._weights.to(output.device), strict=True):
            features = tokens[-len(weights) :].float()  # without the class token and registers in front
            features = functional.layer_norm(features, features.shape[-1:])  # few channels are far larger than the rest
            share = (weights / weights.sum().clamp(min=1e-6))[:, None]
            mean = (share * features).sum(dim=0)
            deviation = (share * (features - mean) ** 2).sum(dim=0).sqrt()
            rows.append(torch.cat([functional.normalize(v, dim=0) for v in (mean, deviation)]) / 2**0.5)
        self._found = torch.stack(rows)


def _last_alone(net: nn.Module) -> nn.Module | None:
    """The last block that sees each image by itself and in the order given.

    The package chooses a reference view before block ``alt_start - 1`` and puts it first.
    """
    for _, backbone in backbones(net):
        start = backbone.pretrained.alt_start
        if start >= 2:
            block: nn.Module = backbone.pretrained.blocks[start - 2]
            return block
    return None
