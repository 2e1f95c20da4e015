"""Where the user's cache is. Standard library only: both sides import it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

KEPT_MARKER = ".da3-kept-run"  # is in the folder of each kept run: ``ownership``
KEPT_BYTES = 8 << 30  # that kept runs may take, unless the person sets another limit


def user_cache() -> Path:
    """The add-on's folder in the user's cache, as the system has it; not made."""
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = _home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    return cache / "da3-blender"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # accounts of containers have none; the temporary folder holds until the next start
        return Path(tempfile.gettempdir())


def kept_runs_folder() -> Path:
    """``$DA3_KEPT_RUNS``, else in the user's cache: the runs that can be built again without the model."""
    chosen = os.environ.get("DA3_KEPT_RUNS")
    return Path(chosen).expanduser() if chosen else user_cache() / "runs"
