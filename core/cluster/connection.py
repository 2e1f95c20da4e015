"""Ray itself: found, started on this machine for itself alone, or joined where a cluster runs."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import BadInput, DA3Error, MissingEnvironment

LOCAL = "local"
FOLDER = "ray"  # of the packages, in the worker's environment
VARIABLE = "DA3_RAY"  # names another folder of them
STORE_SHARE, STORE_MOST = 0.2, 8 << 30  # of free memory, and bytes, that predictions on their way may take
ROOM = Path(__file__).resolve().parents[2]
SENT = ("core", "streaming")  # what the worker runs: no bpy in it


def packages() -> Path:
    """Where Ray is, or shall be."""
    return Path(os.environ.get(VARIABLE) or Path(sys.prefix) / FOLDER)


def connect(address: str, environment: dict[str, str]) -> Any:
    """The module ``ray``, connected; does nothing where it is already.

    Parameters
    ----------
    address : "local", or a cluster's ("host:6379", "ray://host:10001")
    environment : variables of all actors

    Raises
    ------
    MissingEnvironment
        Ray is not installed.
    BadInput
        Nobody answers at that address.
    """
    ray = load(address)
    if ray.is_initialized():
        return ray
    staged = stage()
    runtime = {"py_modules": [str(staged)], "env_vars": environment}
    words: dict[str, Any] = {"configure_logging": False, "log_to_driver": False, "runtime_env": runtime}
    try:
        if address == LOCAL:
            ray.init(
                address="local", include_dashboard=False, object_store_memory=_store(), num_cpus=os.cpu_count(),
                _temp_dir=tempfile.mkdtemp(prefix="r"), **words,
            )  # fmt: skip
        else:
            ray.init(address=address, **words)
    except Exception as error:  # of many kinds, from many layers
        if address == LOCAL:
            raise DA3Error(f"Ray did not start on this machine ({error})") from error
        raise BadInput(
            f"No Ray cluster answers at '{address}' ({' '.join(str(error).split())[:200]}): start it with the packages of the "
            "add-on's environment, or use 'local'"
        ) from error
    return ray


def load(address: str = LOCAL) -> Any:
    """The module ``ray``, with what it may not do switched off before it is imported.

    Raises
    ------
    MissingEnvironment
    """
    folder = packages()
    if not (folder / "ray").is_dir():
        raise MissingEnvironment(
            "Ray is not installed: install it in the add-on's preferences, or with 'install --ray'"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # what Ray starts here listens to this machine only
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # and to this process and its children
    os.environ["PYTHONPATH"] = str(folder)  # Ray's own processes start with another sys.path
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    import ray

    return ray


def stage() -> Path:
    """A copy of what the actors run, as a package that imports like the worker's."""
    folder = Path(tempfile.mkdtemp(prefix="sent")) / "da3_blender"
    for name in SENT:
        shutil.copytree(ROOM / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "__init__.py").write_text('"""The worker\'s part of the add-on."""\n', "utf-8")
    return folder


def threads() -> str:
    """How many threads numpy's algebra has in this process: with another number its sums end in other digits."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or str(cores)


def _store() -> int:
    """Bytes of shared memory for what is on its way."""
    from ..memory import free_ram

    free = free_ram() or STORE_MOST
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = min(free, shutil.disk_usage(shared).free * 4)
    return max(80 << 20, min(int(STORE_SHARE * free), STORE_MOST))
