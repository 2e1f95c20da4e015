"""The environment variables that a worker inherits from Blender; all others stay behind. Standard library only.

What a person's shell or a studio's launcher sets for Blender (keys of services, ``PYTHON*``, plug-in paths) is nobody's
business in a process that loads models from the internet.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

#: Names, by reason; compared in capitals, as Windows does.
NAMES = {
    "programs and libraries": ("PATH", "LD_LIBRARY_PATH"),
    "who and where the person is, where caches and settings are": (
        "HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "USERPROFILE", "USERNAME", "HOMEDRIVE", "HOMEPATH",
        "APPDATA", "LOCALAPPDATA",
    ),
    "language of messages and of file names, time zone": ("LANG", "LANGUAGE", "TZ"),
    "without these no program starts on Windows": (
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "PROGRAMDATA", "PROGRAMFILES", "NUMBER_OF_PROCESSORS",
        "PROCESSOR_ARCHITECTURE", "PROCESSOR_IDENTIFIER",
    ),
    "proxies": ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    "certificates": ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}  # fmt: skip

#: Beginnings of names, by reason.
PREFIXES = {
    "our own": ("DA3_",),
    "language": ("LC_",),
    "which device is used, and how": ("CUDA_", "NVIDIA_", "PYTORCH_", "TORCH_", "HIP_", "ROCR_", "HSA_"),
    "who may join a Ray cluster": ("RAY_AUTH_",),
    "threads": ("OMP_", "KMP_", "MKL_", "OPENBLAS_"),
    "the hub that models come from": ("HF_",),
    "how videos are read": ("OPENCV_",),
}

X86 = ("x86_64", "amd64")


def worker_variables(temp: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a worker gets.

    Parameters
    ----------
    temp : the worker's own temporary folder
    environ : of this process
    """
    names = {name for group in NAMES.values() for name in group}
    prefixes = tuple(prefix for group in PREFIXES.values() for prefix in group)
    kept = {k: v for k, v in environ.items() if k.upper() in names or k.upper().startswith(prefixes)}
    # Threads that wait for work by spinning make every call many times slower beside a busy Blender; a passive wait costs
    # at most a third on an idle machine. Somebody who has set it knows better.
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if platform.machine().lower() in X86:
        # NumPy's own threads spin, and what they share out here is small: 140 unknowns of a chunk take one thread 0.15 s,
        # two beside a busy core 0.9 to 1.3 s. Torch has another library for its products there.
        kept.setdefault("OPENBLAS_NUM_THREADS", "1")
    kept.setdefault("DA3_LOG_LEVEL", "ERROR")
    if sys.platform == "linux" and "PYTORCH_CUDA_ALLOC_CONF" not in kept:
        # Passes of many sizes leave gaps in a card's memory that no later tensor fits into, unless its pages can be moved.
        kept.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    return kept | {"PYTHONNOUSERSITE": "1", "TMPDIR": str(temp), "TEMP": str(temp), "TMP": str(temp)}
