"""The package's networks: built without memory, filled from a file, and in half precision where wanted."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ...models.catalogue import ModelInfo
from ...monitor import Monitor
from .gaussian_head import GaussianHead
from .weights import read_weights


def build(model: ModelInfo) -> nn.Module:
    """The model's network on the meta device: all shapes, no memory. Without its Gaussian head, see ``gaussian_head``.

    Source: the configurations of the package's registry; ``model.config`` may name a YAML file in the same form.
    """
    config = _configuration(model)
    for part in (config, config.get("anyview")):
        if part is not None:
            part.pop("gs_head", None)
            part.pop("gs_adapter", None)
    net = without_memory(config)
    return net.eval().requires_grad_(False)


def gaussian_head(model: ModelInfo, net: nn.Module) -> GaussianHead | None:
    """The Gaussian head of the model's network; None where it has none."""
    config = _configuration(model)
    nested = config.get("anyview")
    part = config if nested is None else nested
    if part.get("gs_head") is None or part.get("gs_adapter") is None:
        return None
    return GaussianHead(net if nested is None else net.da3, "" if nested is None else "da3.", part, without_memory)


def without_memory(config: Any) -> nn.Module:
    """What a configuration describes, on the meta device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from depth_anything_3.cfg import create_object

        with _NoMemory():
            made: nn.Module = create_object(config)
    return made


def _configuration(model: ModelInfo) -> Any:
    os.environ.setdefault("DA3_LOG_LEVEL", "ERROR")  # read once by the package, which else prints at every pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the package and its dependencies
        from depth_anything_3.cfg import load_config
        from depth_anything_3.registry import MODEL_REGISTRY

        assert model.config is not None
        return load_config(str(MODEL_REGISTRY.get(model.config, model.config)))


def load(model: ModelInfo, file: Path, device: torch.device, *, fp16: bool, monitor: Monitor) -> nn.Module:
    """The network with the file's weights on a device; at no time are they in memory twice.

    With ``fp16`` the backbones are float16, weights and activations; heads stay float32 (they compute exponentials and
    positions for which 16 bit are too few, and refuse them).

    Raises
    ------
    MissingModel
        The file is not whole, or not this model's.
    Cancelled
    """
    net = build(model)
    in_backbone = {name + "." for name, _ in backbones(net)}

    def dtype_of(name: str) -> torch.dtype:
        return torch.float16 if fp16 and name.startswith(tuple(in_backbone)) else torch.float32

    expected = {name: tensor.shape for name, tensor in net.state_dict().items()}
    weights = read_weights(model, file, expected, dtype_of=dtype_of, device=device, monitor=monitor)
    net.load_state_dict(weights, strict=False, assign=True)  # read_weights has been strict already
    if fp16:
        for _, backbone in backbones(net):
            _convert_at_border(backbone)
    return net.requires_grad_(False)


def backbones(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The vision transformers of a network and their names: one, or two in a nested network."""
    for name, module in net.named_modules():
        if name.split(".")[-1] == "backbone" and hasattr(module, "pretrained"):
            yield name, module


def blocks(net: nn.Module) -> list[nn.Module]:
    """Every transformer block of every backbone, in the order in which they run."""
    return [block for _, backbone in backbones(net) for block in backbone.pretrained.blocks]


def bytes_held(net: nn.Module) -> int:
    """Memory of weights and buffers; a shared one counts once."""
    tensors = [*net.parameters(), *net.buffers()]
    return sum(t.untyped_storage().nbytes() for t in tensors if not t.is_meta)


class _NoMemory(TorchFunctionMode):
    """Makes what constructors create on the meta device.

    ``with torch.device("meta")`` would do, but the transformer's constructor also reads numbers from a small tensor
    (``linspace``), which must be real.
    """

    CREATORS = frozenset({torch.empty, torch.zeros, torch.ones, torch.randn})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in self.CREATORS and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _convert_at_border(backbone: nn.Module) -> None:
    """float32 outside a float16 backbone, and for the angles of its rotary embedding (in 16 bit they are off by 1 %)."""

    def into(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return _cast(args, torch.float16), _cast(kwargs, torch.float16)

    def out_of(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        return _cast(output, torch.float32)

    backbone.register_forward_pre_hook(into, with_kwargs=True)
    backbone.register_forward_hook(out_of)
    rope = getattr(backbone.pretrained, "rope", None)
    if rope is not None:
        rope.register_forward_pre_hook(lambda _module, args: _cast(args, torch.float32))
        rope.register_forward_hook(lambda _module, _args, output: output.to(torch.float16))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Floating point tensors inside nested tuples, lists and dicts converted, all else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(item, dtype) for item in value)
    return value


@contextlib.contextmanager
def repeatable(device: torch.device, seed: int) -> Iterator[None]:
    """The same random numbers every time inside, none used up outside.

    The package samples pixels for its quantiles and for ray-based poses.
    """
    forked = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked):
        torch.manual_seed(seed)
        yield
