"""Where the user's cache is. Standard library only: both sides import it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

KEPT_MARKER = ".da3-kept-run"  # is in the folder of each kept run: ``ownership``
KEPT_BYTES = 8 << 30  # that kept runs may take, unless the person sets another limit


def user_cache() -> Path:
    """The add-on's folder in the user's cache, as the system has it; not made."""
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "da3-blender"


def kept_runs_folder() -> Path:
    """``$DA3_KEPT_RUNS``, else in the user's cache: the runs that can be built again without the model."""
    chosen = os.environ.get("DA3_KEPT_RUNS")
    return Path(chosen).expanduser() if chosen else user_cache() / "runs"
