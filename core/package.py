"""Makes this checkout importable as the package ``da3_blender`` without running the add-on's root ``__init__``.

The worker, the tests and the tools are not Blender: for them the package is a bare module whose ``__path__`` is the
add-on's folder, so that relative imports work in both worlds. Run this file by path (it may not import its siblings).
"""

import sys
import types
from pathlib import Path

PACKAGE = "da3_blender"


def make_importable() -> types.ModuleType:
    """The package ``da3_blender``, made on the first call."""
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(Path(__file__).resolve().parents[1])]
        sys.modules[PACKAGE] = package
    return sys.modules[PACKAGE]
