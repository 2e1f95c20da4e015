"""What watches over a forward pass: cancelling, progress, and a sky that fills everything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ...errors import BadInput
from ...monitor import Monitor
from .network import blocks

# The package's own numbers (NestedDepthAnything3Net): more is sky, and fewer other pixels cannot carry a scale.
SKY_FROM = 0.3
FEWEST_PIXELS = 10


@contextlib.contextmanager
def watched(net: nn.Module, monitor: Monitor, device: torch.device) -> Iterator[None]:
    """Inside, a forward pass of ``net`` reports the fraction of transformer blocks done and stops when it should.

    Raises
    ------
    Cancelled
        Out of the forward pass; the network is unchanged and can be used again.
    """
    all_blocks = blocks(net)
    pace = _Pace(device)
    done = 0

    def before_block(_module: nn.Module, _args: Any) -> None:
        nonlocal done
        pace.wait()
        monitor.progress("model", min(1.0, done / len(all_blocks)))
        done += 1

    hooks = [block.register_forward_pre_hook(before_block) for block in all_blocks]
    try:
        with _CheckEveryCall(monitor):
            yield
    finally:
        for hook in hooks:
            hook.remove()
    monitor.progress("model", 1.0)


class _CheckEveryCall(TorchFunctionMode):
    """Looks at the watch before every call of a torch function.

    A block of a large model takes seconds on a CPU, and heads and ray-based poses have no blocks at all.
    """

    def __init__(self, monitor: Monitor):
        super().__init__()
        self.monitor = monitor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.monitor.check()
        return func(*args, **(kwargs or {}))


class _Pace:
    """Keeps the calls at most one block ahead of a GPU.

    Calls return before the GPU has done the work: without this all blocks would be queued in a moment, and a cancelled
    pass would run to its end.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._last: Any = None

    def wait(self) -> None:
        event: Any
        if self._device.type == "cuda":
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
        elif self._device.type == "mps":
            event = torch.mps.Event()
            event.record()
        else:
            return
        if self._last is not None:
            self._last.synchronize()
        self._last = event


class SkyOfNested:
    """Reads the sky that a nested network's metric branch sees, which the package uses but does not return."""

    def __init__(self) -> None:
        self.sky: torch.Tensor | None = None  # (1, N, H, W)

    @contextlib.contextmanager
    def reading(self, net: nn.Module) -> Iterator[None]:
        """Inside, a pass whose images are all sky raises ``BadInput`` (the package fails an assertion)."""
        metric_branch = getattr(net, "da3_metric", None)
        if metric_branch is None:
            yield
            return
        hook = metric_branch.register_forward_hook(self._read)
        try:
            yield
        finally:
            hook.remove()

    def _read(self, _module: nn.Module, _args: Any, output: Any) -> None:
        sky = output["sky"] >= SKY_FROM
        if int((~sky).sum()) <= FEWEST_PIXELS:
            raise BadInput(
                "The model sees nothing but sky in these images, so there is nothing to measure. Leave them out, use "
                "a larger batch, or choose a model that is not nested"
            )
        self.sky = sky
