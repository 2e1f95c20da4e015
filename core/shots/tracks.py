"""A run's tracks, gathered from its batches: the best as an object, and what another way of the camera costs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry.projection import points_to_blender
from ..output.calibration import original_intrinsics
from ..output.payload import CameraRecord, Part, TrackArrays
from ..prediction.prediction import Prediction, Tracks

NAME = "_Tracks"
MOST = 20_000  # that become an object: more than a person can look through, and a shot of minutes has millions
FEWEST_IMAGES = 3  # that see a track; where two see it, each place along a line of sight fits


@dataclass(frozen=True)
class _Batch:
    tracks: Tracks | None
    cameras: Sequence[CameraRecord]  # N
    depths: np.ndarray  # (N,) median depth of each frame, the scene's unit; 0 where it has none


class Gathered:
    """The tracks of a run's batches; add the batches in their order, each as it is given out."""

    def __init__(self) -> None:
        self._batches: list[_Batch] = []

    def add(self, prediction: Prediction, cameras: Sequence[CameraRecord]) -> None:
        """Take in a batch with its N cameras."""
        known = [depth[depth > 0] for depth in prediction.depth[:, ::4, ::4]]
        depths = np.array([float(np.median(depth)) if depth.size else 0.0 for depth in known])
        self._batches.append(_Batch(prediction.tracks, cameras, depths))

    def part(self, moves: Sequence[np.ndarray] = ()) -> Part | None:
        """The best tracks as an object, each once; None where nothing was followed.

        Best is what is known best where it is: the mean of n places that are each ``error`` off is off by error / sqrt(n).

        Parameters
        ----------
        moves : of streaming, (4, 4) similarities in Blender's axes, one for each batch: where it goes at last
        """
        given = [
            (batch.tracks, _moved(points_to_blender(batch.tracks.points), moves, k))
            for k, batch in enumerate(self._batches)
            if batch.tracks is not None
        ]
        if not given:
            return None
        _, first = np.unique(np.concatenate([tracks.number for tracks, _ in given]), return_index=True)
        place = np.concatenate([points for _, points in given])[first]
        error = np.concatenate([tracks.error for tracks, _ in given])[first]
        length = np.concatenate([tracks.length for tracks, _ in given])[first]
        rows = np.flatnonzero(length >= FEWEST_IMAGES)
        rows = rows[np.argsort(error[rows] / np.sqrt(length[rows]), kind="stable")][:MOST]
        if not len(rows):
            return None
        arrays = place[rows].astype(np.float32), error[rows].astype(np.float32), length[rows].astype(np.int32)
        return Part(NAME, TrackArrays(*arrays))

    def cameras(self, moves: Sequence[np.ndarray] = ()) -> list[CameraRecord]:
        """Those of all batches, by frame, at their final places."""
        found = [camera.moved(moves[k]) if len(moves) else camera for k, camera in self._each()]
        return sorted(found, key=lambda camera: camera.frame)

    def errors(self, cameras: Sequence[CameraRecord], moves: Sequence[np.ndarray] = ()) -> dict[int, float]:
        """Mean reprojection error of each frame that tracks are seen in, through these cameras; pixels of the original."""
        by_frame, total, count = {camera.frame: camera for camera in cameras}, dict[int, float](), dict[int, int]()
        for k, batch in enumerate(self._batches):
            if batch.tracks is None:
                continue
            points, (frames, rows) = _moved(points_to_blender(batch.tracks.points), moves, k), batch.tracks.seen.T
            for frame in np.unique(frames).tolist():
                if frame in by_frame:
                    own = frames == frame
                    away = _project(points[rows[own]], by_frame[frame]) - batch.tracks.pixels[own]
                    total[frame] = total.get(frame, 0.0) + float(np.linalg.norm(away, axis=1).sum())
                    count[frame] = count.get(frame, 0) + int(own.sum())
        return {frame: total[frame] / count[frame] for frame in sorted(total)}

    def shifts(
        self, cameras: Sequence[CameraRecord], others: Sequence[CameraRecord], moves: Sequence[np.ndarray] = ()
    ) -> dict[int, float]:
        """By how many pixels of the original what a frame sees moves from one camera to the other, in the median.

        Of a grid of pixels at the frame's median depth, for models that follow nothing.
        """
        before, after = ({camera.frame: camera for camera in some} for some in (cameras, others))
        found = {}
        for k, batch in enumerate(self._batches):
            scale = float(np.cbrt(np.linalg.det(moves[k][:3, :3]))) if len(moves) else 1.0
            for camera, depth in zip(batch.cameras, batch.depths * scale, strict=True):
                one, other = before[camera.frame], after[camera.frame]
                if depth > 0.0:
                    points = _grid(one, float(depth))
                    away = _project(points, other) - _project(points, one)
                    found[camera.frame] = float(np.median(np.linalg.norm(away, axis=1)))
        return found

    def _each(self) -> list[tuple[int, CameraRecord]]:
        return [(k, camera) for k, batch in enumerate(self._batches) for camera in batch.cameras]


def _moved(points: np.ndarray, moves: Sequence[np.ndarray], batch: int) -> np.ndarray:
    return points @ moves[batch][:3, :3].T + moves[batch][:3, 3] if len(moves) else points


def _project(points: np.ndarray, camera: CameraRecord) -> np.ndarray:
    """(P, 2) pixels of the original, with what its lens bends, of (P, 3) points in Blender's axes."""
    matrix = np.reshape(camera.camera_to_world, (4, 4))
    own = (points - matrix[:3, 3]) @ matrix[:3, :3]
    flat = own[:, :2] * (1.0, -1.0) / np.maximum(-own[:, 2:], 1e-9)  # Blender's cameras look along -z, y up
    squared = (flat**2).sum(axis=1, keepdims=True)
    k1, k2, k3 = camera.distortion
    flat = flat * (1.0 + squared * (k1 + squared * (k2 + squared * k3)))
    k = original_intrinsics(camera, camera.photo)
    return np.asarray(flat * k[[0, 1], [0, 1]] + k[:2, 2])


def _grid(camera: CameraRecord, depth: float) -> np.ndarray:
    """(25, 3) points at one depth before a camera, over its picture; Blender's axes."""
    v, u = np.meshgrid(*(np.linspace(0.1, 0.9, 5) * size for size in (camera.height, camera.width)), indexing="ij")
    own = np.stack([(u - camera.cx) / camera.fx, (camera.cy - v) / camera.fy, -np.ones_like(u)], axis=-1) * depth
    matrix = np.reshape(camera.camera_to_world, (4, 4))
    return np.asarray(own.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
