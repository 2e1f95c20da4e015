"""From a batch to what Blender copies: flat arrays in Blender's axes, cameras as plain numbers.

All arithmetic is done here, in the worker, so that Blender's main thread has nothing to do but ``foreach_set``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .geometry import cameras_to_blender, points_to_blender, unproject
from .prediction import Prediction
from .resizing import Placement

# One object's arrays are copied in single calls; this many points keep each call under the 50 ms of a timer tick.
MAX_POINTS_PER_OBJECT = 2_000_000


@dataclass(frozen=True)
class PointArrays:
    """P points, ready for ``foreach_set``: contiguous, in the types Blender stores."""

    position: np.ndarray  # (P, 3) float32, Blender's world
    point_color: np.ndarray  # (P, 4) float32, linear RGBA
    conf: np.ndarray  # (P,) float32
    frame: np.ndarray  # (P,) int32, index of the frame in the input

    def __len__(self) -> int:
        return len(self.position)

    def save(self, folder: Path, stem: str) -> dict[str, str]:
        """Write each array as ``<stem>_<name>.npy``; the file names by array name."""
        files = {}
        for f in fields(self):
            files[f.name] = f"{stem}_{f.name}.npy"
            np.save(folder / files[f.name], getattr(self, f.name))
        return files

    @classmethod
    def open(cls, folder: Path, files: dict[str, str]) -> PointArrays:
        """Memory-map what ``save`` wrote."""
        return cls(**{name: np.load(folder / file, mmap_mode="r") for name, file in files.items()})


@dataclass(frozen=True)
class CameraRecord:
    """One camera as the report, the protocol and ``nodes/cameras.py`` know it."""

    name: str  # the image's stem
    frame: int  # index in the input
    camera_to_world: tuple[float, ...]  # 16 numbers row by row, Blender's axes
    fx: float  # pixels of the processed image, as are the next five
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    image: str  # path of the original
    placement: tuple[int, int, int, int]  # left, top, width, height of the original on the processed canvas

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CameraRecord:
        lists = {key: tuple(record[key]) for key in ("camera_to_world", "placement")}
        return cls(**{**record, **lists})


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB to (..., 3) float32 linear, by IEC 61966-2-1."""
    srgb = np.arange(256) / 255.0
    table = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[colors]


def points(prediction: Prediction, indices: Sequence[int], min_confidence: float) -> PointArrays:
    """The points of every pixel that has a depth and enough confidence.

    Parameters
    ----------
    prediction : with cameras, N frames
    indices : N, the frames' places in the input
    min_confidence : pixels below are dropped
    """
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    kept = (prediction.depth > 0) & (prediction.conf >= min_confidence) & (prediction.conf > 0)
    world = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)
    frame = np.broadcast_to(np.asarray(indices, np.int32)[:, None, None], kept.shape)
    return PointArrays(
        points_to_blender(world[kept]), rgba(prediction.images[kept]), prediction.conf[kept], frame[kept]
    )


def rgba(colors: np.ndarray) -> np.ndarray:
    """(P, 3) uint8 sRGB to (P, 4) float32 linear with alpha 1."""
    out = np.ones((len(colors), 4), np.float32)
    out[:, :3] = linear_from_srgb(colors)
    return out


def split(cloud: PointArrays, most: int = MAX_POINTS_PER_OBJECT) -> Iterator[PointArrays]:
    """Parts of nearly equal size, none larger than ``most`` points."""
    parts = max(1, -(-len(cloud) // most))
    edges = np.linspace(0, len(cloud), parts + 1).astype(int)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        yield PointArrays(**{f.name: getattr(cloud, f.name)[low:high] for f in fields(cloud)})


def cameras(
    prediction: Prediction,
    indices: Sequence[int],
    images: Sequence[Path],
    placements: Sequence[Placement],
) -> list[CameraRecord]:
    """A record for each of the prediction's N frames; ``images`` and ``placements``: N."""
    assert prediction.extrinsics is not None and prediction.intrinsics is not None
    matrices = cameras_to_blender(prediction.extrinsics)
    height, width = prediction.depth.shape[1:]
    return [
        CameraRecord(
            name=path.stem, frame=int(index), camera_to_world=tuple(matrix.ravel().tolist()),
            fx=float(k[0, 0]), fy=float(k[1, 1]), cx=float(k[0, 2]), cy=float(k[1, 2]), width=width, height=height,
            image=str(path), placement=(place.left, place.top, place.width, place.height),
        )
        for index, path, matrix, k, place in zip(
            indices, images, matrices, prediction.intrinsics, placements, strict=True
        )
    ]  # fmt: skip
