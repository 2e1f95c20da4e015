"""A texture for a surface: unfolded by xatlas, painted by the frames that see each of its points best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import xatlas

from ...monitor import Monitor
from .depth_maps import Frame
from .vertex_colors import Coloring

MOST_FACES = 60_000  # unfolding takes 10 s for as many, and the time grows faster than they do
FINER = 2.0  # texels along a pixel's footprint
MOST_TEXELS = 4096  # of a side
FILLED = 0.7  # of an unfolded surface's square is filled, about
GUTTER = 4  # texels that colours are continued beyond a chart's outline, for filters that look there
PIECE = 2_000_000  # texels that are looked at at once
OUTLINE = 0.6  # texels that a texel's middle may lie outside of a triangle and still be its


@dataclass(frozen=True)
class Unfolded:
    """Where a surface's faces lie in its texture, and what its texels are on the surface.

    Attributes
    ----------
    uv : (3F, 2) float32 of the faces' corners, (0, 0) at the bottom left
    size : height and width of the texture
    texels : (T,) int64, row * width + column of those that lie on a face
    points, normals : (T, 3) float32 of these
    """

    uv: np.ndarray
    size: tuple[int, int]
    texels: np.ndarray
    points: np.ndarray
    normals: np.ndarray


def unfold(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, texel: float, monitor: Monitor) -> Unfolded:
    """Charts of a surface, packed into one square.

    Parameters
    ----------
    vertices, normals : (V, 3)
    faces : (F, 3)
    texel : wanted edge of a texel, in scene units; larger where the texture would be too large
    """
    middle = vertices.mean(axis=0)
    points = np.ascontiguousarray(vertices - middle, np.float32)
    corners = points[faces]
    area = 0.5 * float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    )
    texel = max(texel, (area / FILLED) ** 0.5 / MOST_TEXELS)
    atlas = xatlas.Atlas()
    atlas.add_mesh(points, faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.texels_per_unit, packing.padding, packing.bilinear = 1.0 / texel, GUTTER, True
    monitor.check()
    atlas.generate(xatlas.ChartOptions(), packing)
    monitor.check()
    _, indices, places = atlas[0]
    width, height = atlas.width, atlas.height
    at = places[indices.reshape(-1)].astype(np.float32)  # (3F, 2), rows downwards
    texels, on_surface, turned = _rasterized(
        at.reshape(-1, 3, 2) * (width, height), (height, width), corners, normals[faces]
    )
    uv = np.stack([at[:, 0], 1.0 - at[:, 1]], axis=-1)
    return Unfolded(uv, (height, width), texels, on_surface + middle, turned)


def paint(unfolded: Unfolded, views: Iterable[tuple[Frame, np.ndarray]], voxel: float, tolerance: float) -> np.ndarray:
    """The texture, (H, W, 3) uint8.

    Parameters
    ----------
    views : frames and their depths (H, W), corrected
    voxel, tolerance : see ``Coloring``
    """
    coloring = Coloring(unfolded.points, unfolded.normals, voxel)
    try:
        for frame, depth in views:
            coloring.add(frame, depth, tolerance)
    finally:
        coloring.close()
    height, width = unfolded.size
    picture, known = np.zeros((height * width, 3), np.uint8), np.zeros(height * width, np.uint8)
    picture[unfolded.texels] = coloring.result()
    known[unfolded.texels] = 1
    return _beyond_outlines(picture.reshape(height, width, 3), known.reshape(height, width))


def _rasterized(
    triangles: np.ndarray, size: tuple[int, int], corners: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texels on triangles, each once, and what they are on the surface.

    Parameters
    ----------
    triangles : (F, 3, 2) places of the corners in the texture, texels
    corners, normals : (F, 3, 3) of the corners on the surface
    """
    height, width = size
    a, b, c = (triangles[:, n].astype(np.float64) for n in range(3))
    double = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    low = np.floor(triangles.min(axis=1) - OUTLINE).clip(0).astype(np.int64)
    high = np.ceil(triangles.max(axis=1) + OUTLINE).clip(0, (width, height)).astype(np.int64)
    wide, tall = (high - low).clip(0).T
    counts = np.where(np.abs(double) > 1e-9, wide * tall, 0)
    # How much a barycentric coordinate changes over OUTLINE, for each of the three.
    slack = OUTLINE * np.stack([np.linalg.norm(q - p, axis=1) for p, q in ((b, c), (c, a), (a, b))], -1)
    slack /= np.maximum(np.abs(double), 1e-9)[:, None]
    found: list[tuple[np.ndarray, ...]] = []
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        end = max(begin + 1, int(np.searchsorted(ends, (ends[begin - 1] if begin else 0) + PIECE)))
        face = np.repeat(np.arange(begin, end), counts[begin:end])
        within = np.arange(len(face)) - np.repeat(np.cumsum(counts[begin:end]) - counts[begin:end], counts[begin:end])
        row, column = low[face, 1] + within // wide[face], low[face, 0] + within % wide[face]
        x, y = column + 0.5, row + 0.5
        of_b = ((x - a[face, 0]) * (c - a)[face, 1] - (y - a[face, 1]) * (c - a)[face, 0]) / double[face]
        of_c = ((b - a)[face, 0] * (y - a[face, 1]) - (b - a)[face, 1] * (x - a[face, 0])) / double[face]
        shares = np.stack([1.0 - of_b - of_c, of_b, of_c], axis=-1)
        outside = (-shares - slack[face]).max(axis=1)
        kept = outside <= 0
        face, shares = face[kept], shares[kept].clip(0.0, 1.0)
        shares /= shares.sum(axis=1, keepdims=True)
        place = np.einsum("tn,tnd->td", shares, corners[face])
        normal = np.einsum("tn,tnd->td", shares, normals[face])
        found.append((row[kept] * width + column[kept], place.astype(np.float32), normal.astype(np.float32)))
        begin = end
    texels, places, turned = (np.concatenate(column) for column in zip(*found, strict=True))
    texels, first = np.unique(texels, return_index=True)
    turned = turned[first]
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)
    return texels, places[first], turned


def _beyond_outlines(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Continue colours into what is not known around them, a texel at a time."""
    kernel = np.ones((3, 3), np.float32)
    for _ in range(GUTTER):
        count = cv2.filter2D(known.astype(np.float32), -1, kernel, borderType=cv2.BORDER_CONSTANT)
        total = cv2.filter2D(picture.astype(np.float32), -1, kernel, borderType=cv2.BORDER_CONSTANT)
        fresh = (known == 0) & (count > 0)
        picture[fresh] = np.rint(total[fresh] / count[fresh][:, None]).astype(np.uint8)
        known = known | fresh.astype(np.uint8)
    return picture
