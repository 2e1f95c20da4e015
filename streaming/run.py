"""What all parts of a streaming run share."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.files.ply import VERTEX
from ..core.frames.resizing import layout
from ..core.frames.source import FrameSource
from ..core.monitor import Monitor
from ..core.prediction import filters
from ..core.prediction.executor import Executor, executor
from ..core.prediction.passes import find_cameras, images_per_pass
from ..core.prediction.prediction import Prediction
from ..core.prediction.predictor import Predictor
from ..core.settings import Settings
from .chunk_plan import ChunkPlanner
from .storage.chunk_store import KEPT, Store
from .storage.frame_files import FRAME_BYTES
from .storage.run_folder import fingerprint
from .time_left import TimeLeft

STAGE = "streaming"  # its fraction is that of the whole run's time
LOOPS_PER_CHUNK = 0.15  # joint passes that loops may cost, by the chunks there are
FEWEST_LOOPS = 6
JOINT_FRAMES = 20  # of one side of a joint pass, where the batch size allows them
USUAL_LOOPS = 0.5  # of the joint passes that loops may cost, as long as nothing was seen of the path


@dataclass(frozen=True)
class Coming:
    """A pass that is no chunk yet: the frames it was planned with, those it has, and what waits for it to be made better."""

    planned: list[int]
    indices: list[int]
    take: Callable[[], Prediction]
    stop: Callable[[], None] = lambda: None  # for good; comes back once nothing in this process works on it


@dataclass
class Run:
    """One run: its input, its chunks on disk, its plan."""

    frames: FrameSource
    settings: Settings
    predictor: Predictor
    monitor: Monitor
    store: Store
    planner: ChunkPlanner
    pace: TimeLeft
    executor: Executor  # of the joint passes
    beside: bool = True  # whether a card may compute a pass while the one before is worked on
    loops_seen: float = 0.0  # of the joint passes that loops of the path so far may cost, those that they will
    joint_left: int | None = None  # joint passes still to come, once that is known
    coming: deque[Coming] = field(default_factory=deque)

    @classmethod
    def begin(
        cls,
        frames: FrameSource,
        settings: Settings,
        predictor: Predictor,
        monitor: Monitor,
        folder: Path,
        beside: bool = True,
    ) -> Run:
        """A new run, or one that goes on from the whole chunks in ``folder``.

        Raises
        ------
        BadInput
            The disk is too small for it.
        DA3Error
            The folder cannot be written.
        """
        find_cameras(frames, settings, predictor)
        store = Store(folder, fingerprint(frames, settings, predictor))
        frames.warnings.extend(store.warnings)
        planner = ChunkPlanner(frames.selected, settings, images_per_pass(frames, settings, predictor))
        planner.batch_size = store.notes.get("batch_size", planner.batch_size)
        planner.resume(store.planned)
        sizes = {(h.width, h.height) for h in frames.headers.values()}
        width, height, _ = layout(list(sizes), settings.resolution, settings.resize_method)
        store.require_space(planner.frames_left, width * height, result_bytes(settings))
        monitor.progress(STAGE, 0.0)
        passes = executor(frames, settings, predictor, monitor, beside=beside)
        return cls(frames, settings, predictor, monitor, store, planner, TimeLeft(), passes, beside)

    @property
    def ahead(self) -> int:
        """Passes that are made better beside what else is done: by other processes, or by a thread where a card computes."""
        return self.helpers or int(self.on_card)

    @property
    def helpers(self) -> int:
        """Other processes that make passes better; 0 where there are none."""
        return int(getattr(self.predictor, "helpers", 0))

    @property
    def on_card(self) -> bool:
        """Whether the processor is free while passes are computed, so that two threads of it serve better than one."""
        return self.beside and bool(getattr(self.predictor, "computes_beside", False))

    def close(self) -> None:
        """Stop what was begun; comes back once nothing works any more in this process."""
        self.executor.close()
        while self.coming:
            self.coming.popleft().stop()

    def following(self) -> list[int]:
        """Frames of the pass that will be the next chunk, as planned now."""
        return self.coming[0].planned if self.coming else self.planner.peek() or []

    def load(self, number: int, frames: Sequence[int] | None = None) -> Prediction:
        """A chunk from disk, in its own frame, filtered; ``frames``: only these, without their images."""
        return self.filtered(self.store.load(number, frames))

    def filtered(self, prediction: Prediction) -> Prediction:
        """Confidence 0 at edges of depth and 1 where people are; the same object."""
        filters.apply(prediction, self.settings)
        if prediction.people is not None:
            prediction.conf[prediction.people & (prediction.conf > 0)] = 1.0
        return prediction

    def report(self) -> None:
        """Tell how much of the run's time is over."""
        to_come, frames = self.planner.left
        done = len(self.store.chunks)
        joint = float(self.joint_left or 0)
        if self.joint_left is None and self.settings.loop_closure and done + to_come >= 3:
            seen = done / (done + to_come)
            joint = joint_passes(done + to_come) * (seen * self.loops_seen + (1.0 - seen) * USUAL_LOOPS)
        frames += round(joint * min(2 * JOINT_FRAMES, self.planner.batch_size))
        self.monitor.progress(STAGE, self.pace.fraction(frames, len(self.frames.selected)))


def result_bytes(settings: Settings) -> float:
    """Per pixel of a frame, that its result files take in the output folder."""
    if not settings.output_folder.strip():
        return 0.0
    clouds = 2 * KEPT * VERTEX.itemsize if settings.output_point_cloud else 0.0  # each batch's, and all together
    return FRAME_BYTES + clouds


def joint_passes(chunks: int) -> int:
    """Joint passes that loops may cost."""
    return max(FEWEST_LOOPS, math.ceil(LOOPS_PER_CHUNK * chunks))
