"""What DA3-blender has left on this machine: models inside its add-on, and a script that Blender runs at every start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from ...core.files import ownership

SCRIPT = "da3_torch_preload.py"
#: Words that the script has in every version that was found, and no other script in its place.
SIGNS = ("DA3 Addon", "deps_public", "import torch")
MOST_READ = 100_000  # bytes; the script has some 3,000


@dataclass(frozen=True)
class Left:
    """``models``: folders that hold any, with how many and their bytes; ``scripts``: that load torch into Blender."""

    models: tuple[tuple[Path, int, int], ...]
    scripts: tuple[Path, ...]


def user_folder() -> Path:
    """Where Blender of this version keeps a person's add-ons and settings; other versions' lie beside it."""
    return Path(bpy.utils.resource_path("USER"))


def look(user: Path) -> Left:
    """Look into the folder of this Blender and of other versions beside it; touches nothing of Blender's."""
    from ...core.models import files, moving  # late: enabling the add-on should not pay for it

    scripts = sorted(user.parent.glob("*/scripts"))
    folders = [folder for found in scripts for folder in sorted(found.glob("addons/DA3-blender*/models"))]
    models = []
    for folder in folders:
        contents = files.recognise(folder)
        everything: tuple[files.AnyModel, ...] = (*contents.models, *contents.networks)
        if everything:
            models.append((folder, len(everything), sum(moving.size_of(folder, model) for model in everything)))
    return Left(
        tuple(models), tuple(found / "startup" / SCRIPT for found in scripts if is_preload(found / "startup" / SCRIPT))
    )


def is_preload(script: Path) -> bool:
    """Whether a file is the script that DA3-blender writes; one of a person's own, whatever its name, is not."""
    try:
        if script.name != SCRIPT or script.is_symlink() or script.stat().st_size > MOST_READ:
            return False
        text = script.read_text("utf-8")
    except (OSError, ValueError):
        return False
    return all(sign in text for sign in SIGNS)


def switch_off(script: Path) -> Path:
    """Give the script a name that Blender does not run; which. Nothing of it is lost, and renaming it back undoes it.

    Raises
    ------
    ownership.NotOurs
        It is another file.
    OSError
    """
    if not is_preload(script):
        raise ownership.NotOurs(f"'{script}' is not the script that DA3-blender writes: it stays as it is")
    return ownership.set_aside(script, ".disabled")
