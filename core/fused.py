"""The surface fused from all frames, as an object for Blender."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .delivery import rgba
from .geometry import points_to_blender
from .payload import MeshArrays, Part
from .surface import FusedMesh

NAME = "_Fused"


def part(mesh: FusedMesh, folder: Path) -> Part:
    """The object of a fused surface; its texture, where it has one, is written into ``folder``."""
    image = ""
    if mesh.texture is not None:
        image = "fused.png"
        Image.fromarray(mesh.texture).save(folder / image)
    arrays = MeshArrays(
        points_to_blender(mesh.vertices), np.ascontiguousarray(mesh.faces, np.int32), rgba(mesh.colors), uv=mesh.uv
    )
    return Part(NAME, arrays, image=image, packed=bool(image))
