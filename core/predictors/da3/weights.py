"""From a safetensors file to the tensors of one network, one at a time, or to a sentence about what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ...errors import MissingModel
from ...models.catalogue import ModelInfo
from ...monitor import Monitor

PREFIX = "model."  # DA3's files hold the network as an attribute of its API class
FLOATS = {"F64", "F32", "F16", "BF16"}

# The four levels of the auxiliary head share one LayerNorm; safetensors stores a shared tensor once, under any of them.
_ALIAS = re.compile(r"(?P<head>.*head\.scratch\.output_conv2_aux\.)\d+(?P<end>\.2\.(?:weight|bias))$")
_GAUSSIANS = re.compile(r"(?:da3\.)?gs_(?:head|adapter)\.")
_SHOWN = 3  # offending keys that a message names
_AT_ONCE = 16  # tensors read from one mapping of the file, whose pages count as memory until it is closed


def read_weights(
    model: ModelInfo,
    file: Path,
    expected: Mapping[str, torch.Size],
    *,
    dtype_of: Callable[[str], torch.dtype],
    device: torch.device,
    monitor: Monitor,
    part: str = "",
) -> dict[str, torch.Tensor]:
    """The tensors of a network, checked against what it expects.

    Parameters
    ----------
    expected : shape of every tensor of the network, without the file's prefix
    dtype_of : which precision a tensor is kept in, by its name
    part : with which the names of all that is expected begin; what else is in the file is another part's

    Returns
    -------
    dict
        Everything of ``expected`` but aliases of a shared tensor that the file stores under another name. Gaussian
        heads are left in the file. No tensor shares memory with the file.

    Raises
    ------
    MissingModel
        Not a whole safetensors file, or not this network's; one sentence with the first keys that do not fit.
    Cancelled
    """
    again = f"Download {model.label} again"
    try:
        with safe_open(file, framework="pt") as stored:
            keys = [key for key in stored.keys() if key.startswith(PREFIX + part) or not part]  # noqa: SIM118, not a dict
            shapes = {key: _stored_shape(stored, key) for key in keys}
        problem = _compare(expected, shapes)
        if problem:
            raise MissingModel(f"{file.name} does not hold the weights of {model.label}: {problem}. {again}")
        wanted = [name for name in expected if PREFIX + name in shapes]
        weights = {}
        for first in range(0, len(wanted), _AT_ONCE):
            with safe_open(file, framework="pt") as stored:
                for i, name in enumerate(wanted[first : first + _AT_ONCE], first):
                    monitor.progress("load", i / len(wanted))
                    tensor = stored.get_tensor(PREFIX + name)
                    # A copy: the tensor lies in the mapped file, which may be replaced while the model is loaded.
                    weights[name] = tensor.to(device=device, dtype=dtype_of(name), copy=True)
                del tensor
        return weights
    except SafetensorError as error:
        raise MissingModel(f"{file.name} is not a whole safetensors file ({error}). {again}") from error
    except OSError as error:
        raise MissingModel(f"{file} cannot be read ({error.strerror or error}). {again}") from error


def stored_names(file: Path) -> list[str]:
    """The names of all tensors of a whole file, without the prefix."""
    with safe_open(file, framework="pt") as stored:
        return [key.removeprefix(PREFIX) for key in stored.keys()]  # noqa: SIM118, not a dict


def _stored_shape(stored: safe_open, key: str) -> tuple[int, ...] | None:
    """None for what is not a floating point tensor."""
    view = stored.get_slice(key)
    return tuple(view.get_shape()) if view.get_dtype() in FLOATS else None


def _compare(expected: Mapping[str, torch.Size], stored: Mapping[str, tuple[int, ...] | None]) -> str:
    """What does not fit, in words; empty where all does."""
    missing = [PREFIX + n for n in expected if PREFIX + n not in stored and not _stored_elsewhere(n, stored)]
    known = {PREFIX + name for name in expected}
    extra = [key for key in stored if key not in known and not _GAUSSIANS.match(key.removeprefix(PREFIX))]
    misfits = [
        f"{key} ({_shape_text(shape)} instead of {_shape_text(tuple(expected[key.removeprefix(PREFIX)]))})"
        for key, shape in stored.items()
        if key in known and shape != tuple(expected[key.removeprefix(PREFIX)])
    ]
    found = (("missing", missing), ("not expected", extra), ("of the wrong shape", misfits))
    return "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in found if keys)


def _stored_elsewhere(name: str, stored: Collection[str]) -> bool:
    match = _ALIAS.match(name)
    if not match:
        return False
    pattern = re.compile(re.escape(PREFIX + match["head"]) + r"\d+" + re.escape(match["end"]))
    return any(pattern.fullmatch(key) for key in stored)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "whole numbers" if shape is None else " x ".join(map(str, shape)) or "one number"
