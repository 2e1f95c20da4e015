"""A surface for each image: its pixels are the vertices of a grid, which is cut where the depth jumps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..frames.pixels.orientation import STORED_AT, UPRIGHT
from ..geometry.projection import points_to_blender, unproject
from ..output.blender_arrays import rgba
from ..output.payload import CameraRecord, MeshArrays, Part, cameras_of
from ..output.point_clouds import BACKGROUND, MOVING, SEGMENTED, frame_labels, name_of
from ..prediction.prediction import Prediction
from ..settings import Settings

if TYPE_CHECKING:
    pass

MESH = "_Mesh"


def mesh_parts(
    prediction: Prediction,
    indices: Sequence[int],
    records: Sequence[CameraRecord],
    settings: Settings,
    *,
    motion: np.ndarray | None = None,
    moving: np.ndarray | None = None,
    names: Mapping[int, str] | None = None,
    packed: Sequence[str] = (),
) -> list[Part]:
    """The objects of N frames as meshes, at least one for each frame that has a surface.

    A mesh holds every pixel with a depth that no filter has removed (confidence above 0), so that Min Confidence, which the
    modifier applies, can be lowered afterwards. With ``prediction.object_id`` each thing has a mesh of its own, and so has
    what moves; between moving and still nothing is joined.

    Parameters
    ----------
    prediction : with cameras
    indices : N, the frames' places in the input; the views of a panorama have one
    records : N, of its cameras
    motion : (N, H, W) float32, becomes an attribute
    moving : (N, H, W) bool
    names : of the ids in ``prediction.object_id``
    packed : N file names, empty where the picture is that of the record and not a file of the job
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    grid = Grid.of(*prediction.depth.shape[1:])
    parts, labels = [], _labels(records)
    for i, (index, record) in enumerate(zip(indices, records, strict=True)):
        one = slice(i, i + 1)
        (world,) = unproject(prediction.depth[one], prediction.intrinsics[one], prediction.extrinsics[one])
        depth, conf = prediction.depth[i], prediction.conf[i]
        faces = corners_agree((depth > 0) & (conf > 0)) & edges_fit(world, depth, settings.mesh_edge_length)
        values = {"conf": conf, "depth": depth, "frame": np.full(depth.shape, index, np.int32)}
        if motion is not None:
            values["motion"] = motion[i].astype(np.float32)
        ids = None if prediction.object_id is None else prediction.object_id[i].astype(np.int32)
        if ids is not None:
            values["object_id"] = ids
        colors, uv = prediction.images[i].reshape(-1, 3), picture_coordinates(record, stored=not (packed and packed[i]))
        for name, group, own in _shares(faces, ids, None if moving is None else moving[i], names or {}):
            topology = grid.cut(own)
            kept = topology.kept
            arrays = MeshArrays(
                points_to_blender(world.reshape(-1, 3)[kept]), topology.corners, rgba(colors[kept]),
                uv=uv[kept][topology.corners.ravel()], edges=topology.edges, corner_edges=topology.corner_edges,
                **{key: np.ascontiguousarray(value.ravel()[kept]) for key, value in values.items()},
            )  # fmt: skip
            shown = index if group == MOVING or settings.per_frame_geometry else None
            copy = packed[i] if packed else ""
            parts.append(
                Part(f"{name}_{labels[i]}", arrays, group, shown, image=copy or record.image, packed=bool(copy))
            )
    return parts


def _labels(records: Sequence[CameraRecord]) -> list[str]:
    """What the mesh of each record is called after; those of a panorama's views are counted."""
    labels, frames = frame_labels(cameras_of(records)), [record.frame for record in records]
    counted = [f"_{frames[:i].count(frame)}" if frames.count(frame) > 1 else "" for i, frame in enumerate(frames)]
    return [f"{labels[frame]}{count}" for frame, count in zip(frames, counted, strict=True)]


def picture_coordinates(record: CameraRecord, *, stored: bool = True) -> np.ndarray:
    """(H * W, 2) float32, where each pixel of the processed image lies in the original's file: 0 to 1, v up.

    ``stored``: as the file has it; else as in an upright copy.
    """
    left, top, width, height = record.placement
    v, u = np.mgrid[0.5 : record.height, 0.5 : record.width]
    across, down = STORED_AT[record.orientation if stored else UPRIGHT]((u - left) / width, (v - top) / height)
    return np.stack([across, 1.0 - down], axis=-1, dtype=np.float32).reshape(-1, 2)


def _shares(
    faces: np.ndarray, ids: np.ndarray | None, moving: np.ndarray | None, names: Mapping[int, str]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, group and faces of each object of one frame; all (H - 1, W - 1) bool, those without any face left out."""
    flows = np.zeros_like(faces) if moving is None else corners_agree(moving)
    rests = faces if moving is None else faces & corners_agree(~moving)
    # A face between two things goes with its first corner, so that no gap shows between a thing and what it stands on.
    owner = np.zeros(faces.shape, np.int32) if ids is None else ids[:-1, :-1]
    for number in np.unique(owner[rests]).tolist():
        named = (name_of(number, names) if number else BACKGROUND, SEGMENTED)
        yield *((MESH, "") if ids is None else named), rests & (owner == number)
    for number in np.unique(owner[faces & flows]).tolist():
        yield (name_of(number, names) if number else MOVING), MOVING, faces & flows & (owner == number)


def corners_agree(pixels: np.ndarray) -> np.ndarray:
    """(H - 1, W - 1) bool, the faces of which all corners are among the ``pixels``, (H, W) bool."""
    return pixels[:-1, :-1] & pixels[1:, :-1] & pixels[1:, 1:] & pixels[:-1, 1:]


def edges_fit(world: np.ndarray, depth: np.ndarray, limit: float) -> np.ndarray:
    """(H - 1, W - 1) bool, the faces without an edge longer than ``limit`` times the mean depth of its ends.

    Parameters
    ----------
    world : (H, W, 3) float32, in the unit of ``depth``
    depth : (H, W) float32, z-depth
    """
    fits = []
    for low, high in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        step = world[high] - world[low]
        reach = limit * 0.5 * (depth[high] + depth[low])
        fits.append(np.einsum("...i,...i", step, step) <= reach * reach)
    right, down = fits
    return right[:-1] & right[1:] & down[:, :-1] & down[:, 1:]


@dataclass(frozen=True)
class Topology:
    """V vertices, F faces and E edges of a part of a grid."""

    kept: np.ndarray  # (V,) int, pixels row by row
    corners: np.ndarray  # (F, 4) int32
    edges: np.ndarray  # (E, 2) int32
    corner_edges: np.ndarray  # (F, 4) int32


@dataclass(frozen=True)
class Grid:
    """All faces and edges between H x W pixels: index arrays that the frames of one size share.

    A face is named after its top-left pixel, and lists its corners as the camera sees them counter-clockwise, so that
    normals look at the camera. Edges to the right come first, row by row, then those down.
    """

    pixels: int  # H * W
    corners: np.ndarray  # (H - 1, W - 1, 4) int32, pixels
    edges: np.ndarray  # (E, 2) int32, pixels
    corner_edges: np.ndarray  # (H - 1, W - 1, 4) int32

    @classmethod
    def of(cls, height: int, width: int) -> Grid:
        pixel = np.arange(height * width, dtype=np.int32).reshape(height, width)
        right = np.arange(height * (width - 1), dtype=np.int32).reshape(height, width - 1)
        down = right.size + np.arange((height - 1) * width, dtype=np.int32).reshape(height - 1, width)
        ends = ((pixel[:, :-1], pixel[:, 1:]), (pixel[:-1], pixel[1:]))
        return cls(
            pixel.size,
            np.stack([pixel[:-1, :-1], pixel[1:, :-1], pixel[1:, 1:], pixel[:-1, 1:]], axis=-1),
            np.concatenate([np.stack(pair, axis=-1).reshape(-1, 2) for pair in ends]),
            np.stack([down[:, :-1], right[1:], down[:, 1:], right[:-1]], axis=-1),
        )

    def cut(self, faces: np.ndarray) -> Topology:
        """The part of the grid that has these ``faces``, (H - 1, W - 1) bool, numbered anew without gaps."""
        corners, corner_edges = self.corners[faces], self.corner_edges[faces]
        kept, vertex = _renumbered(corners, self.pixels)
        used, edge = _renumbered(corner_edges, len(self.edges))
        return Topology(kept, vertex[corners], vertex[self.edges[used]], edge[corner_edges])


def _renumbered(used: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of ``count`` things those that are ``used`` (numbers, in any shape and again and again), and the new number of each."""
    is_used = np.zeros(count, bool)
    is_used[used.ravel()] = True
    return np.flatnonzero(is_used), np.cumsum(is_used, dtype=np.int32) - np.int32(1)
