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

from ..errors import BadInput
from ..monitor import Monitor
from ..settings import Settings
from .fusion import frame_kernels, mesh_cleaning, texture
from .fusion.depth_agreement import Agreement, Noise
from .fusion.depth_maps import Frame, Pieces, frames
from .fusion.marching_cubes import extract
from .fusion.tsdf_volume import View, Volume, VolumeFull, surface_blocks
from .fusion.vertex_colors import Coloring

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


def fuse(pieces: Pieces, settings: Settings, monitor: Monitor, *, device: str = "cpu") -> FusedMesh:
    """One surface from the frames of many predictions.

    Parameters
    ----------
    pieces : gives pairs of frame numbers and their prediction, all in one world, anew each time it is called (three times
        in all, four where memory runs short): from memory, a cache folder, or streaming's store. Pixels of confidence 0 or
        below Min Confidence, people and sky take no part
    settings : ``min_confidence``, ``fuse_voxel_size``, ``fuse_faces``, ``fuse_texture``
    device : torch's, for the field; where it fails, or its memory does not do, the processor takes over and ``warnings`` says so

    Raises
    ------
    BadInput
        No pixel is left to fuse.
    Cancelled
    """
    found = _survey(pieces, settings, monitor)
    wanted = settings.fuse_voxel_size or FOOTPRINTS * found.footprint
    warnings: list[str] = []
    vertices, faces, voxel = _extracted(
        pieces, settings, found, _voxel(found, wanted, monitor), device, monitor, warnings
    )
    coloring = Coloring(vertices, mesh_cleaning.normals(vertices, faces), voxel)
    try:
        for frame, depth in _corrected(
            pieces, settings, found, voxel, monitor, 0.65, 0.8 if settings.fuse_texture else 0.95
        ):
            coloring.add(frame, depth, NOISY * found.noise.after)
    finally:
        coloring.close()
    faces = faces[~coloring.contradicted()[faces].any(axis=1)]
    faces = mesh_cleaning.without_small_pieces(vertices, faces, voxel)
    if not len(faces):
        raise BadInput("The frames show no surface that could be fused; lower Min Confidence or Fusion Voxel Size")
    used, faces = mesh_cleaning.compact(len(vertices), faces)
    mesh = FusedMesh(vertices[used].astype(np.float32), faces, coloring.result()[used], voxel, found.noise, warnings)
    if voxel > wanted * 1.001:
        mesh.warnings.append(
            f"Voxels of {wanted:.3g} scene units are too fine for this scene: the fused surface was made with voxels of {voxel:.3g}"
        )
    _reduce(mesh, settings)
    if settings.fuse_texture:
        monitor.progress(STAGE, 0.8)
        texel = found.footprint / texture.FINER
        unfolded = texture.unfold(
            mesh.vertices, mesh.faces, mesh_cleaning.normals(mesh.vertices, mesh.faces), texel, monitor
        )
        views = _corrected(pieces, settings, found, voxel, monitor, 0.85, 1.0)
        mesh.uv, mesh.texture = unfolded.uv, texture.paint(unfolded, views, voxel, NOISY * found.noise.after)
    monitor.progress(STAGE, 1.0)
    return mesh


def _extracted(
    pieces: Pieces, settings: Settings, found: _Found, voxel: float, device: str, monitor: Monitor, warnings: list[str]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Vertices and faces of the field of all frames, and its voxels: coarser than ``voxel`` where that does not fit after all."""
    band = NOISY * found.noise.after
    while True:
        volume = Volume(voxel, found.origin, BAND * voxel, MOST_BLOCKS, device)
        try:
            for frame, depth in _corrected(pieces, settings, found, voxel, monitor, 0.2, 0.6):
                volume.integrate(View(depth, frame.weight, frame.facing, band, frame.intrinsics, frame.extrinsics))
            return *extract(volume, 0.0, monitor), voxel
        except VolumeFull:
            voxel *= COARSER
        except (
            RuntimeError
        ) as error:  # torch's: a model may fill the graphics card, and not every card can do everything
            if device == "cpu":
                raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            warnings.append(f"The surface was fused on the processor, as the device {device} failed: {reason}")
            device = "cpu"
        finally:
            volume.close()


def _reduce(mesh: FusedMesh, settings: Settings) -> None:
    """To the wished number of faces, or to what can be unfolded for a texture."""
    target = settings.fuse_faces
    if settings.fuse_texture and len(mesh.faces) > texture.MOST_FACES and not 0 < target <= texture.MOST_FACES:
        target = texture.MOST_FACES
        mesh.warnings.append(f"The fused surface was reduced to {target} faces for its texture")
    if 0 < target < len(mesh.faces):
        vertices, colors = mesh.vertices, mesh.colors
        found, mesh.faces = mesh_cleaning.simplified(vertices.astype(np.float64), mesh.faces, target)
        mesh.vertices = found.astype(np.float32)
        mesh.colors = colors[cKDTree(vertices).query(mesh.vertices)[1]]


def _survey(pieces: Pieces, settings: Settings, monitor: Monitor) -> _Found:
    """What all frames together tell before any is fused."""
    agreement = Agreement()
    footprints: list[float] = []
    centers: list[np.ndarray] = []
    for number, frame in enumerate(frames(pieces, settings.min_confidence)):
        monitor.progress(STAGE, 0.15 * (1.0 - 1.0 / (1.0 + 0.02 * number)))  # how many there will be is not known
        agreement.add(frame)
        seen = frame.depth[frame.depth > 0]
        if len(seen):
            footprints.append(float(np.median(seen)) / frame.intrinsics[0, 0])
            centers.append(-frame.extrinsics[:, :3].T @ frame.extrinsics[:, 3])
    if not footprints:
        raise BadInput("No pixel is sure enough to be fused to a surface; lower Min Confidence")
    noise = agreement.solve(monitor)
    return _Found(agreement, noise, float(np.median(footprints)), np.mean(centers, axis=0), len(agreement.small))


def _voxel(found: _Found, wanted: float, monitor: Monitor) -> float:
    """The voxel's edge: ``wanted``, but not too fine for the pixels, nor for the memory."""
    voxel = max(wanted, FINEST * found.footprint)
    while (count := _blocks(found, voxel, monitor)) > MOST_BLOCKS:
        voxel *= max(COARSER, (count / MOST_BLOCKS) ** 0.5)  # a surface's blocks are as many as its area over theirs
    return voxel


def _blocks(found: _Found, voxel: float, monitor: Monitor) -> int:
    """How many blocks the small depth maps say there will be; counted up to four times the budget."""
    keys, fresh = np.zeros(0, np.int64), []
    for small in found.agreement.small:
        monitor.check()
        depth = small.depth * np.exp(small.log_scale)
        depth[depth > _farthest(found, voxel, small.intrinsics[0, 0] * small.step)] = 0.0
        view = View(depth, depth, small.facing, NOISY * found.noise.after, small.intrinsics,
                    small.extrinsics)  # fmt: skip
        fresh.append(surface_blocks(view, found.origin, voxel, BAND * voxel))
        if sum(map(len, fresh)) > MOST_BLOCKS:
            keys, fresh = np.unique(np.concatenate([keys, *fresh])), []
            if len(keys) > 4 * MOST_BLOCKS:
                break
    return len(np.unique(np.concatenate([keys, *fresh])))


def _corrected(
    pieces: Pieces, settings: Settings, found: _Found, voxel: float, monitor: Monitor, begin: float, end: float
) -> Iterator[tuple[Frame, np.ndarray]]:
    """The frames with their depths as the others agree to, (H, W) float32; progress goes from ``begin`` to ``end``."""
    least = min(SMEARED * found.noise.before, MOST_SMEARED)
    for number, frame in enumerate(frames(pieces, settings.min_confidence)):
        monitor.progress(STAGE, begin + (end - begin) * number / found.frames)
        far = _farthest(found, voxel, frame.intrinsics[0, 0])
        factor = found.agreement.correction(number, frame.depth.shape)
        yield frame, frame_kernels.corrected(frame.depth, frame.facing, factor, least, far)


def _farthest(found: _Found, voxel: float, focal: float) -> float:
    """The depth beyond which pixels are too coarse; ``focal`` in pixels."""
    return FAR * max(voxel, FOOTPRINTS * found.footprint) * focal
