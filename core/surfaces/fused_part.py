"""The surface fused from all frames, as an object for Blender."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..geometry.projection import points_to_blender
from ..output.blender_arrays import rgba
from ..output.payload import MeshArrays, Part
from .fused_surface import FusedMesh

NAME = "_Fused"


def part(mesh: FusedMesh, folder: Path) -> Part:
    """The object of a fused surface; its texture, where it has one, is written into ``folder``."""
    image = ""
    if mesh.texture is not None:
        image = "fused.png"
        Image.fromarray(mesh.texture).save(folder / image)
    corners = np.ascontiguousarray(mesh.faces, np.int32)
    edges, corner_edges = edges_of(corners)
    arrays = MeshArrays(
        points_to_blender(mesh.vertices), corners, rgba(mesh.colors), uv=mesh.uv, edges=edges, corner_edges=corner_edges
    )
    return Part(NAME, arrays, image=image, packed=bool(image))


def edges_of(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of faces, each once; for a million faces Blender's main thread would look for them longer than a tick lasts.

    Parameters
    ----------
    corners : (F, K) int32, vertices

    Returns
    -------
    edges : (E, 2) int32, vertices, the lower number first
    corner_edges : (F, K) int32, the edge from each corner to the next
    """
    following = np.roll(corners, -1, axis=1)
    low, high = np.minimum(corners, following).astype(np.int64), np.maximum(corners, following)
    count = int(corners.max()) + 1 if corners.size else 1
    keys, which = np.unique(low * count + high, return_inverse=True)
    edges = np.stack([keys // count, keys % count], axis=-1).astype(np.int32)
    return edges, which.reshape(corners.shape).astype(np.int32)
