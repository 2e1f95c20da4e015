"""The Gaussian head of DA3's Giant and Nested: opened only where splats are wanted, and read without gsplat and e3nn.

The package puts its Gaussians at the depth as if it were the distance along the ray, leaves them behind where Nested scales
the depth to metres, and needs e3nn to turn the harmonics beyond the constant one. Here each Gaussian stays with its pixel, in
the camera's axes and in pixels of its depth: whatever moves or scales the points takes the Gaussians along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...models.catalogue import ModelInfo
from ...monitor import Monitor
from .weights import read_weights, stored_names

HEAD = "gs_head."


class GaussianHead:
    """A head that is not open yet, of a network that may have one.

    Parameters
    ----------
    any_view : the part of the network that it reads from, and the name of that part in the file ("da3." or empty)
    config : the part's own configuration
    without_memory : ``network.without_memory``
    """

    def __init__(self, any_view: nn.Module, within: str, config: Any, without_memory: Callable[[Any], nn.Module]):
        self._net, self._within, self._config, self._without_memory = any_view, within, config, without_memory

    def shapes(self) -> dict[str, torch.Size]:
        """Of the head's tensors, by their names in the file without its prefix."""
        return self._named(self._without_memory(self._config["gs_head"]))

    @contextlib.contextmanager
    def open(self, model: ModelInfo, file: Path, device: torch.device, monitor: Monitor) -> Iterator[bool]:
        """Inside, passes of the network give ``gaussians`` as ``PixelGaussians`` does; whether they do: a file may have no head.

        The head's weights are in memory inside only.
        """
        if not any(name.startswith(self._prefix) for name in stored_names(file)):
            yield False
            return
        head = self._without_memory(self._config["gs_head"])
        read = read_weights(
            model, file, self._named(head), dtype_of=lambda _: torch.float32, device=device, monitor=monitor,
            part=self._prefix,
        )  # fmt: skip
        head.load_state_dict({name.removeprefix(self._prefix): tensor for name, tensor in read.items()}, assign=True)
        self._net.gs_head = head.eval().requires_grad_(False)
        self._net.gs_adapter = PixelGaussians(self._config["gs_adapter"])
        try:
            yield True
        finally:
            self._net.gs_head = self._net.gs_adapter = None

    @property
    def _prefix(self) -> str:
        return self._within + HEAD

    def _named(self, head: nn.Module) -> dict[str, torch.Size]:
        return {self._prefix + name: tensor.shape for name, tensor in head.state_dict().items()}


class PixelGaussians(nn.Module):
    """In the place of the package's adapter: what the head says of each pixel, by itself.

    Order of the head's channels, and what they mean: ``depth_anything_3.model.gs_adapter``. Its small moves of the centre in
    the image and along the ray are left out, so that a Gaussian is where its point is; of the harmonics the constant ones stay.
    """

    def __init__(self, config: Any):
        super().__init__()
        self._skip = 2 if config.get("pred_offset_xy", True) else 0
        self._least, self._most = (
            float(config.get("gaussian_scale_min", 1e-5)),
            float(config.get("gaussian_scale_max", 30.0)),
        )
        self._harmonics = 1 if config.get("pred_color", False) else (int(config.get("sh_degree", 0)) + 1) ** 2

    def forward(
        self, raw_gaussians: torch.Tensor, opacities: torch.Tensor, extrinsics: torch.Tensor, **_other: Any
    ) -> torch.Tensor:
        """(B, N, H, W, 11) float16, as ``Prediction.gaussians``; ``extrinsics`` (B, N, 4, 4), world to camera, of the one scene."""
        frames = [self._of_frame(*one) for one in zip(raw_gaussians[0], opacities[0], extrinsics[0], strict=True)]
        return torch.stack(frames)[None]

    def _of_frame(self, raw: torch.Tensor, opacity: torch.Tensor, extrinsics: torch.Tensor) -> torch.Tensor:
        from depth_anything_3.model.utils import transform  # its quaternions have the real part last

        own = raw[..., self._skip :]
        scales = self._least + (self._most - self._least) * own[..., :3].sigmoid()
        turns = own[..., 3:7] / (own[..., 3:7].norm(dim=-1, keepdim=True) + 1e-8)
        # The package's own turn to the world takes the numbers in another order than its quaternions have: the network was
        # trained with what comes of it, so that is done first, and undone properly.
        pixels = turns.view(1, -1, 4)
        to_world = extrinsics.mT.expand(1, pixels.shape[1], 4, 4)
        world = transform.quat_to_mat(transform.cam_quat_xyzw_to_world_quat_wxyz(pixels, to_world).roll(-1, dims=-1))
        rotation = transform.mat_to_quat(extrinsics[:3, :3] @ world).roll(1, dims=-1).view_as(turns)
        constant = own[..., 7 : 7 + 3 * self._harmonics : self._harmonics]
        # a tenth of the pixel's width and height together is the unit; here it is the mean of both
        return torch.cat([0.2 * scales, rotation, opacity[..., None], constant], dim=-1).clamp(-6e4, 6e4).half()
