"""What the worker hands to Blender: flat arrays and plain numbers, made by ``blender_arrays.py``, built by ``nodes/``.

Imported on both sides, so it needs numpy and nothing else.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DA3Error
from ..files.names import readable

if TYPE_CHECKING:
    from typing import Self

# One object's arrays are copied in single calls; this many points keep each call under the 50 ms of a timer tick.
MAX_POINTS_PER_OBJECT = 2_000_000
# Radius of a dot in widths of its pixel: discs on a square grid leave no hole from 0.71 on; the rest is for surfaces that
# are seen a bit from the side.
FILLS_A_PIXEL = 0.8


class Arrays:
    """Arrays of one length under names; those that are None are not there. Mix into a frozen dataclass."""

    def given(self) -> dict[str, np.ndarray]:
        """Those that are there, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]  # of a dataclass
        return {name: array for name, array in named.items() if array is not None}

    def save(self, folder: Path, stem: str) -> dict[str, str]:
        """Write each array as ``<stem>_<name>.npy``; the file names by array name."""
        files = {name: f"{stem}_{name}.npy" for name in self.given()}

        def write(name: str, array: np.ndarray) -> None:
            np.save(folder / files[name], np.ascontiguousarray(array))  # row by row, as Blender copies it

        with ThreadPoolExecutor(len(files)) as threads:  # most of the time goes into the system's pages
            list(threads.map(write, files, self.given().values()))
        return files

    @classmethod
    def open(cls, folder: Path, files: dict[str, str]) -> Self:
        """Memory-map what ``save`` wrote.

        Raises
        ------
        DA3Error
            A file has gone, or is not what it was.
        """
        try:
            return cls(**{name: np.load(folder / file, mmap_mode="r") for name, file in files.items()})
        except (OSError, ValueError) as error:
            raise DA3Error(
                f"The worker's files in '{folder}' have gone or were changed ({error}): run again"
            ) from error


@dataclass(frozen=True)
class PointArrays(Arrays):
    """P points, ready for ``foreach_set``: contiguous, in the types Blender stores."""

    position: np.ndarray  # (P, 3) float32, Blender's world
    point_color: np.ndarray  # (P, 4) float32, linear RGBA
    conf: np.ndarray  # (P,) float32
    frame: np.ndarray  # (P,) int32, index of the frame in the input
    motion: np.ndarray | None = None  # (P,) float32, share of the other views that see empty space here
    object_id: np.ndarray | None = None  # (P,) int32, of the tracked thing; 0 is none
    radius: np.ndarray | None = None  # (P,) float32, of a dot that fills its pixel's footprint, in the scene's unit
    # A Gaussian splat of each point; all three or none.
    scale: np.ndarray | None = None  # (P, 3) float32, standard deviations along its axes; 0: another covers the place
    rotation: np.ndarray | None = None  # (P, 4) float32, quaternion (w, x, y, z) to Blender's world
    radiance: np.ndarray | None = None  # (P, 4) float32, constant spherical harmonic of red, green, blue; opacity

    def __len__(self) -> int:
        return len(self.position)

    def select(self, rows: Any) -> PointArrays:
        """Those points; ``rows``: a slice (a view), indices or (P,) bool."""
        return PointArrays(**{name: array[rows] for name, array in self.given().items()})

    def without_splats(self) -> PointArrays:
        """The same points as dots only."""
        return replace(self, scale=None, rotation=None, radiance=None)


@dataclass(frozen=True)
class MeshArrays(Arrays):
    """A mesh of V vertices and F faces of K corners each, ready for ``foreach_set``.

    ``edges`` and ``corner_edges`` come together; without them Blender finds the edges itself, which takes it longer.
    """

    position: np.ndarray  # (V, 3) float32, Blender's world
    corners: np.ndarray  # (F, K) int32, vertices of each face, seen counter-clockwise from the side it faces
    point_color: np.ndarray  # (V, 4) float32, linear RGBA
    conf: np.ndarray | None = None  # (V,) float32
    depth: np.ndarray | None = None  # (V,) float32, z-depth in the scene's unit, from the camera that saw it
    uv: np.ndarray | None = None  # (F * K, 2) float32 by corner, v up; into the image that the part names
    edges: np.ndarray | None = None  # (E, 2) int32, vertices
    corner_edges: np.ndarray | None = None  # (F, K) int32, the edge from each corner to the next
    frame: np.ndarray | None = None  # (V,) int32
    motion: np.ndarray | None = None  # (V,) float32
    object_id: np.ndarray | None = None  # (V,) int32

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class TrackArrays(Arrays):
    """T points that were followed from image to image, the best first."""

    position: np.ndarray  # (T, 3) float32, Blender's world
    error: np.ndarray  # (T,) float32, mean reprojection error, pixels of the originals
    track_length: np.ndarray  # (T,) int32, how many images see it

    def __len__(self) -> int:
        return len(self.position)


KINDS: dict[str, type[PointArrays | MeshArrays | TrackArrays]] = {
    "points": PointArrays, "mesh": MeshArrays, "tracks": TrackArrays,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One object to build: its arrays, and where and when it shows."""

    name: str  # of the object; one that starts with "_" is written behind its batch's name
    arrays: PointArrays | MeshArrays | TrackArrays
    group: str = ""  # collection of the run that it goes into ("Moving", "Segmented"); empty: its batch's
    frame: int | None = None  # the one frame of the timeline that it shows at; None: always
    plays: bool = False  # shows at each frame of the timeline what its attribute ``frame`` says is of that frame
    image: str = ""  # path of the picture that a mesh's ``uv`` lies in
    packed: bool = False  # the picture is a file of the job, under its bare name, and goes into the .blend

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays; the rest, and where they are, as plain values."""
        about = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "arrays"}
        kind = next(name for name, kind in KINDS.items() if isinstance(self.arrays, kind))
        return {**about, "kind": kind, "count": len(self.arrays), "files": self.arrays.save(folder, stem)}

    @classmethod
    def open(cls, folder: Path, record: dict[str, Any]) -> Part:
        """What ``save`` wrote, memory-mapped; a packed picture is looked for in the same folder."""
        about = {key: value for key, value in record.items() if key not in ("kind", "count", "files")}
        if about["packed"]:
            about["image"] = str(folder / about["image"])
        return cls(arrays=KINDS[record["kind"]].open(folder, record["files"]), **about)


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
    orientation: int = 1  # EXIF's: how the pixels lie in the original's file, 1 is upright
    photo: tuple[int, int] = (0, 0)  # upright width and height of the original in pixels; 0 where nobody knows
    video: str = ""  # path of the video that the original is frame ``frame`` of
    distortion: tuple[float, float, float] = (0.0, 0.0, 0.0)  # k1 k2 k3 of the original, see ``Prediction``
    reprojection_error: float = 0.0  # pixels of the original, see ``Prediction``; 0: not known
    turn: tuple[float, ...] = ()  # of a view into a panorama: 9 numbers, from the panorama's axes to the view's
    is_panorama: bool = False  # equirectangular: fx and fy are pixels per radian
    input: str = ""  # of several inputs, the name of this one's
    copy: str = ""  # an upright picture for Blender to keep, where it cannot show the original: a file of the job

    @property
    def field_of_view(self) -> tuple[float, float]:
        """(horizontal, vertical) angle in degrees from one border of the image to the other."""
        if self.is_panorama:
            return math.degrees(self.width / self.fx), math.degrees(self.height / self.fy)
        return (
            math.degrees(math.atan(self.cx / self.fx) + math.atan((self.width - self.cx) / self.fx)),
            math.degrees(math.atan(self.cy / self.fy) + math.atan((self.height - self.cy) / self.fy)),
        )

    @property
    def intrinsics(self) -> dict[str, float]:
        """Pixels of the processed image, and degrees, by the names that files and custom properties have."""
        horizontal, vertical = self.field_of_view
        return {
            "fx": self.fx, "fy": self.fy, "cx": self.cx, "cy": self.cy, "fov_h_deg": horizontal, "fov_v_deg": vertical
        }  # fmt: skip

    @property
    def picture(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels of the original; of the processed image where that is not known."""
        (wide, high), (across, down) = self.photo, self.placement[2:]
        if not wide or not high:
            return self.width, self.height
        return max(1, round(self.width * wide / across)), max(1, round(self.height * high / down))

    def moved(self, similarity: np.ndarray) -> CameraRecord:
        """The camera in a world that a (4, 4) similarity moves; its own axes keep their length."""
        matrix = similarity @ np.reshape(self.camera_to_world, (4, 4))
        matrix[:3, :3] /= np.cbrt(np.linalg.det(matrix[:3, :3]))
        return replace(self, camera_to_world=tuple(matrix.ravel().tolist()))

    def whole(self) -> CameraRecord:
        """The panorama's own camera, of a view into it; others as they are."""
        if not self.turn:
            return self
        width, height = self.photo
        axes = np.diag([1.0, -1.0, -1.0])  # from OpenCV's camera axes to Blender's
        matrix = np.reshape(self.camera_to_world, (4, 4)).copy()
        matrix[:3, :3] = matrix[:3, :3] @ axes @ np.reshape(self.turn, (3, 3)) @ axes
        return replace(
            self, camera_to_world=tuple(matrix.ravel().tolist()), fx=width / (2.0 * math.pi), fy=height / math.pi,
            cx=width / 2.0, cy=height / 2.0, width=width, height=height, placement=(0, 0, width, height), turn=(),
            is_panorama=True,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        # All of it is plain: ``asdict`` would copy each number.
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def open(cls, folder: Path, record: dict[str, Any]) -> CameraRecord:
        """What ``to_json`` gave; a copy is looked for in ``folder``, the job's."""
        camera = cls.from_json(record)
        return replace(camera, copy=str(folder / camera.copy)) if camera.copy else camera

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CameraRecord:
        complete = {"photo": (0, 0), "distortion": (0.0, 0.0, 0.0), "turn": (), **record}  # unknown to older kept runs
        lists = {key: tuple(complete[key]) for key in ("camera_to_world", "placement", "photo", "distortion", "turn")}
        return cls(**{**complete, **lists})


def cameras_of(records: Iterable[CameraRecord]) -> list[CameraRecord]:
    """The cameras that a scene gets: one for each panorama instead of one for each view into it."""
    first: dict[tuple[str, int], CameraRecord] = {}
    for number, record in enumerate(records):
        first.setdefault(("panorama", record.frame) if record.turn else ("image", number), record)
    return [record.whole() for record in first.values()]


def split(cloud: PointArrays, most: int = MAX_POINTS_PER_OBJECT) -> Iterator[PointArrays]:
    """Parts of nearly equal size, none larger than ``most`` points."""
    parts = max(1, -(-len(cloud) // most))
    edges = np.linspace(0, len(cloud), parts + 1).astype(int)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        yield cloud.select(slice(low, high))


def in_order_of_frames(cloud: PointArrays) -> PointArrays:
    """The same points, those of a frame one after another; frames rise."""
    if (np.diff(cloud.frame) >= 0).all():
        return cloud
    return cloud.select(np.argsort(cloud.frame, kind="stable"))


def by_frame(cloud: PointArrays, frames: Iterable[int]) -> Iterator[tuple[int, PointArrays]]:
    """The points of each frame that has any, as views; the cloud must be as ``in_order_of_frames`` makes it."""
    for frame in sorted(set(frames)):
        low, high = np.searchsorted(cloud.frame, (frame, frame + 1))
        if high > low:
            yield frame, cloud.select(slice(low, high))


def camera_table(cameras: Iterable[CameraRecord]) -> str:
    """The cameras' intrinsics as CSV, one line per camera under a line of titles; pixels and degrees."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("frame", "name", "fx", "fy", "cx", "cy", "fov_h_deg", "fov_v_deg"))
    for camera in cameras:
        numbers = camera.intrinsics.values()
        writer.writerow((camera.frame, readable(camera.name), *(f"{number:.6f}" for number in numbers)))
    return text.getvalue()
