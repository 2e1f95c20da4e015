"""Chunk to chunk: each is fitted to the one before, and the frames that both have are blended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.alignment import pass_alignment
from ..core.alignment.blending import blend_into, join, select
from ..core.alignment.stitching import POOR_FIT
from ..core.prediction.prediction import Prediction
from ..core.settings import Settings
from .registration import overlap, pose_graph, sim3

if TYPE_CHECKING:
    from .run import Run

CERTAIN = 1e12 * np.eye(7)  # information of a chunk whose cameras were given


@dataclass(frozen=True)
class AlignedChunk:
    """Frames that no later chunk will see again, in the first chunk's world.

    ``blended``: the share of them that comes half from the chunk before.
    """

    chunk: int
    indices: list[int]
    prediction: Prediction
    blended: float
    warnings: list[str]


@dataclass
class _LastChunk:
    """The chunk aligned last: its frames, and those of them that wait for the next one."""

    indices: list[int]
    prediction: Prediction
    waiting: list[int]


class ChunkAligner:
    """Puts chunks one after another into the first one's world. Never more than two of them are in memory.

    Attributes
    ----------
    poses : (4, 4) similarity of each chunk, into the first one's world
    path : what the overlaps say of neighbours
    """

    def __init__(self, run: Run):
        self.poses: list[np.ndarray] = []
        self.path: list[pose_graph.Edge] = []
        self._run = run
        self._last: _LastChunk | None = None

    def add(self, number: int) -> AlignedChunk | None:
        """Fit the next chunk to the one before; what is ready then, if anything is."""
        indices = self._run.store.chunks[number]
        prediction = self._run.load(number)
        if self._last is None:
            self.poses.append(np.eye(4))
            return self._release(number, indices, prediction, list(indices), prediction, 0, [])
        before = self._last
        shared = [i for i in before.indices if i in indices]
        found = self._fit(before, prediction, indices, shared)
        step = sim3.inverse(self.poses[-1]) @ found.matrix
        self.path.append(pose_graph.Edge(number - 1, number, step, found.information))
        self.poses.append(found.matrix)
        prediction = moved(prediction, found.matrix)
        for index in shared:
            blend_into(prediction, indices.index(index), before.prediction, before.indices.index(index))
        left = [i for i in before.waiting if i not in shared]  # the chunk was planned anew, without them
        whole = join(prediction, select(before.prediction, [before.indices.index(i) for i in left]))
        return self._release(number, indices, prediction, indices + left, whole, len(shared), _judge(number, found))

    def rest(self) -> AlignedChunk | None:
        """Frames that waited for a chunk that did not come."""
        last = self._last
        if last is None or not last.waiting:
            return None
        waiting, last.waiting = last.waiting, []
        rows = [last.indices.index(i) for i in waiting]
        return AlignedChunk(len(self.poses) - 1, waiting, select(last.prediction, rows), 0.0, [])

    def _fit(self, before: _LastChunk, own: Prediction, indices: Sequence[int], shared: Sequence[int]) -> overlap.Fit:
        if own.cameras_known:
            return overlap.Fit(np.eye(4), CERTAIN, None, len(shared), {})
        if shared:
            rows = [before.indices.index(i) for i in shared]
            return fit(before.prediction, rows, own, [indices.index(i) for i in shared], self._run.settings)
        guess = pass_alignment.align(before.prediction, [], own, [])
        s = guess.similarity
        return overlap.Fit(sim3.matrix(s.scale, s.rotation, s.translation), np.eye(7), guess.residual, 0, {})

    def _release(
        self,
        number: int,
        indices: list[int],
        prediction: Prediction,
        ready: list[int],
        whole: Prediction,
        shared: int,
        warnings: list[str],
    ) -> AlignedChunk | None:
        """Keep the chunk for the next one; of the frames ``ready``, rows of ``whole``, those that need not wait."""
        chunks = self._run.store.chunks
        following = set(chunks[number + 1] if number + 1 < len(chunks) else self._run.following())
        waiting = [i for i in indices if i in following]
        self._last = _LastChunk(indices, prediction, waiting)
        rows = sorted((row for row, i in enumerate(ready) if i not in waiting), key=lambda row: ready[row])
        if not rows:
            return None
        given = [ready[row] for row in rows]
        return AlignedChunk(number, given, select(whole, rows), shared / len(given), warnings)


def fit(
    reference: Prediction, rows: Sequence[int], own: Prediction, own_rows: Sequence[int], settings: Settings
) -> overlap.Fit:
    """``overlap.fit`` by the settings, over what stands still; ``rows``, ``own_rows``: the frames that both have."""
    return overlap.fit(
        pass_alignment.without_people(reference), rows, pass_alignment.without_people(own), own_rows,
        settings.alignment_method, settings.alignment_library,
    )  # fmt: skip


def moved(prediction: Prediction, similarity: np.ndarray) -> Prediction:
    """A prediction in a world that a (4, 4) similarity moves."""
    scale = float(sim3.scale_of(similarity))
    return pass_alignment.Similarity(scale, similarity[:3, :3] / scale, similarity[:3, 3]).apply(prediction)


def moved_camera(camera: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """(3, 4) camera to world, in a world that a (4, 4) similarity moves."""
    rotation = sim3.rotation_of(similarity) @ camera[:, :3]
    return np.concatenate([rotation, (similarity[:3, :3] @ camera[:, 3] + similarity[:3, 3])[:, None]], axis=1)


def _judge(number: int, found: overlap.Fit) -> list[str]:
    """What a person should know of a fit."""
    if found.shared == 0:
        return [f"Chunk {number + 1} shares no frame with the one before: its place is a guess from what both see"]
    if found.residual is not None and found.residual > POOR_FIT:
        return [
            f"Chunk {number + 1} does not fit the one before well (points differ by {found.residual:.0%} of their depth): "
            "a larger batch size or fewer moving things would help"
        ]
    return []
