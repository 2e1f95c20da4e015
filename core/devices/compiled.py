"""Loops over every voxel, pixel or vertex as machine code, by Numba: for what NumPy and torch take several times as long.

Numba itself takes a second to import, so that comes with the first call; the machine code of a first use on a computer is
kept in the worker's environment, and goes with it.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ..errors import MissingEnvironment

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled for the types of its arguments when it is first called with them.

    It may use numbers, NumPy's arrays and functions, and constants of its module. It runs without Python's lock, so that
    threads run it side by side, and does not look whether an index is within its array.

    Raises
    ------
    MissingEnvironment
        When it is called and Numba is not there.
    """

    @functools.cache
    def machine_code(kept: bool) -> Callable[P, R]:
        # Divided as NumPy does, without a look at the divisor: loops with a way out are not vectorized.
        options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
        code: Callable[P, R] = _numba().njit(cache=kept, **options)(function)
        return code

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return machine_code(_kept())(*args, **kwargs)
        except (OSError, EOFError, pickle.UnpicklingError):  # a full disk, a damaged file: then it is not kept
            return machine_code(False)(*args, **kwargs)

    return run


def _numba() -> Any:
    os.environ["NUMBA_CACHE_DIR"] = str(_folder())
    try:
        numba = import_module("numba")
    except ImportError as error:
        raise MissingEnvironment(f"This step needs {error.name}: install the dependencies again") from error
    numba.config.CACHE_DIR = str(_folder())  # where another package has imported it before
    return numba


def _folder() -> Path:
    return Path(sys.prefix) / "compiled"


def _kept() -> bool:
    """Whether machine code can be kept: an environment that several people use may be closed to them."""
    return os.access(_folder() if _folder().exists() else sys.prefix, os.W_OK)
