"""The steps of an installation, each a program that runs: see ``environment.Environment``, which puts them together.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import BadInput, MissingEnvironment
from ..files import ownership
from ..files.windows import RUNTIME, lacks_runtime
from . import lock_file, torch_builds
from .running import Command, Run
from .trash import KIND

PROMPT = "da3-blender"  # stands in the environment's pyvenv.cfg: by that a folder is known as one of ours
HASHED = ("--require-hashes", "--only-binary", ":all:")
# PyTorch's own index is asked once and not long: the package index is there to fall back to.
IMPATIENT = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_TIMEOUT": "15"}
PROGRAMS = Path(__file__).resolve().parent / "programs"
#: Prints the marker variables (PEP 508) of the Python that runs it.
MACHINE = """
import json, platform, sys
print(json.dumps({"python_full_version": platform.python_version(), "sys_platform": sys.platform,
                  "platform_machine": platform.machine(), "platform_system": platform.system(),
                  "platform_python_implementation": platform.python_implementation()}))
"""


class NoTorchBuild(MissingEnvironment):
    """PyTorch's own index did not provide what was asked for."""


def program(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / "Scripts" / "python.exe" if sys.platform == "win32" else environment / "bin" / "python"


def fill(
    run: Run, uv: Path, folder: Path, base_python: str, lock: Path, backend: str | None, wheels: Path | None
) -> None:
    """Make an environment with the locked packages.

    Parameters
    ----------
    backend : as in ``torch_builds.Build``: where it is not None, torch comes from PyTorch's own index, which gives no
        hashes, and the rest of the lock by its hashes
    wheels : the only source, where given; all of the lock is then taken by its hashes

    Raises
    ------
    Cancelled
    BadInput
        There is no such folder of wheels.
    NoTorchBuild
        All else can still be installed: try again with ``backend`` None.
    MissingEnvironment
    """
    if wheels is not None and not wheels.is_dir():
        raise BadInput(f"There is no wheel folder '{wheels}'")
    ownership.claim(folder, KIND)
    make: Command = [
        uv,
        "venv",
        "--allow-existing",  # of the folder, which has our marker in it
        "--no-progress",
        "--relocatable",
        "--prompt",
        PROMPT,
        "--python",
        base_python,
    ]
    run("making the environment", 0.05, [*make, folder])
    python = program(folder)
    locked = lock_file.read(lock)
    # The lock is complete and leaves out on purpose some of what packages declare: it is synced, not resolved.
    sync: Command = [uv, "pip", "sync", "--python", python, *HASHED]
    torch = torch_builds.torch_pins(locked)
    linked = _Linked(folder, len(locked))
    if wheels is not None:
        look: Command = [python, "-I", "-c", MACHINE]
        machine = json.loads(run("looking into the wheel folder", 0.06, look)[-1])
        lock_file.require_wheels(locked, wheels, machine)
        run("installing", 0.1, [*sync, "--no-index", "--find-links", wheels, lock], until=0.9, linked=linked)
        return
    if backend is None or not torch:
        run("downloading", 0.1, [*sync, lock], until=0.9, linked=linked)
        return
    install: Command = [
        uv,
        "pip",
        "install",
        "--python",
        python,
        "--only-binary",
        ":all:",
        *torch_builds.origin(backend),
        *torch,
    ]
    with _asking_pytorch(backend):
        run("asking for PyTorch", 0.07, [*install, "--dry-run", "--no-deps"], environ=IMPATIENT)
    rest = folder / "without-torch.txt"
    rest.write_text(torch_builds.without_torch(locked), "utf-8")
    run("downloading", 0.1, [*sync, rest], until=0.4, linked=linked)
    with _asking_pytorch(backend):
        run("downloading PyTorch", 0.4, install, until=0.9)


def describe(run: Run, folder: Path, modules: Sequence[str]) -> dict[str, Any]:
    """Import the modules; versions, size and build of torch, as ``describe_environment.py`` tells them."""
    tell: Command = [program(folder), "-I", PROGRAMS / "describe_environment.py", folder, *modules]
    try:
        return json.loads(run("checking", 0.93, tell)[-1])
    except MissingEnvironment as error:
        if lacks_runtime(str(error)):
            raise MissingEnvironment(f"{RUNTIME}. {error}") from error
        raise


def damaged(run: Run, folder: Path, base_python: str) -> list[str]:
    """Names of the packages of which a file is missing or changed."""
    names = []
    for site_packages in _site_packages(folder):
        check: Command = [base_python, "-I", PROGRAMS / "verify_files.py", site_packages]
        lines = run("comparing files", 0.0, check)
        names += [line.split()[1].rstrip(":") for line in lines if line.startswith("Damaged ")]
    return names


@contextlib.contextmanager
def _asking_pytorch(backend: str) -> Iterator[None]:
    try:
        yield
    except MissingEnvironment as error:
        why = str(error).partition(": ")[2].rpartition(". The log is")[0]
        raise NoTorchBuild(f"PyTorch's own index could not provide the build '{backend}' ({why}).") from error


class _Linked:
    """The part of the locked packages that is in place, 0 to 1."""

    def __init__(self, folder: Path, count: int):
        self._folder = folder
        self._count = max(count, 1)

    def __call__(self) -> float:
        return sum(len(list(place.glob("*.dist-info"))) for place in _site_packages(self._folder)) / self._count


def _site_packages(environment: Path) -> list[Path]:
    return sorted([*environment.glob("lib/python*/site-packages"), *environment.glob("Lib/site-packages")])
