"""The folder of an environment: whose it is, its marker, and how a new one takes the place of an old one."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from ..errors import BadInput, MissingEnvironment
from ..files import ownership
from . import building, trash
from .condition import (
    KEY_PACKAGES,
    Info,
    in_use,
)
from .get_uv import REQUIREMENTS
from .running import Command, Run
from .torch_builds import Device

RAY = "ray"  # folder of Ray in an environment, which only some runs need; and its lock's name
STAMP = "lock.sha256"  # in the folder: which lock it was filled from
MARKER = "da3-environment.json"
#: What lies in a virtual environment of ours. With anything else in it the folder is a person's too, and is left alone.
OWN = frozenset(
    {
        "bin",
        "lib",
        "lib64",
        "include",
        "share",
        "etc",
        "man",
        "Lib",
        "Scripts",
        "Include",
        "pyvenv.cfg",
        ".gitignore",
        ".lock",
    }
    | {"CACHEDIR.TAG", "without-torch.txt", RAY, MARKER, f".da3-{trash.KIND}"}
)


def put_in_place(part: Path, folder: Path) -> None:
    """Rename; the environment that was there goes only when that has worked."""
    old = None
    try:
        if ownership.find(folder, trash.KIND):
            old = trash.move_aside(folder)
        ownership.remove_if_empty(folder)
        ownership.move(part, folder)
    except OSError as error:
        if old is not None:
            ownership.move(old, folder)
        raise MissingEnvironment(f"{in_use(folder)}: {error}") from error
    if old is not None:
        trash.discard(old)


def refuse_others(folder: Path) -> None:
    """A person may have chosen a folder with files of their own: nothing may happen to those."""
    if not folder.exists():
        return
    others = sorted({inner.name for inner in folder.iterdir()} - OWN) if folder.is_dir() else [folder.name]
    if not others and _was_made_here(folder):  # by a version that left no marker, perhaps
        ownership.adopt(folder, trash.KIND)
    elif others or (ownership.find(folder, trash.KIND) is None and any(folder.iterdir())):
        named = f" ({', '.join(others[:3])})" if others else ""
        raise BadInput(f"'{folder}' holds other files{named}. Choose an empty or a new folder for the dependencies")


def _was_made_here(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return building.PROMPT in (folder / "pyvenv.cfg").read_text("utf-8")
    return False


def read_marker(folder: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        if isinstance(marker, dict) and isinstance(marker.get("lock"), str) and isinstance(marker.get("python"), str):
            return marker
    return None


def info_of(marker: dict[str, Any]) -> Info:
    """What a marker tells of an environment."""
    versions = marker.get("versions", {})
    return Info(
        python=marker["python"],
        torch_build=marker.get("torch_build", ""),
        size=marker.get("bytes"),
        device=Device(marker["device"]) if marker.get("device") in {device.value for device in Device} else None,
        warning=marker.get("warning", ""),
        versions={name: versions[name] for name in KEY_PACKAGES if name in versions},
    )


def has_ray(environment: Path) -> bool:
    """Whether this version's Ray is installed in an environment."""
    try:
        return (environment / RAY / STAMP).read_text("ascii") == _ray_hash()
    except OSError:
        return False


def install_ray(run: Run, uv: Path, environment: Path, part: Path, wheels: Path | None) -> None:
    """Install Ray; what there was before stays until the new one is whole.

    Parameters
    ----------
    part : a new folder, beside the environment, that is filled and then renamed
    wheels : the only source, where given

    Raises
    ------
    Cancelled, MissingEnvironment
    """
    folder, lock = environment / RAY, REQUIREMENTS / f"{RAY}.txt"
    try:
        ownership.claim(part, trash.KIND)
        source: Command = ["--no-index", "--find-links", wheels] if wheels is not None else []
        fill: Command = [uv, "pip", "install", "--python", building.program(environment), "--target", part, "--no-deps"]
        run("installing Ray", 0.1, [*fill, *building.HASHED, *source, "-r", lock], until=0.9)
        see: Command = [
            building.program(environment),
            "-I",
            "-c",
            f"import sys; sys.path.append({str(part)!r}); import ray",
        ]
        run("checking", 0.93, see)
        (part / STAMP).write_text(_ray_hash(), "ascii")
        if folder.exists():
            trash.discard(trash.move_aside(folder))
        ownership.move(part, folder)
        run.tell("installed", 1.0)
    except BaseException:
        trash.discard(part)
        raise


def _ray_hash() -> str:
    return hashlib.sha256((REQUIREMENTS / f"{RAY}.txt").read_bytes()).hexdigest()
