"""Which objects a batch becomes: what stands still, what moves, and things with names; a sample of all points of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..files.names import cut, readable
from ..geometry.projection import points_from_blender
from ..prediction.prediction import Prediction
from ..settings import Settings
from . import blender_arrays
from .payload import CameraRecord, Part, PointArrays, by_frame, in_order_of_frames
from .splats.thinning import Thinner

MOVING, SEGMENTED = "Moving", "Segmented"  # collections
BACKGROUND = "Background"
POINTS = "_Points"
#: Bytes of an image's name in an object's, so that both fit into the 63 that Blender before 5.0 has for a name.
LONGEST_LABEL = 32


def point_parts(
    prediction: Prediction,
    indices: Sequence[int],
    settings: Settings,
    *,
    motion: np.ndarray | None = None,
    moving: np.ndarray | None = None,
    names: Mapping[int, str] | None = None,
    labels: Mapping[int, str] | None = None,
    merge: Callable[[PointArrays], PointArrays] = lambda cloud: cloud,
    thinner: Thinner | None = None,
) -> list[Part]:
    """The objects of N frames as point clouds.

    Static points of all frames are one object, or with ``prediction.object_id`` one for each thing and ``Background``. Moving
    points are an object for each frame, ``Moving_<image>``, that shows at that frame only; those of a tracked thing are one
    object that plays.

    Parameters
    ----------
    prediction : with cameras
    indices : N, the frames' places in the input
    motion : (N, H, W) float32, becomes an attribute
    moving : (N, H, W) bool
    names : of the ids in ``prediction.object_id``
    labels : of the frames, as ``frame_labels`` makes them; else their numbers
    merge : what is done to the static points before they are shared out
    thinner : of the run, for its splats that stand still
    """
    names, labels = names or {}, labels or {index: str(index) for index in indices}
    still = None if moving is None else ~moving
    cloud = merge(_cloud(prediction, indices, settings, still, motion, thinner))
    parts = list(_static_parts(cloud, settings, names, labels))
    if moving is not None and moving.any():
        cloud = in_order_of_frames(_cloud(prediction, indices, settings, moving, motion))
        for number, thing in _by_object(cloud):
            if number:
                parts.append(Part(name_of(number, names), thing, MOVING, plays=True))
                continue
            own = by_frame(thing, indices)
            parts += [Part(f"Moving_{labels[frame]}", points, MOVING, frame) for frame, points in own]
    return parts


def name_of(number: int, names: Mapping[int, str]) -> str:
    """Of a tracked thing, also of one that nobody has named."""
    return names.get(number, f"thing_{number}")


def frame_labels(records: Sequence[CameraRecord]) -> dict[int, str]:
    """What the objects of each frame are called after: its image; where that is too long or not the only one, its number too.

    Parameters
    ----------
    records : of a batch's cameras
    """
    count = Counter(readable(record.name) for record in records)
    labels = {}
    for record in records:
        name = readable(record.name)
        label = cut(name, LONGEST_LABEL)
        labels[record.frame] = label if label == name and count[name] == 1 else f"{label}_{record.frame}"
    return labels


def _cloud(
    prediction: Prediction,
    indices: Sequence[int],
    settings: Settings,
    chosen: np.ndarray | None,
    motion: np.ndarray | None,
    thinner: Thinner | None = None,
) -> PointArrays:
    return blender_arrays.points(
        prediction, indices, settings.min_confidence, chosen=chosen, motion=motion, splats=settings.makes_splats,
        thinner=thinner,
    )  # fmt: skip


def _static_parts(
    cloud: PointArrays, settings: Settings, names: Mapping[int, str], labels: Mapping[int, str]
) -> Iterator[Part]:
    groups: list[tuple[str, str, PointArrays]] = [(POINTS, "", cloud)]
    if cloud.object_id is not None:
        groups = [
            (name_of(number, names) if number else BACKGROUND, SEGMENTED, thing) for number, thing in _by_object(cloud)
        ]
    for name, group, points in groups:
        if not settings.per_frame_geometry:
            yield Part(name, points, group)
            continue
        ordered = in_order_of_frames(points)
        for frame, own in by_frame(ordered, np.unique(ordered.frame).tolist()):
            label = labels.get(frame, str(frame))  # merged points may be of a frame of an earlier batch
            yield Part(f"_Frame_{label}" if name == POINTS else f"{name}_{label}", own, group, frame)


def _by_object(cloud: PointArrays) -> Iterator[tuple[int, PointArrays]]:
    """Each thing's points under its id; all under 0 where there are no ids."""
    if cloud.object_id is None:
        yield 0, cloud
        return
    for number in np.unique(cloud.object_id).tolist():
        yield number, cloud.select(cloud.object_id == number)


class EvenSample:
    """Evenly spaced points of a stream that is longer than one wants to keep; ``most``: how many at most."""

    def __init__(self, most: int):
        self._most = most
        self._step = 1
        self._seen = 0
        self._position = np.zeros((0, 3), np.float32)
        self._color = np.zeros((0, 3), np.float32)
        self._batch = np.zeros(0, np.int32)

    def add(self, cloud: PointArrays, batch: int) -> None:
        first = -self._seen % self._step
        self._position = np.concatenate([self._position, cloud.position[first :: self._step]])
        self._color = np.concatenate([self._color, cloud.point_color[first :: self._step, :3]])
        added = len(self._position) - len(self._batch)
        self._batch = np.concatenate([self._batch, np.full(added, batch, np.int32)])
        self._seen += len(cloud)
        while len(self._position) > self._most:
            self._position, self._color, self._batch = self._position[::2], self._color[::2], self._batch[::2]
            self._step *= 2

    def move(self, moves: Sequence[np.ndarray]) -> None:
        """The points of each batch by its (4, 4) similarity."""
        for batch, matrix in enumerate(moves):
            own = self._batch == batch
            self._position[own] = self._position[own] @ matrix[:3, :3].T + matrix[:3, 3]

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """(P, 3) in OpenCV axes and (P, 3) uint8 sRGB."""
        return points_from_blender(self._position), blender_arrays.srgb_from_linear(self._color)
