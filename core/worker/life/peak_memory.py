"""How much memory a process took at most. Standard library only: both processes use it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def peak_memory() -> int:
    """Largest resident size of this process so far in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a spawned process starts with its parent's size; VmHWM is its own
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory() -> None:
    """Let the peak start at the present size, where the system can do that (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak is then that of the whole life of the process, which is still a bound


def peak_device_memory() -> int:
    """Most bytes that torch held on the CUDA device during this job; 0 without one."""
    torch = _torch_with_cuda()
    return int(torch.cuda.max_memory_allocated()) if torch else 0


def reset_peak_device_memory() -> None:
    """Begin to count anew."""
    torch = _torch_with_cuda()
    if torch:
        torch.cuda.reset_peak_memory_stats()


def _torch_with_cuda() -> Any:
    """torch where it is loaded already and drives a CUDA device, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None
