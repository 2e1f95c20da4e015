"""DA3 networks of a few million random weights, in files like the real ones, and the package's own way to run them."""

from __future__ import annotations

import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from da3_blender.core.models.catalogue import ModelInfo
from da3_blender.core.prediction.prediction import Cameras
from da3_blender.core.predictors.da3.network import build, gaussian_head
from safetensors.torch import load_file, save_file
from torch import nn

ANY_VIEW = """
__object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}
net:
  __object__: {path: tiny_da3, name: TinyDino, args: as_params}
  alternating: true
  out_layers: [1, 3, 5, 7]
head:
  __object__: {path: depth_anything_3.model.dualdpt, name: DualDPT, args: as_params}
  dim_in: 384
  output_dim: 2
  features: 32
  out_channels: [24, 48, 96, 192]
cam_enc:
  __object__: {path: depth_anything_3.model.cam_enc, name: CameraEnc, args: as_params}
  dim_out: 192
  num_heads: 6
  trunk_depth: 1
cam_dec:
  __object__: {path: depth_anything_3.model.cam_dec, name: CameraDec, args: as_params}
  dim_in: 384
"""

GAUSSIANS = """
gs_head:
  __object__: {path: depth_anything_3.model.gsdpt, name: GSDPT, args: as_params}
  dim_in: 384
  output_dim: 14
  features: 32
  out_channels: [24, 48, 96, 192]
gs_adapter:
  __object__: {path: depth_anything_3.model.gs_adapter, name: GaussianAdapter, args: as_params}
  sh_degree: 0
  pred_color: false
  pred_offset_depth: true
  pred_offset_xy: true
  gaussian_scale_min: 1e-5
  gaussian_scale_max: 30.0
"""

ONE_VIEW = """
__object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}
net:
  __object__: {path: tiny_da3, name: TinyDino, args: as_params}
  alternating: false
  out_layers: [1, 3, 5, 7]
head:
  __object__: {path: depth_anything_3.model.dpt, name: DPT, args: as_params}
  dim_in: 192
  output_dim: 1
  features: 32
  out_channels: [24, 48, 96, 192]
"""

NESTED = """
__object__: {{path: depth_anything_3.model.da3, name: NestedDepthAnything3Net, args: as_params}}
anyview: {{__inherit__: {any_view}}}
metric: {{__inherit__: {one_view}}}
"""

# One LayerNorm under four names; files have the first.
ALIAS = re.compile(r"output_conv2_aux\.[123]\.2\.")


class TinyDino(nn.Module):
    """The package's vision transformer, 8 blocks of 192 channels, in the place of its ``DinoV2``."""

    def __init__(self, alternating: bool, out_layers: list[int]):
        super().__init__()
        from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer

        start = 2 if alternating else -1
        self.out_layers = out_layers
        self.pretrained = DinoVisionTransformer(
            img_size=518, patch_size=14, embed_dim=192, depth=8, num_heads=3, mlp_ratio=4, ffn_layer="mlp",
            alt_start=start, qknorm_start=start, rope_start=start, cat_token=alternating,
        )  # fmt: skip

    def forward(self, x: torch.Tensor, **kwargs: Any) -> Any:
        return self.pretrained.get_intermediate_layers(x, self.out_layers, **kwargs)


@dataclass
class Tiny:
    """A tiny model: its row for the table, its file, and the package's API around the same weights."""

    info: ModelInfo
    file: Path

    def reference(self) -> Any:
        return reference(self.info, self.file)


def any_view(folder: Path) -> Tiny:
    """Like da3-small: depth, confidence, cameras."""
    info = ModelInfo("tiny", "Tiny", "none", config=_yaml(folder, "tiny", ANY_VIEW))
    return _write(info, folder)


def giant(folder: Path) -> Tiny:
    """Like da3-giant: with a Gaussian head, whose harmonics are the constant ones only, so that nothing wants e3nn."""
    info = ModelInfo("tiny-giant", "Tiny Giant", "none", config=_yaml(folder, "tiny-giant", ANY_VIEW + GAUSSIANS))
    return _with_gaussians(_write(info, folder))


def nested_giant(folder: Path) -> Tiny:
    """``nested`` with the Gaussian head that its large part has."""
    parts = {
        "any_view": _yaml(folder, "tiny-giant-part", ANY_VIEW + GAUSSIANS),
        "one_view": _yaml(folder, "tiny-one-part", ONE_VIEW),
    }
    config = _yaml(folder, "tiny-nested-giant", NESTED.format(**parts))
    info = ModelInfo("tiny-nested-giant", "Tiny Nested Giant", "none", config=config, is_metric=True)
    return _with_gaussians(_write(info, folder))


def _with_gaussians(tiny: Tiny) -> Tiny:
    head = gaussian_head(tiny.info, build(tiny.info))
    assert head is not None
    generator = torch.Generator().manual_seed(2)
    own = {f"model.{name}": _value(name, tuple(shape), generator, 0.0) for name, shape in head.shapes().items()}
    save_file(load_file(tiny.file) | own, tiny.file)
    return tiny


def metric(folder: Path) -> Tiny:
    """Like da3metric-large: depth and sky, sky in about a third of the pixels."""
    config = _yaml(folder, "tiny-metric", ONE_VIEW)
    info = ModelInfo("tiny-metric", "Tiny Metric", "none", config=config, gives_cameras=False)
    return _write(info, folder)


def nested(folder: Path, sky: float = 0.0) -> Tiny:
    """Like da3nested-giant-large; ``sky`` is added to what the sky head says (large: all is sky)."""
    parts = {
        "any_view": _yaml(folder, "tiny-any-part", ANY_VIEW),
        "one_view": _yaml(folder, "tiny-one-part", ONE_VIEW),
    }
    config = _yaml(folder, "tiny-nested", NESTED.format(**parts))
    info = ModelInfo("tiny-nested", "Tiny Nested", "none", config=config, is_metric=True)
    return _write(info, folder, sky)


def random_weights(info: ModelInfo, sky: float = 0.0, seed: int = 1, device: str = "cpu") -> dict[str, torch.Tensor]:
    """A state dict as a file holds it: with the prefix, the shared LayerNorm once.

    Values are such that nothing degenerates: fields of view near 60 degrees, depths within a factor of ten, cameras
    apart from each other, a sky that covers a part.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, empty in build(info).state_dict().items():
        if not ALIAS.search(name):
            weights["model." + name] = _value(name, tuple(empty.shape), generator, sky).to(device)
    return weights


def _value(name: str, shape: tuple[int, ...], generator: torch.Generator, sky: float) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator)
    if name.endswith("fc_fov.0.bias"):
        return torch.ones_like(noise)
    if name.endswith("sky_output_conv2.2.bias"):
        return torch.full_like(noise, 0.1 + sky)
    if name.endswith("sky_output_conv2.2.weight"):
        return 1.5 * noise
    if "norm" in name or "aux.0.2." in name or name.endswith("gamma"):
        return (torch.zeros_like(noise) if name.endswith("bias") else torch.ones_like(noise)) + 0.05 * noise
    if name.endswith("bias") or "token" in name or "pos_embed" in name:
        return 0.1 * noise
    fan_in = max(1, noise[0].numel())
    return noise / fan_in**0.5


def cameras_around(count: int, width: int = 200, height: int = 150, seed: int = 3) -> Cameras:
    """Cameras on a winding path that turn a little, in an arbitrary frame; off-centre principal points."""
    rng = np.random.default_rng(seed)
    extrinsics = np.zeros((count, 3, 4))
    for i in range(count):
        extrinsics[i, :, :3] = cv2.Rodrigues(np.array([0.2, 0.1 * i, 0.05]))[0]
        extrinsics[i, :, 3] = [5.0 + i, np.sin(i), 3.0 + 0.3 * np.cos(2.0 * i)]
    intrinsics = np.zeros((count, 3, 3))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = 180.0 + rng.random(count), 181.0
    intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2 + 3, height / 2 - 2, 1.0
    return Cameras(extrinsics, intrinsics)


def reference(info: ModelInfo, file: Path) -> Any:
    """The package's ``DepthAnything3`` with these weights, in float32 (its own autocast left out)."""
    from depth_anything_3.cfg import create_object, load_config
    from depth_anything_3.registry import MODEL_REGISTRY

    model = packages_own(create_object(load_config(MODEL_REGISTRY.get(info.config, info.config))).eval(), float32=True)
    _, unexpected = model.load_state_dict(load_file(file), strict=False)
    assert not unexpected
    return model


def packages_own(net: nn.Module, *, float32: bool) -> Any:
    """The package's ``DepthAnything3`` around a network; ``float32``: without its own autocast."""
    # The exporters want libraries that nothing here needs.
    stub = types.ModuleType("depth_anything_3.utils.export")
    stub.export = None  # type: ignore[attr-defined]
    sys.modules.setdefault(stub.__name__, stub)
    from depth_anything_3 import api

    class Own(api.DepthAnything3):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.model = net
            self.input_processor = api.InputProcessor()
            self.output_processor = api.OutputProcessor()
            self.device = None

    class Float32(Own):
        @torch.inference_mode()
        def forward(self, *args: Any) -> Any:
            return self.model(*args)

    return Float32() if float32 else Own()


def _yaml(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def _write(info: ModelInfo, folder: Path, sky: float = 0.0) -> Tiny:
    file = folder / info.file_name
    save_file(random_weights(info, sky), file)
    return Tiny(info, file)
