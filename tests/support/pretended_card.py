"""A graphics card that is none: tensors that say "cuda:0" and compute on the processor, or only count what they would hold.

Torch's own dispatcher runs (autocast, device checks, transfers), so what goes wrong on a card because of where a tensor is or
of which type it is goes wrong here, with the processor's numbers. It cannot show a kernel's speed or rounding.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch._dynamo  # now: imported late, inside a mode, it would be run through it
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
CARD = torch.device("cuda:0")
OURS = str(Path(__file__).resolve().parents[2])
#: Their result's size, or where they go on, depends on values: the processor has to wait for them.
WAITING = {
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.equal, aten.is_nonzero,
    aten.unique_consecutive, aten._linalg_svd, aten._linalg_check_errors,
}  # fmt: skip
VALUES = {getattr(torch.Tensor, name) for name in ("item", "tolist", "__float__", "__int__", "__bool__", "__index__")}
#: Functions whose Python binding is written by hand and sets the real card's guard; what the others call at once.
DIRECT = {torch.Tensor.copy_: aten.copy_, torch.Tensor.__invert__: aten.bitwise_not}
PRODUCTS = {aten.mm, aten.bmm, aten.addmm, aten.convolution}


@dataclass
class Card:
    """What was asked of it.

    ``waits``: where the processor had to wait for it, by whose code: "ours", "package" or "other"; ``mixed``: calls that got
    tensors of both; ``products``, ``attention``: types in which matrices were multiplied; ``doubles``: calls that gave float64,
    which Apple's cards refuse; ``live``, ``peak``: bytes
    """

    capability: tuple[int, int]
    waits: dict[str, list[str]] = field(default_factory=lambda: {"ours": [], "package": [], "other": []})
    uploads: int = 0
    launches: int = 0
    mixed: list[str] = field(default_factory=list)
    products: set[torch.dtype] = field(default_factory=set)
    attention: set[torch.dtype] = field(default_factory=set)
    doubles: list[str] = field(default_factory=list)
    live: int = 0
    peak: int = 0
    _known: set[int] = field(default_factory=set)

    def clear(self) -> None:
        """Count anew; what is held stays held."""
        for found in self.waits.values():
            found.clear()
        self.uploads = self.launches = 0
        self.products.clear()
        self.attention.clear()
        self.peak = self.live

    def wait(self, why: str) -> None:
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if frame.f_code.co_name == "__torch_function__":  # of a mode, which all calls go through
                frame = frame.f_back  # type: ignore[assignment]
                continue
            if "depth_anything_3" in name:
                self.waits["package"].append(why)
                return
            if name.startswith(OURS) and "/tests/" not in name:
                self.waits["ours"].append(f"{why} ({Path(name).name}:{frame.f_lineno})")
                return
            frame = frame.f_back  # type: ignore[assignment]
        self.waits["other"].append(why)

    def hold(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage for as long as it lives."""
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)

        def freed() -> None:
            self._known.discard(key)
            self.live -= size

        weakref.finalize(storage, freed)


class CardTensor(torch.Tensor):
    """Says that it is on the card; ``held`` has the numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> CardTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=CARD
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} ran on the pretended card outside of its block")

    __torch_function__ = torch._C._disabled_torch_function_impl


def _held(value: Any) -> Any:
    return value.held if isinstance(value, CardTensor) else value


def _on_card(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


class _Dispatch(TorchDispatchMode):
    def __init__(self, card: Card, meta: bool):
        super().__init__()
        self.card, self.meta = card, meta

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        packet, card = func.overloadpacket, self.card
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
        on = [t for t in tensors if isinstance(t, CardTensor)]
        wanted = kwargs.get("device")
        if not on and not _on_card(wanted):
            return func(*args, **kwargs)
        asynchronous = kwargs.get("non_blocking", False)
        if packet is aten._to_copy and on and wanted is not None and not _on_card(wanted):
            if not asynchronous:
                card.wait("to the processor")
            if self.meta:
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
            return func(*tree_map(_held, args), **kwargs)
        if packet is aten._to_copy and not on:
            card.uploads += 1
            kwargs["device"] = "meta" if self.meta else "cpu"
            return self._wrapped(func(*args, **kwargs), args, func)
        if packet is aten.copy_ and len(on) == 1:
            if on[0] is args[0]:
                card.uploads += 1
            else:
                card.wait("copied to the processor")
            func(*tree_map(_held, args), **kwargs)
            return args[0]
        off = [t for t in tensors if not isinstance(t, CardTensor) and t.dim() > 0]
        if on and off:
            if packet not in (aten.index, aten.index_put_, aten._index_put_impl_):  # which takes indices from anywhere
                card.mixed.append(str(func))
                raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu ({func})")
            card.uploads += len(off)
        if packet in WAITING or (packet is aten.index and any(t.dtype is torch.bool for t in on[1:])):
            card.wait(str(packet))
        if packet in PRODUCTS:
            card.products.update(t.dtype for t in on)
        if wanted is not None:
            kwargs["device"] = "meta" if self.meta else "cpu"
        card.launches += 1
        if packet is aten._local_scalar_dense:
            return func(*tree_map(_held, args), **kwargs)
        return self._wrapped(func(*tree_map(_held, args), **tree_map(_held, kwargs)), args, func)

    def _wrapped(self, result: Any, args: Any, func: Any) -> Any:
        """A tensor that was an argument stays the object that it was."""
        same = {id(t.held): t for t in tree_flatten(args)[0] if isinstance(t, CardTensor)}

        def wrap(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            if id(value) in same:
                return same[id(value)]
            self.card.hold(value)
            if value.dtype is torch.float64:
                self.card.doubles.append(str(func))
            return CardTensor(value)

        return tree_map(wrap, result)


def _viewed(tensor: torch.Tensor, index: Any) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """What Python's binding makes of an index, which sets the real card's guard: a view, and tensors for ``aten.index``."""
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = sum((p.dim() if isinstance(p, torch.Tensor) and p.dtype is torch.bool else 1) for p in parts if p is not None
                and p is not ...)  # fmt: skip
    where = next((k for k, p in enumerate(parts) if p is ...), None)
    if where is not None:
        parts[where : where + 1] = [slice(None)] * (tensor.dim() - taken)
    chosen: list[torch.Tensor | None] = []
    at = 0
    for part in parts:
        if part is None:
            tensor = aten.unsqueeze(tensor, at)
        elif isinstance(part, slice):
            if part != slice(None):
                start, stop, step = (None if v is None else int(v) for v in (part.start, part.stop, part.step))
                tensor = aten.slice(tensor, at, start, stop, 1 if step is None else step)
        elif isinstance(part, (int, np.integer)):
            tensor = aten.select(tensor, at, int(part))
            continue
        else:
            part = (
                part
                if isinstance(part, torch.Tensor)
                else aten._to_copy(torch.as_tensor(np.asarray(part)), device=CARD)
            )
            chosen += [None] * (at - len(chosen)) + [part]
            at += part.dim() if part.dtype is torch.bool else 1
            continue
        at += 1
    return tensor, chosen


class _Functions(TorchFunctionMode):
    """What never reaches the dispatcher, or asks the device itself before it does."""

    def __init__(self, card: Card):
        super().__init__()
        self.card = card

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        on = bool(args) and isinstance(args[0], CardTensor)
        if on and func in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if on and func in VALUES:  # torch would set the real card's guard first
            self.card.wait(func.__name__)
            if args[0].held.is_meta:
                return True if func is torch.Tensor.__bool__ else 64 if func is torch.Tensor.__int__ else 1.0
            return func(args[0].held, *args[1:], **kwargs)
        if func in (torch.Tensor.to, torch.Tensor.cuda, torch.Tensor.cpu):
            return self._moved(func, args, kwargs)
        if func in (torch.tensor, torch.as_tensor) and _on_card(kwargs.get("device")):
            device = kwargs.pop("device")
            return aten._to_copy(func(*args, **kwargs), device=device)
        if on and func is torch.nn.functional.scaled_dot_product_attention:
            return self._attention(func, args, kwargs)
        if on and func is torch.Tensor.new_tensor:
            return aten._to_copy(torch.tensor(*args[1:]), dtype=kwargs.get("dtype", args[0].dtype), device=CARD)
        if on and func in DIRECT:
            return DIRECT[func](*args, **kwargs)
        if on and func is torch.Tensor.contiguous:
            return args[0] if args[0].is_contiguous() else aten.clone(args[0], memory_format=torch.contiguous_format)
        if on and func is torch.Tensor.__getitem__:
            view, chosen = _viewed(args[0], args[1])
            return aten.index(view, chosen) if chosen else aten.alias(view)
        if on and func is torch.Tensor.__setitem__:
            view, chosen = _viewed(args[0], args[1])
            value = args[2]
            if chosen:
                value = value if isinstance(value, torch.Tensor) else aten._to_copy(torch.tensor(value), device=CARD)
                return aten.index_put_(view, chosen, aten._to_copy(value, dtype=view.dtype))
            return aten.copy_(view, value) if isinstance(value, torch.Tensor) else aten.fill_(view, value)
        before = len(self.card.doubles)
        result = func(*args, **kwargs)
        if func is torch.quantile:  # which looks itself at what its device can do
            del self.card.doubles[before:]
        return result

    def _moved(self, func: Any, args: Any, kwargs: Any) -> Any:
        """``Tensor.to`` makes sure first that there is a real card."""
        tensor, *rest = args
        copy = kwargs.pop("copy", False)
        if func is not torch.Tensor.to:
            device, dtype, asynchronous = CARD if func is torch.Tensor.cuda else torch.device("cpu"), None, False
        elif rest and isinstance(rest[0], torch.Tensor):
            device, dtype, asynchronous = rest[0].device, rest[0].dtype, False
        else:
            device, dtype, asynchronous, _ = torch._C._nn._parse_to(*rest, **kwargs)
        device = tensor.device if device is None else CARD if _on_card(device) else torch.device(device)
        if not copy and device == tensor.device and dtype in (None, tensor.dtype):
            return tensor
        return aten._to_copy(tensor, dtype=dtype, device=device, non_blocking=asynchronous)

    def _attention(self, func: Any, args: Any, kwargs: Any) -> Any:
        """As on a card: autocast has it in its list."""
        if torch.is_autocast_enabled("cuda"):
            short = torch.get_autocast_dtype("cuda")
            args = tuple(aten._to_copy(a, dtype=short) for a in args)
        self.card.attention.add(args[0].dtype)
        self.card.launches += 1
        query, key, value = map(_held, args)
        if not torch.backends.cuda.can_use_efficient_attention(query.dtype):
            scores = [torch.empty((*query.shape[:3], key.shape[2]), device="meta") for _ in range(2)]
            for tensor in scores:
                self.card.hold(tensor)
        with torch._C.DisableTorchFunction():
            result = torch.empty_like(query) if query.is_meta else func(query, key, value, **tree_map(_held, kwargs))
        self.card.hold(result)
        return CardTensor(result)


def _at_once(_pool: ThreadPoolExecutor, work: Any, *args: Any, **kwargs: Any) -> Future[Any]:
    done: Future[Any] = Future()
    done.set_result(work(*args, **kwargs))
    return done


@contextlib.contextmanager
def pretended_card(capability: tuple[int, int] = (8, 6), *, meta: bool = False, fused: bool = True) -> Iterator[Card]:
    """Inside, torch has one NVIDIA card of that compute capability.

    Parameters
    ----------
    meta : tensors have shapes and no numbers, for counting what networks of any size would hold; a wait gives 0, 1 or True
    fused : whether it has kernels for attention; without, all scores of a call are held (twice, for their softmax)
    """
    card = Card(capability)

    class Event:
        """A stage of the card's queue; waiting for the one before keeps the queue filled, so it is not counted."""

        def record(self, *_: Any) -> None:
            """It is reached at once."""

        def synchronize(self) -> None:
            """It has been reached."""

    state = torch.get_rng_state()
    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "get_device_capability": lambda device=None: capability,
        "get_device_name": lambda device=None: "Pretended",
        "get_device_properties": lambda device=None: SimpleNamespace(major=capability[0], minor=capability[1]),
        "is_bf16_supported": lambda including_emulation=True: including_emulation or capability >= (8, 0),
        "mem_get_info": lambda device=None: (24 << 30, 24 << 30),
        "memory_reserved": lambda device=None: card.live,
        "memory_allocated": lambda device=None: card.live,
        "max_memory_allocated": lambda device=None: card.peak,
        "reset_peak_memory_stats": lambda device=None: None,
        "empty_cache": lambda: None,
        "current_stream": lambda device=None: SimpleNamespace(synchronize=lambda: card.wait("synchronize")),
        "synchronize": lambda device=None: card.wait("synchronize"),
        "get_rng_state": lambda device=None: state,
        "set_rng_state": lambda state, device=None: None,
        "set_per_process_memory_fraction": lambda fraction, device=None: None,
        "manual_seed_all": lambda seed: None,
        "Event": Event,
    }
    # Of capability 8.0 and later; of 5.0 and later, with bfloat16 from 8.0 on (torch's sdp_utils.cpp).
    short = {torch.float16, torch.bfloat16}
    kernels = {
        "SDPAParams": lambda query, *_: query.dtype,
        "can_use_flash_attention": lambda dtype: fused and capability >= (8, 0) and dtype in short,
        "can_use_efficient_attention": lambda dtype: fused and (capability >= (8, 0) or dtype is not torch.bfloat16),
    }
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        for name, answer in kernels.items():
            stack.enter_context(mock.patch.object(torch.backends.cuda, name, answer))
        # The tensors of ``inference_mode`` skip the dispatcher.
        stack.enter_context(mock.patch.object(torch, "inference_mode", torch.no_grad))
        stack.enter_context(mock.patch.object(ThreadPoolExecutor, "submit", _at_once))  # modes belong to one thread
        stack.enter_context(torch.no_grad())
        stack.enter_context(_Functions(card))
        stack.enter_context(_Dispatch(card, meta))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # whose own functions the processor has not
        fuses = torch._C._jit_texpr_fuser_enabled()  # of scripted functions: it would compile for the real card
        stack.callback(torch._C._jit_set_texpr_fuser_enabled, fuses)
        torch._C._jit_set_texpr_fuser_enabled(False)
        # A module on its way to a card would else keep its parameters and be given other data, which cannot be of this kind.
        overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwritten)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        yield card
