"""One surface from all frames: each place once, however many frames see it.

Three times through the frames: what their depths say of each other (``agreement``), the field of signed distances
(``volume``), and the colours (``coloring``). Only one piece of the frames is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .errors import BadInput
from .fusion import cleaning
from .fusion.agreement import Agreement, Noise
from .fusion.coloring import Coloring
from .fusion.extraction import extract
from .fusion.frames import Frame, Pieces, frames
from .fusion.volume import View, Volume, VolumeFull, surface_blocks
from .settings import Settings
from .watch import Watch

STAGE = "surface"
FOOTPRINTS = 3.0  # of a pixel, a voxel's edge
BAND = 3.0  # voxels, at least, on either side of the surface
NOISY = 3.0  # standard deviations of the depths' disagreement, at least, on either side
FAR = 8.0  # voxels: pixels with a larger footprint are too coarse for the surface, and are left out
FINEST = 0.5  # of a pixel's footprint: smaller voxels show nothing more
MOST_BLOCKS = 120_000  # 4 KB each, and about as much again for the triangles in them
COARSER = 1.3  # voxels are enlarged by this until the surface fits into the budget
# Depths that err smear the outlines of things, too, and what is smeared looks like a surface seen at a grazing angle.
# Least ``facing`` of a pixel, by how much the depths disagree (relative), and at most.
SMEARED, MOST_SMEARED = 6.0, 0.1


@dataclass
class FusedMesh:
    """A surface with vertex colours, and a texture where one was asked for.

    Attributes
    ----------
    vertices : (V, 3) float32, OpenCV world
    faces : (F, 3) int32, anticlockwise seen from where the cameras are
    colors : (V, 3) uint8, sRGB
    voxel : edge of the voxels that it was made with, scene units
    noise : how far the depths of one place were from each other, relative, before and after they were brought together
    warnings : sentences for the person
    uv : (3F, 2) float32 of the faces' corners, (0, 0) at the bottom left; None without a texture
    texture : (H, W, 3) uint8, sRGB
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    voxel: float
    noise: Noise
    warnings: list[str] = field(default_factory=list)
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None


class _Found(NamedTuple):
    """What the first way through the frames tells."""

    agreement: Agreement
    noise: Noise
    footprint: float
    origin: np.ndarray
    frames: int


def fuse(pieces: Pieces, settings: Settings, watch: Watch, *, device: str = "cpu") -> FusedMesh:
    """One surface from the frames of many predictions.

    Parameters
    ----------
    pieces : gives pairs of frame numbers and their prediction, all in one world, anew each time it is called (three times
        in all, four where memory runs short): from memory, a cache folder, or streaming's store. Pixels of confidence 0 or
        below Min Confidence, people and sky take no part
    settings : ``min_confidence``, ``fuse_voxel_size``, ``fuse_faces``, ``fuse_texture``
    device : torch's, for the field

    Raises
    ------
    BadInput
        No pixel is left to fuse.
    Cancelled
    """
    found = _survey(pieces, settings, watch)
    wanted = settings.fuse_voxel_size or FOOTPRINTS * found.footprint
    voxel = _voxel(found, wanted)
    while True:
        volume = Volume(voxel, found.origin, BAND * voxel, MOST_BLOCKS, device)
        try:
            for frame, depth in _corrected(pieces, settings, found, voxel, watch, 0.2, 0.6):
                band = NOISY * found.noise.after
                volume.integrate(View(depth, frame.weight, frame.facing, band, frame.intrinsics, frame.extrinsics))
            break
        except VolumeFull:
            voxel *= COARSER
        finally:
            volume.close()
    vertices, faces = extract(volume, 0.0, watch)
    del volume
    coloring = Coloring(vertices, cleaning.normals(vertices, faces), voxel)
    for frame, depth in _corrected(pieces, settings, found, voxel, watch, 0.65, 0.95):
        coloring.add(frame, depth, NOISY * found.noise.after)
    faces = faces[~coloring.contradicted()[faces].any(axis=1)]
    faces = cleaning.without_small_pieces(vertices, faces, voxel)
    if not len(faces):
        raise BadInput("The frames show no surface that could be fused; lower Min Confidence or Fusion Voxel Size")
    used, faces = cleaning.compact(len(vertices), faces)
    vertices, colors = vertices[used], coloring.result()[used]
    if 0 < settings.fuse_faces < len(faces):
        full, full_colors = vertices, colors
        vertices, faces = cleaning.simplified(vertices, faces, settings.fuse_faces)
        colors = full_colors[cKDTree(full).query(vertices)[1]]
    watch.progress(STAGE, 1.0)
    return FusedMesh(vertices.astype(np.float32), faces, colors, voxel, found.noise, _warnings(wanted, voxel))


def _survey(pieces: Pieces, settings: Settings, watch: Watch) -> _Found:
    """What all frames together tell before any is fused."""
    agreement = Agreement()
    footprints: list[float] = []
    centers: list[np.ndarray] = []
    for frame in frames(pieces, settings.min_confidence):
        watch.progress(STAGE, 0.15 * (1.0 - 1.0 / (1.0 + 0.02 * len(centers))))  # how many there will be is not known
        agreement.add(frame)
        centers.append(-frame.extrinsics[:, :3].T @ frame.extrinsics[:, 3])
        seen = frame.depth[frame.depth > 0]
        if len(seen):
            footprints.append(float(np.median(seen)) / frame.intrinsics[0, 0])
    if not footprints:
        raise BadInput("No pixel is sure enough to be fused to a surface; lower Min Confidence")
    noise = agreement.solve(watch)
    return _Found(agreement, noise, float(np.median(footprints)), np.mean(centers, axis=0), len(centers))


def _voxel(found: _Found, wanted: float) -> float:
    """The voxel's edge: ``wanted``, but not too fine for the pixels, nor for the memory."""
    voxel = max(wanted, FINEST * found.footprint)
    while _blocks(found, voxel) > MOST_BLOCKS:
        voxel *= COARSER
    return voxel


def _warnings(wanted: float, voxel: float) -> list[str]:
    """What the person should know of the voxels."""
    if voxel <= wanted * 1.001:
        return []
    return [
        f"Voxels of {wanted:.3g} scene units are too fine for this scene: the fused surface was made with voxels of {voxel:.3g}"
    ]


def _blocks(found: _Found, voxel: float) -> int:
    """How many blocks the small depth maps say there will be."""
    keys = np.zeros(0, np.int64)
    for small in found.agreement.small:
        depth = small.depth * np.exp(small.log_scale)
        depth[depth > _farthest(found, voxel, small.intrinsics[0, 0] * small.step)] = 0.0
        view = View(depth, depth, small.facing, NOISY * found.noise.after, small.intrinsics,
                    small.extrinsics)  # fmt: skip
        keys = np.union1d(keys, surface_blocks(view, found.origin, voxel, BAND * voxel))
        if len(keys) > 4 * MOST_BLOCKS:
            break
    return len(keys)


def _corrected(
    pieces: Pieces, settings: Settings, found: _Found, voxel: float, watch: Watch, begin: float, end: float
) -> Iterator[tuple[Frame, np.ndarray]]:
    """The frames with their depths as the others agree to, (H, W) float32; progress goes from ``begin`` to ``end``."""
    least = min(SMEARED * found.noise.before, MOST_SMEARED)
    for number, frame in enumerate(frames(pieces, settings.min_confidence)):
        watch.progress(STAGE, begin + (end - begin) * number / found.frames)
        far = _farthest(found, voxel, frame.intrinsics[0, 0])
        frame.depth[(frame.facing < least) | (frame.depth > far)] = 0.0
        yield frame, frame.depth * found.agreement.correction(number, frame.depth.shape)


def _farthest(found: _Found, voxel: float, focal: float) -> float:
    """The depth beyond which pixels are too coarse; ``focal`` in pixels."""
    return FAR * max(voxel, FOOTPRINTS * found.footprint) * focal
