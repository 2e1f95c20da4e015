"""The way of a long sequence: chunk after chunk to disk and into the scene, then its loops. Read it top to bottom."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core import alignment, filters
from ..core.blending import blend_into, join, select
from ..core.errors import BadInput
from ..core.frames import FrameSource
from ..core.geometry import BLENDER_FROM_OPENCV, invert_rigid
from ..core.joining import POOR_FIT
from ..core.metric import MetricScaler
from ..core.passes import images_per_pass, predictions
from ..core.pipeline import Batch, drop_empty, hide_transparent
from ..core.prediction import Prediction
from ..core.predictor import Predictor
from ..core.resizing import layout
from ..core.settings import MetricMode, Settings
from ..core.watch import Watch
from . import descriptors, loops, overlap, pose_graph, sim3
from .chunks import ChunkPlanner
from .output import StreamingFiles
from .pace import Pace
from .polish import polish
from .store import Store, fingerprint

STAGE = "streaming"  # its fraction is that of the whole run's time
LOOPS_PER_CHUNK = 0.15  # joint passes that loops may cost, by the chunks there are
FEWEST_LOOPS = 6
EXPECTED_LOOPS = 0.7  # of them, that will be looked at
FINISHING = 1.5  # times that writing the point clouds took, to put them in their final place
JOINT_FRAMES = 20  # of one side of a joint pass, where the batch size allows them

People = Callable[[Sequence[int], Prediction], np.ndarray]


@dataclass(frozen=True)
class Settled:
    """The last that a run yields: where its batches go, now that all is known.

    ``moves`` (B, 4, 4): a similarity for each batch yielded, in their order, from the world it was yielded in to the final
    one, OpenCV axes; ``accepted`` and ``refused`` count the loops.
    """

    moves: np.ndarray
    accepted: int
    refused: int


def reconstruct(
    frames: FrameSource,
    settings: Settings,
    predictor: Predictor,
    *,
    metric: Predictor | None = None,
    on_progress: Callable[[str, float], None],
    cancelled: Callable[[], bool],
    people: People | None = None,
    folder: Path | None = None,
) -> Iterator[Batch | Settled]:
    """Batches as they get ready, every frame in one batch only, all in the frame of the first chunk; a ``Settled`` at last.

    Parameters
    ----------
    people : says where people are, (N, H, W) bool; they get confidence 1 and take no part in alignment
    folder : for the chunks; by default in the output folder, or in the user's cache
    and the rest as in ``core.pipeline.reconstruct``

    Raises
    ------
    Cancelled, BadInput, DA3Error
        and what the predictor raises. Whole chunks stay on disk, and the next run with the same input and settings goes on
        from there.
    """
    watch = Watch(on_progress, cancelled)
    run = _Run(frames, settings, predictor, watch, folder, people)
    if metric is not None:
        chosen = replace(settings, metric_mode=MetricMode.SCALE_BASE)
        run.metres = MetricScaler(metric, frames, chosen, watch)
    try:
        for number in run.chunks():
            if (batch := run.place(number)) is not None:
                yield batch
        if (batch := run.rest()) is not None:
            yield batch
        if settings.loop_closure:
            run.close_loops()
        yield run.settle()
    finally:
        frames.release()
    if not settings.save_debug:
        run.store.remove()


def moves_to_blender(moves: np.ndarray) -> np.ndarray:
    """(B, 4, 4) similarities of OpenCV's world as those of Blender's."""
    axes = np.eye(4)
    axes[:3, :3] = BLENDER_FROM_OPENCV
    return axes @ moves @ axes.T


def chunk_plan(frames: FrameSource, settings: Settings, predictor: Predictor) -> ChunkPlanner:
    """The chunks of a run; for its progress too."""
    return ChunkPlanner(frames.selected, settings, images_per_pass(frames, settings, predictor))


class _Run:
    """What is known between one chunk and the next: poses and descriptors of all, pixels of the last one only."""

    def __init__(
        self,
        frames: FrameSource,
        settings: Settings,
        predictor: Predictor,
        watch: Watch,
        folder: Path | None,
        people: People | None,
    ):
        self._frames, self._settings, self._predictor, self._watch = frames, settings, predictor, watch
        self._people = people
        self.metres: MetricScaler | None = None
        output = Path(settings.output_folder).expanduser() if settings.output_folder.strip() else None
        self.store = Store(folder or _store_folder(frames, output), fingerprint(frames, settings))
        self._planner = chunk_plan(frames, settings, predictor)
        self._planner.batch_size = self.store.notes.get("batch_size", self._planner.batch_size)
        self._planner.resume(self.store.planned)
        self._require_space()
        self._files = StreamingFiles(output, settings.min_confidence)
        self._pace = Pace()
        self._file_seconds = 0.0
        self._world = np.eye(4)  # from the first chunk's frame to the one given out: metres, where they are known
        self._poses: list[np.ndarray] = []  # (4, 4) of each chunk, into the first one's frame, as it was given out
        self._path: list[pose_graph.Edge] = []
        self._loops: list[pose_graph.Edge] = []
        self._tried: list[loops.Candidate] = []
        self._before: tuple[list[int], Prediction, list[int]] | None = None  # the last chunk, and what waits of it
        self._given: list[_Given] = []
        self._known: dict[int, _Known] = {}  # by frame
        self._known_cameras = False

    def chunks(self) -> Iterator[int]:
        """Numbers of chunks as they become whole on disk, those of an earlier run first."""
        for message in self.store.notes.get("warnings", []):
            self._frames.warnings.append(message)
        for number in range(len(self.store.chunks)):
            yield number
            self._pace.skip()
        if self._planner.peek() is not None:
            for indices, prediction in predictions(
                self._frames, self._settings, self._predictor, self._planner, self._watch
            ):
                if prediction.extrinsics is None:
                    raise BadInput("DA3 Streaming needs a model that finds cameras: choose one of DA3 Small to Giant")
                batch = drop_empty(Batch(indices, prediction), self._frames)
                if not batch.indices:
                    continue
                hide_transparent(batch, self._frames, self._settings)
                self._frames.warnings.extend(batch.warnings)
                if not batch.prediction.cameras_known:
                    batch.prediction.extrinsics = polish(batch.prediction)
                self.store.save(batch.indices, batch.prediction, indices)
                self.store.keep(batch_size=self._planner.batch_size, warnings=list(self._frames.warnings))
                yield len(self.store.chunks) - 1
                self._pace.pass_done(len(indices))
                self._report()
        if not self.store.chunks:
            raise BadInput(
                "The model found no depth in any of the images; try another model, or images with more overlap"
            )

    def place(self, number: int) -> Batch | None:
        """Fit a chunk to the one before; the frames that no later chunk will see again are ready."""
        indices = self.store.chunks[number]
        prediction = self._load(number)
        warnings: list[str] = []
        if self._before is None:
            self._find_scale(indices, prediction)
            self._poses.append(np.eye(4))
            ready, whole, blended = list(indices), prediction, 0
        else:
            seen, before, held = self._before
            shared = [i for i in seen if i in indices]
            found = self._fit(before, [seen.index(i) for i in shared], prediction, [indices.index(i) for i in shared])
            warnings = _judge(number, found)
            step = sim3.inverse(self._poses[-1]) @ found.matrix
            self._path.append(pose_graph.Edge(number - 1, number, step, found.information))
            self._poses.append(found.matrix)
            prediction = _moved(prediction, found.matrix)
            for index in shared:
                blend_into(prediction, indices.index(index), before, seen.index(index))
            left = [i for i in held if i not in shared]
            ready, blended = indices + left, len(shared)
            whole = join(prediction, select(before, [seen.index(i) for i in left]))
        waiting = self._waiting(number, indices)
        self._before = indices, prediction, waiting
        rows = sorted((row for row, i in enumerate(ready) if i not in waiting), key=lambda row: ready[row])
        if not rows:
            return None
        given = [ready[row] for row in rows]
        return self._give(number, given, select(whole, rows), blended / len(given), warnings)

    def rest(self) -> Batch | None:
        """Frames that waited for a chunk that did not come."""
        if self._before is None or not self._before[2]:
            return None
        indices, prediction, held = self._before
        self._before = indices, prediction, []
        return self._give(len(self._poses) - 1, held, select(prediction, [indices.index(i) for i in held]), 0.0, [])

    def close_loops(self) -> None:
        """Look for places that were visited before: by looks, then, with the path corrected, by nearness."""
        if self._known_cameras or len(self._poses) < 3:
            return
        order = sorted(self._known)
        apart = max(2 * self._planner.batch_size, 10)
        budget = _loop_budget(len(self._poses))
        looks = np.stack([self._known[i].looks for i in order])
        for candidate in self._propose(loops.by_looks(looks, apart, budget), order):
            self._try(order, candidate)
        left = budget - len(self._tried)
        if left <= 0:
            return
        poses = self._solved().poses
        updates = poses @ sim3.inverse(np.stack(self._poses))
        cameras = np.stack([_moved_camera(self._known[i].camera, updates[self._known[i].chunk]) for i in order])
        scales = sim3.scale_of(updates)
        depths = np.array([self._known[i].depth * scales[self._known[i].chunk] for i in order])
        near = loops.by_nearness(cameras, depths, apart, budget)
        for candidate in loops.suppress(near, apart // 2, left, self._tried):
            self._try(order, candidate)

    def settle(self) -> Settled:
        """Final places, and the files."""
        self._watch.check()
        solution = self._solved()
        updates = self._world @ solution.poses @ sim3.inverse(np.stack(self._poses)) @ sim3.inverse(self._world)
        moves = np.stack([_between(updates, given.chunk, given.blended) for given in self._given])
        rows = sorted((index, b, row) for b, given in enumerate(self._given) for row, index in enumerate(given.indices))
        extrinsics = np.stack([_moved_extrinsics(self._given[b].extrinsics[row], moves[b]) for _, b, row in rows])
        self._files.finish(moves, extrinsics, np.stack([self._given[b].intrinsics[row] for _, b, row in rows]))
        self._watch.progress(STAGE, 1.0)
        accepted = int((solution.trust > 0.5).sum())
        return Settled(moves, accepted, len(self._tried) - accepted)

    def _solved(self) -> pose_graph.Solution:
        if not self._path:
            return pose_graph.Solution(np.eye(4)[None], np.zeros(0))
        return pose_graph.solve(self._path, self._loops, self._settings.alignment_method)

    def _load(self, number: int) -> Prediction:
        """A chunk from disk, in its own frame, filtered."""
        prediction = self.store.load(number)
        self._known_cameras |= prediction.cameras_known
        self._filter(self.store.chunks[number], prediction)
        return prediction

    def _filter(self, indices: Sequence[int], prediction: Prediction) -> None:
        if self._settings.filter_edges:
            prediction.conf[filters.edges(prediction.depth)] = 0.0
        if self._people is not None:
            prediction.conf[self._people(indices, prediction) & (prediction.conf > 0)] = 1.0

    def _fit(self, reference: Prediction, rows: Sequence[int], own: Prediction, own_rows: Sequence[int]) -> overlap.Fit:
        if own.cameras_known:
            return overlap.Fit(np.eye(4), 1e12 * np.eye(7), None, len(rows), {})
        reference, own = select(reference, rows), select(own, own_rows) if rows else own
        if self._people is not None:
            for prediction in (reference, own):
                prediction.conf[prediction.conf <= 1.0] = 0.0
        if not rows:
            assert self._before is not None
            last = alignment.align(self._before[1], [], own, [])
            s = last.similarity
            return overlap.Fit(sim3.matrix(s.scale, s.rotation, s.translation), np.eye(7), last.residual, 0, {})
        every = range(len(rows))
        chosen = self._settings.alignment_method, self._settings.alignment_library
        return overlap.fit(reference, every, own, every, *chosen)

    def _find_scale(self, indices: list[int], prediction: Prediction) -> None:
        """Metres, from the first chunk; known already where an earlier run has found it."""
        if self.metres is None or prediction.is_metric or prediction.cameras_known:
            return
        scale = self.store.notes.get("metric_scale")
        if scale is None:
            measured = self.metres.apply(indices, prediction)
            seen = prediction.depth > 0
            scale = float(np.median(measured.depth[seen] / prediction.depth[seen]))
            self.store.keep(metric_scale=scale)
        self._world = np.diag([scale, scale, scale, 1.0])

    def _waiting(self, number: int, indices: Sequence[int]) -> list[int]:
        """Frames of a chunk that the next one sees too."""
        stored = self.store.chunks
        following = stored[number + 1] if number + 1 < len(stored) else self._planner.peek() or ()
        return [i for i in indices if i in set(following)]

    def _give(
        self, number: int, indices: list[int], prediction: Prediction, blended: float, warnings: list[str]
    ) -> Batch:
        """A batch for the scene and the files; what is needed of its frames later is noted."""
        assert prediction.extrinsics is not None and prediction.intrinsics is not None
        looks = self._looks(prediction.images)
        cameras = invert_rigid(prediction.extrinsics)
        for row, index in enumerate(indices):
            depth = prediction.depth[row, ::4, ::4]
            middle = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
            self._known[index] = _Known(number, cameras[row], middle, looks[row])
        prediction = _moved(prediction, self._world)
        conf = prediction.conf
        seen = conf > 0
        if seen.any():
            conf[conf < self._settings.conf_threshold_coef * float(conf[seen].mean(dtype=np.float64))] = 0.0
        conf[prediction.depth > self._settings.depth_threshold] = 0.0
        assert prediction.extrinsics is not None and prediction.intrinsics is not None
        self._given.append(_Given(number, indices, prediction.extrinsics, prediction.intrinsics, blended))
        started = time.monotonic()
        self._files.add(prediction)
        self._file_seconds += time.monotonic() - started
        self._watch.check()
        return Batch(indices, prediction, warnings=warnings)

    def _looks(self, images: np.ndarray) -> np.ndarray:
        own = getattr(self._predictor, "describe", None)
        return own(images) if own is not None else descriptors.describe(images)

    def _propose(self, candidates: list[loops.Candidate], order: list[int]) -> list[loops.Candidate]:
        """For tests and benchmarks, which add wrong ones."""
        return candidates

    def _try(self, order: Sequence[int], candidate: loops.Candidate) -> None:
        """Verify a candidate by a joint pass, unless an earlier run has."""
        self._tried.append(candidate)
        pair = [order[candidate.first], order[candidate.second]]
        looked_at = self.store.notes["loops"]
        known = next((one for one in looked_at if one["frames"] == pair), None)
        if known is None:
            known = {"frames": pair, **self._verify(*pair)}
            self.store.keep(loops=[*looked_at, known])
            self._pace.pass_done(2 * self._side)
            self._report()
        if "matrix" in known:
            first, second = known["chunks"]
            matrix, information = np.array(known["matrix"]), np.array(known["information"])
            self._loops.append(pose_graph.Edge(first, second, matrix, information))

    def _verify(self, first: int, second: int) -> dict[str, Any]:
        """Both sides of a loop in one pass of the model; what it says, as plain values."""
        chunks = self.store.chunks
        a, b = (self._chunk_around(frame) for frame in (first, second))
        sides = [loops.window(chunks[n], frame, self._side) for n, frame in ((a, first), (b, second))]
        wanted = sides[0] + sides[1]
        if len(self._frames.usable(wanted, self._watch)) < len(wanted):
            return {}
        joint = self._predictor.predict(self._frames.images(wanted), wanted, self._settings)
        if joint.extrinsics is None or joint.depth.shape[1:] != self._shape:
            return {}
        self._filter(wanted, joint)
        if not loops.sides_agree(joint, len(sides[0])):
            return {}
        fits = []
        for number, side, rows in ((a, sides[0], range(self._side)), (b, sides[1], range(self._side, 2 * self._side))):
            chunk = self._load(number)
            found = self._fit(chunk, [chunks[number].index(i) for i in side], joint, rows)
            if found.residual is None or found.residual > loops.POOR_SIDE:
                return {}
            fits.append(found)
        edge = loops.edge(a, b, *fits)
        return {"chunks": [a, b], "matrix": edge.matrix.tolist(), "information": edge.information.tolist()}

    def _chunk_around(self, frame: int) -> int:
        """The chunk that has a frame nearest to its middle."""
        near = [n for n, chunk in enumerate(self.store.chunks) if frame in chunk]
        return min(near, key=lambda n: abs(self.store.chunks[n].index(frame) - len(self.store.chunks[n]) / 2))

    @property
    def _side(self) -> int:
        return max(1, min(JOINT_FRAMES, self._planner.batch_size // 2, *(len(c) for c in self.store.chunks)))

    @property
    def _shape(self) -> tuple[int, ...]:
        assert self._before is not None
        return self._before[1].depth.shape[1:]

    def _report(self) -> None:
        """How much of the run's time is over."""
        size, new = self._planner.batch_size, self._planner.frames_left
        left = float(sum(len(chunk) for chunk in self._planner.rest()))
        if self._settings.loop_closure and self._planner.total >= 3:
            budget = _loop_budget(self._planner.total)
            expected = budget - len(self._tried) if new == 0 else EXPECTED_LOOPS * budget
            left += expected * min(2 * JOINT_FRAMES, size)
        given = sum(len(g.indices) for g in self._given)
        all_frames = len(self._frames.selected)
        rest = self._file_seconds * FINISHING * all_frames / max(given, 1)
        self._watch.progress(STAGE, self._pace.fraction(left, rest))

    def _require_space(self) -> None:
        """Before the long work."""
        sizes = {(h.width, h.height) for h in self._frames.headers.values()}
        width, height, _ = layout(list(sizes), self._settings.resolution, self._settings.resize_method)
        self.store.require_space(self._planner.frames_left, width * height)


@dataclass(frozen=True)
class _Known:
    """What stays of a frame: its camera (3, 4) to the world, its median depth there, what it looks like."""

    chunk: int
    camera: np.ndarray
    depth: float
    looks: np.ndarray


@dataclass(frozen=True)
class _Given:
    """What stays of a batch; ``blended``: the share of its frames that come half from the chunk before."""

    chunk: int
    indices: list[int]
    extrinsics: np.ndarray
    intrinsics: np.ndarray
    blended: float


def _between(updates: np.ndarray, chunk: int, blended: float) -> np.ndarray:
    """How a batch moves: as its chunk does, or between that and the one before, where frames are blended from both."""
    if chunk == 0 or blended == 0:
        return updates[chunk]
    step = sim3.log((sim3.inverse(updates[chunk]) @ updates[chunk - 1])[None])
    return updates[chunk] @ sim3.exp(0.5 * blended * step)[0]


def _moved(prediction: Prediction, similarity: np.ndarray) -> Prediction:
    scale = float(sim3.scale_of(similarity))
    return alignment.Similarity(scale, similarity[:3, :3] / scale, similarity[:3, 3]).apply(prediction)


def _moved_camera(camera: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """(3, 4) camera to world."""
    rotation = sim3.rotation_of(similarity) @ camera[:, :3]
    return np.concatenate([rotation, (similarity[:3, :3] @ camera[:, 3] + similarity[:3, 3])[:, None]], axis=1)


def _moved_extrinsics(extrinsics: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    return invert_rigid(_moved_camera(invert_rigid(extrinsics), similarity))


def _loop_budget(chunks: int) -> int:
    """Joint passes that loops may cost."""
    return max(FEWEST_LOOPS, math.ceil(LOOPS_PER_CHUNK * chunks))


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


def _store_folder(frames: FrameSource, output: Path | None) -> Path:
    """In the output folder; without one in the user's cache, by the input's place."""
    if output is not None:
        return output / "streaming"
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    place = hashlib.sha256(str(frames.paths[0].resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache / "da3-blender" / "streaming" / place
