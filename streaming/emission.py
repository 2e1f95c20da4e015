"""What a run gives out: batches for the scene and the files, and where all of them go at last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.alignment.metric_scale import MetricScaler
from ..core.geometry.projection import invert_rigid
from ..core.prediction import filters
from ..core.prediction.batch import Batch
from ..core.prediction.predictor import Predictor
from ..core.settings import MetricMode
from .chunk_alignment import AlignedChunk, moved, moved_camera
from .registration import frame_descriptors, pose_graph, sim3
from .run import STAGE, Run
from .storage.point_clouds import StreamingFiles


@dataclass(frozen=True)
class FrameRecord:
    """What stays of a frame: its camera (3, 4) to the first chunk's world, its median depth there, what it looks like."""

    chunk: int
    camera: np.ndarray
    depth: float
    descriptors: np.ndarray


@dataclass(frozen=True)
class _Emitted:
    """What stays of a batch; ``blended``: the share of its frames that come half from the chunk before."""

    chunk: int
    indices: list[int]
    extrinsics: np.ndarray
    intrinsics: np.ndarray
    blended: float


class BatchEmitter:
    """Makes batches of aligned chunks, and notes what is needed of their frames later.

    Parameters
    ----------
    metric : a second model that knows metres, for Use Metric
    origin : (3,) for the headers of the files

    Attributes
    ----------
    known : by frame
    """

    def __init__(self, run: Run, metric: Predictor | None, origin: np.ndarray | None = None):
        self.known: dict[int, FrameRecord] = {}
        self._run = run
        self._metric = metric
        output = run.settings.output_folder.strip()
        folder = Path(output).expanduser() if output else None
        clouds = run.settings.output_point_cloud
        self._files = StreamingFiles(folder, run.settings.min_confidence, origin, clouds=clouds)
        self._dropped = filters.Dropped()
        self._emitted: list[_Emitted] = []
        self._world: np.ndarray | None = None  # from the first chunk's world to the one given out: metres, where known

    @property
    def failures(self) -> list[str]:
        """What could not be written."""
        return self._files.failures

    def emit(self, aligned: AlignedChunk) -> Batch:
        """A batch: in metres where they are known, far and unsure points dropped; its cloud is written too."""
        self._note(aligned)
        prediction = moved(aligned.prediction, self._to_world())
        self._dropped += filters.drop_unsure(prediction, self._run.settings)
        assert prediction.extrinsics is not None and prediction.intrinsics is not None
        poses = prediction.extrinsics, prediction.intrinsics
        self._emitted.append(_Emitted(aligned.chunk, aligned.indices, *poses, aligned.blended))
        started = time.monotonic()
        self._files.add(prediction, aligned.indices)
        self._run.pace.written(time.monotonic() - started, len(prediction))
        self._run.monitor.check()
        names = {int(number): name for number, name in self._run.store.notes.get("names", {}).items()}
        return Batch(aligned.indices, prediction, names=names, warnings=aligned.warnings)

    @property
    def dropped(self) -> filters.Dropped:
        """How many points the thresholds have dropped so far."""
        return self._dropped

    def settle(
        self,
        solution: pose_graph.Solution,
        poses: list[np.ndarray],
        loops: Sequence[tuple[int, int, float]] = (),
    ) -> np.ndarray:
        """Finish the files.

        Parameters
        ----------
        solution : the final places of the chunks
        poses : (4, 4) of each chunk, as it was given out
        loops : that were looked at: two frames of the input, and the trust in them

        Returns
        -------
        (B, 4, 4): the similarity that brings each batch to its final place
        """
        self._run.monitor.check()
        world = self._to_world()
        updates = world @ solution.poses @ sim3.inverse(np.stack(poses)) @ sim3.inverse(world)
        moves = np.stack([_between(updates, emitted.chunk, emitted.blended) for emitted in self._emitted])
        rows = sorted(
            (index, b, row) for b, emitted in enumerate(self._emitted) for row, index in enumerate(emitted.indices)
        )
        extrinsics = np.stack([_moved_extrinsics(self._emitted[b].extrinsics[row], moves[b]) for _, b, row in rows])
        intrinsics = np.stack([self._emitted[b].intrinsics[row] for _, b, row in rows])
        self._files.finish(moves, extrinsics, intrinsics, loops)
        self._run.frames.warnings.extend(self._files.warnings)
        self._run.frames.warnings.extend(self._dropped.sentences(self._run.settings))
        self._run.monitor.progress(STAGE, 1.0)
        return moves

    def _note(self, aligned: AlignedChunk) -> None:
        prediction = aligned.prediction
        assert prediction.extrinsics is not None
        descriptors = (
            prediction.descriptors
            if prediction.descriptors is not None
            else frame_descriptors.describe(prediction.images)
        )
        cameras = invert_rigid(prediction.extrinsics)
        for row, index in enumerate(aligned.indices):
            depth = prediction.depth[row, ::4, ::4]
            middle = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
            self.known[index] = FrameRecord(aligned.chunk, cameras[row], middle, descriptors[row])

    def _to_world(self) -> np.ndarray:
        """(4, 4). Metres are found from the first chunk, or known already where an earlier run has found them."""
        if self._world is None:
            scale = 1.0 if self._metric is None else self._metric_scale(self._metric)
            self._world = np.diag([scale, scale, scale, 1.0])
        return self._world

    def _metric_scale(self, metric: Predictor) -> float:
        run = self._run
        first = run.load(0)
        if first.is_metric or (first.cameras_known and first.scale_known):
            return 1.0
        scale = run.store.notes.get("metric_scale")
        if scale is None:
            chosen = replace(run.settings, metric_mode=MetricMode.SCALE_BASE)
            measured = MetricScaler(metric, run.frames, chosen, run.monitor).apply(run.store.chunks[0], first)
            seen = first.depth > 0
            scale = float(np.median(measured.depth[seen] / first.depth[seen]))
            run.store.keep(metric_scale=scale)
        return float(scale)


def _moved_extrinsics(extrinsics: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    return invert_rigid(moved_camera(invert_rigid(extrinsics), similarity))


def _between(updates: np.ndarray, chunk: int, blended: float) -> np.ndarray:
    """How a batch moves: as its chunk does, or between that and the one before, where frames are blended from both."""
    if chunk == 0 or blended == 0:
        return updates[chunk]
    step = sim3.log((sim3.inverse(updates[chunk]) @ updates[chunk - 1])[None])
    return updates[chunk] @ sim3.exp(0.5 * blended * step)[0]
