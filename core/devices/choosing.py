"""The device that computes: asked for, and believed only once it has run a kernel. Imports torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import BadInput
from .cards import Capability

CPU = torch.device("cpu")
#: The first with tensor cores for bfloat16 (Ampere) and for float16 (Volta). Before Volta, GeForce cards compute float16 at
#: 1/64 of float32's speed; before Ampere bfloat16 is emulated, though ``torch.cuda.is_bf16_supported()`` says yes.
BFLOAT16_FROM, FLOAT16_FROM = (8, 0), (7, 0)


@dataclass(frozen=True)
class Choice:
    """A device, and one sentence where it is not the one that a person would expect."""

    device: torch.device
    warning: str = ""


def choose(name: str | None = None, kinds: Sequence[str] = ("cuda", "mps")) -> Choice:
    """The best device there is, or the named one ("cuda", "cuda:1", "mps", "cpu").

    A graphics card is there as soon as its driver is, whether or not this build of torch has kernels for it: so one is run.
    Where that fails the processor is chosen, with a warning.

    Parameters
    ----------
    kinds : those that count where none is named, the best first

    Raises
    ------
    BadInput
        The named one is not there.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        return next((_tried(torch.device(kind)) for kind in kinds if present[kind]), Choice(CPU))
    try:
        device = torch.device(name)
        there = present.get(device.type, False) and (device.index or 0) < max(1, torch.cuda.device_count())
    except RuntimeError:  # torch's way to say that it does not know the word
        there = False
    if not there:
        raise BadInput(f"There is no device '{name}' here. Devices: {', '.join(k for k, v in present.items() if v)}")
    return _tried(device)


def capability_of(device: torch.device) -> Capability | None:
    """Of an NVIDIA card; None for all else, AMD's too, whose numbers mean something else."""
    if device.type != "cuda" or torch.version.hip:
        return None
    return torch.cuda.get_device_capability(device)


def short_type(device: torch.device) -> torch.dtype | None:
    """The 16 bit type in which a network runs there beside its float32 weights; None where float32 serves best."""
    if device.type == "cuda" and torch.version.hip:
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capability = capability_of(device) or (0, 0)
    if capability >= BFLOAT16_FROM:
        return torch.bfloat16
    return torch.float16 if capability >= FLOAT16_FROM else None


def _tried(device: torch.device) -> Choice:
    if device.type == "cpu":
        return Choice(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a card without kernels, in four lines
            ones = torch.ones((8, 8), device=device)
            found = float((ones @ ones).sum())  # a kernel of torch's own and one of the library of matrix products
        if found == 512.0:
            return Choice(device)
        why = f"8 x 8 x 8 came out as {found:g}"
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return Choice(CPU, f"{_named(device)} cannot be used, so the processor computes: {why}{_advice(device)}")


def _named(device: torch.device) -> str:
    if device.type != "cuda":
        return "This machine's graphics processor"
    try:
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor})"
    except (RuntimeError, AssertionError):
        return "The graphics card"


def _advice(device: torch.device) -> str:
    if device.type != "cuda" or torch.version.hip:
        return ""
    return (
        ". Choose the Compute Device 'NVIDIA (CUDA)' in the preferences and install the dependencies again, which takes the "
        "build for this card, or update the card's driver"
    )
