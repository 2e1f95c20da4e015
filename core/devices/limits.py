"""How much of a card torch may take. Imports torch."""

from __future__ import annotations

import sys

import torch

SHARE = 0.95  # of what is free: the driver needs some for each kernel's own


def keep_off_system_memory(device: torch.device) -> None:
    """On Windows, let torch run out of the card's memory where it ends, before each pass.

    The driver there gives main memory instead, without a word, in which a pass takes ten times as long; running out makes
    the passes smaller.
    """
    if device.type != "cuda" or sys.platform != "win32":
        return
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, SHARE * (free + own) / total), device)
