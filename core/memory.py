"""Memory: how much is free, how much a pass of a model needs, and how running out of it looks.

Nothing here imports torch by itself: the frames ask too.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import DA3Error, OutOfMemory

# What CUDA, Apple's GPUs, torch's CPU allocator (Linux, Windows), cuBLAS and OpenCV say; Metal of one buffer that is too
# large; CUDA's libraries where nothing is left for what they need themselves; Windows of its page file.
SIGNS = (
    "out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "insufficient memory",
    "failed to allocate", "invalid buffer size", "cublas_status_not_initialized", "cudnn_status_internal_error",
    "unable to find an engine", "cusolver_status_internal_error", "paging file is too small",
)  # fmt: skip
PAGE_FILE = 1455  # Windows' number (ERROR_COMMITMENT_LIMIT), whose text is in the system's language

KIB, MIB = 1 << 10, 1 << 20
HEAD_FRAMES = 8  # the package's heads take that many frames at a time
USABLE = 0.8  # of what is free: other programs want some too, and allocators cannot use every gap
MOST = 64  # images of a pass that nobody asked for: attention between all of them takes time with their square


@dataclass(frozen=True)
class Cost:
    """What a pass takes beyond the weights, in bytes; docs/memory.md has the measurements.

    A token is a patch of 14 x 14 pixels. The transformer keeps something for each token of the pass; the heads for each
    token of the frames that they have at hand, and once for each token of one frame.
    """

    fixed: int
    per_token: int
    per_head_token: int
    once_per_token: int = 0

    def of(self, frames: int, tokens: int) -> int:
        """Bytes for a pass of ``frames`` frames with ``tokens`` tokens each."""
        each = self.per_token * frames + self.per_head_token * min(frames, HEAD_FRAMES) + self.once_per_token
        return self.fixed + tokens * each

    def fitting(self, free: int, tokens: int) -> int:
        """Most frames that fit, at least 1."""
        for frames in range(MOST, 1, -1):
            if self.of(frames, tokens) <= free:
                return frames
        return 1


# Fitted to measurements from above; da3-giant's are extrapolated by its width and checked on few frames.
_ON_PROCESSOR = {
    "da3-small": Cost(110 * MIB, 41 * KIB, 84 * KIB),
    "da3-base": Cost(150 * MIB, 76 * KIB, 160 * KIB),
    "da3-large": Cost(280 * MIB, 124 * KIB, 324 * KIB),
    "da3metric-large": Cost(280 * MIB, 124 * KIB, 324 * KIB),
    "da3mono-large": Cost(280 * MIB, 124 * KIB, 324 * KIB),
    "da3-giant": Cost(400 * MIB, 200 * KIB, 420 * KIB),
    "da3nested-giant-large": Cost(400 * MIB, 200 * KIB, 420 * KIB),
}


# What the tensors of a pass hold at most, counted (tests/core/predictors/da3/test_counted_memory.py), and 8 % for the
# allocator. It is the heads' float32, so the precision of the transformer changes little.
_ON_CARD = {
    "da3-small": Cost(8 * MIB, 33 * KIB, 67 * KIB, 29 * KIB),
    "da3-base": Cost(8 * MIB, 59 * KIB, 137 * KIB, 55 * KIB),
    "da3-large": Cost(8 * MIB, 76 * KIB, 285 * KIB, 108 * KIB),
    "da3metric-large": Cost(8 * MIB, 39 * KIB, 209 * KIB),
    "da3mono-large": Cost(8 * MIB, 39 * KIB, 209 * KIB),
    "da3-giant": Cost(8 * MIB, 128 * KIB, 265 * KIB, 108 * KIB),
    "da3nested-giant-large": Cost(8 * MIB, 128 * KIB, 265 * KIB, 108 * KIB),
}


#: What the Gaussian head has besides: its weights and the library's working memory; 38 numbers of each pixel, and the 11 of
#: 16 bits that are made of them.
_GAUSSIANS = Cost(280 * MIB, 36 * KIB, 0)
_GIANTS = ("da3-giant", "da3nested-giant-large")


def cost_of(config: str | None, device: str = "cpu", *, splats: bool = False) -> Cost:
    """The cost of a model's passes by its ``ModelInfo.config``; of one that was not measured, the most there is.

    Parameters
    ----------
    device : "cuda" and "mps" hold what tensors need; "cpu" also what its libraries take
    splats : whether the network's Gaussian head is used, where it has one
    """
    table = _ON_PROCESSOR if device == "cpu" else _ON_CARD
    cost = table.get(config or "", table["da3-giant"])
    if splats and config in _GIANTS:
        more = _GAUSSIANS
        return replace(cost, fixed=cost.fixed + more.fixed, per_token=cost.per_token + more.per_token)
    return cost


def free_memory(device: str) -> int | None:
    """Bytes that can be taken on "cuda", "mps" or "cpu"; None where nobody tells."""
    torch: Any = sys.modules.get("torch")  # a model that computes there has imported it
    if torch is not None and device == "cuda" and torch.cuda.is_available():
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # torch keeps freed memory for later
        return int(torch.cuda.mem_get_info()[0] + unused)
    if torch is not None and device == "mps" and hasattr(torch.mps, "recommended_max_memory"):
        ram = free_ram()  # which the GPU shares
        left = int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
        return left if ram is None else min(left, ram)
    return free_ram()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller pass could have helped."""
    if isinstance(error, MemoryError | OutOfMemory) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, DA3Error) or not isinstance(error, RuntimeError | Exception):
        return False
    if getattr(error, "winerror", None) == PAGE_FILE or f"[WinError {PAGE_FILE}]" in str(error):
        return True
    named = isinstance(error, RuntimeError) or type(error).__module__ == "cv2"
    return named and any(sign in str(error).lower() for sign in SIGNS)


def free_ram() -> int | None:
    """Bytes of main memory that can be taken without swapping; None where the system does not tell."""
    if sys.platform == "win32":
        return _free_on_windows()
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        free = None
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
        limit = _free_in_container()
        return min((n for n in (free, limit) if n is not None), default=None)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # macOS does not count them; half of all is what it usually can make free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _free_in_container() -> int | None:
    """What a control group (version 2) leaves; None without a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        most = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        # Cached files count as used, but make room when asked to.
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return None if most == "max" else max(0, int(most) - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None  # no control group, or of version 1, which is fading out


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = [
        ("length", ctypes.c_uint32), ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in (
            "total", "available", "total_page", "available_page", "total_virtual", "available_virtual", "extended",
        )),
    ]  # fmt: skip


def _free_on_windows() -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available)
