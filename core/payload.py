"""What the worker hands to Blender: flat arrays and plain numbers, made by ``delivery.py``, built by ``nodes/``.

Imported on both sides, so it needs numpy and nothing else.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

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

    @property
    def field_of_view(self) -> tuple[float, float]:
        """(horizontal, vertical) angle in degrees from one border of the image to the other."""
        return (
            math.degrees(math.atan(self.cx / self.fx) + math.atan((self.width - self.cx) / self.fx)),
            math.degrees(math.atan(self.cy / self.fy) + math.atan((self.height - self.cy) / self.fy)),
        )

    def moved(self, similarity: np.ndarray) -> CameraRecord:
        """The camera in a world that a (4, 4) similarity moves; its own axes keep their length."""
        matrix = similarity @ np.reshape(self.camera_to_world, (4, 4))
        matrix[:3, :3] /= np.cbrt(np.linalg.det(matrix[:3, :3]))
        return replace(self, camera_to_world=tuple(matrix.ravel().tolist()))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CameraRecord:
        lists = {key: tuple(record[key]) for key in ("camera_to_world", "placement")}
        return cls(**{**record, **lists})


def split(cloud: PointArrays, most: int = MAX_POINTS_PER_OBJECT) -> Iterator[PointArrays]:
    """Parts of nearly equal size, none larger than ``most`` points."""
    parts = max(1, -(-len(cloud) // most))
    edges = np.linspace(0, len(cloud), parts + 1).astype(int)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        yield PointArrays(**{f.name: getattr(cloud, f.name)[low:high] for f in fields(cloud)})


def in_order_of_frames(cloud: PointArrays) -> PointArrays:
    """The same points, those of a frame one after another; frames rise."""
    if (np.diff(cloud.frame) >= 0).all():
        return cloud
    order = np.argsort(cloud.frame, kind="stable")
    return PointArrays(**{f.name: getattr(cloud, f.name)[order] for f in fields(cloud)})


def by_frame(cloud: PointArrays, frames: Iterable[int]) -> Iterator[tuple[int, PointArrays]]:
    """The points of each frame that has any, as views; the cloud must be as ``in_order_of_frames`` makes it."""
    for frame in sorted(set(frames)):
        low, high = np.searchsorted(cloud.frame, (frame, frame + 1))
        if high > low:
            yield frame, PointArrays(**{f.name: getattr(cloud, f.name)[low:high] for f in fields(cloud)})


def camera_table(cameras: Iterable[CameraRecord]) -> str:
    """The cameras' intrinsics as CSV, one line per camera under a line of titles; pixels and degrees."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("frame", "name", "fx", "fy", "cx", "cy", "fov_h_deg", "fov_v_deg"))
    for camera in cameras:
        numbers = (camera.fx, camera.fy, camera.cx, camera.cy, *camera.field_of_view)
        writer.writerow((camera.frame, camera.name, *(f"{number:.6f}" for number in numbers)))
    return text.getvalue()
