"""What was computed on a card, brought to the processor with one wait instead of one for each array. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch


def to_host(found: Mapping[str, torch.Tensor | None]) -> dict[str, np.ndarray | None]:
    """The arrays of some tensors of one device.

    From CUDA they come in page-locked memory, of which a system has little: copy what is to be kept.
    """
    cuda = next((t.device for t in found.values() if t is not None and t.device.type == "cuda"), None)
    here = {k: None if t is None else t.to("cpu", non_blocking=cuda is not None) for k, t in found.items()}
    if cuda is not None:
        torch.cuda.current_stream(cuda).synchronize()
    return {key: None if tensor is None else tensor.numpy() for key, tensor in here.items()}
