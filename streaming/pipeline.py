"""The way of a long sequence: chunk after chunk to disk and into the scene, then its loops. Read it top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import Cancelled, DA3Error
from ..core.frames.source import FrameSource
from ..core.geometry.projection import BLENDER_FROM_OPENCV
from ..core.monitor import Monitor
from ..core.prediction import filters
from ..core.prediction.batch import Batch
from ..core.prediction.predictor import Predictor
from ..core.settings import Settings
from .chunk_alignment import ChunkAligner
from .chunk_inference import chunks
from .emission import BatchEmitter
from .loop_closure import LoopCloser
from .run import STAGE, Run
from .storage.run_folder import alone, default_folder

__all__ = ["STAGE", "Settled", "moves_to_blender", "reconstruct"]


@dataclass(frozen=True)
class Settled:
    """The last that a run yields: where its batches go, now that all is known.

    ``moves`` (B, 4, 4): a similarity for each batch yielded, in their order, from the world it was yielded in to the final
    one, OpenCV axes; ``accepted`` and ``refused`` count the loops; ``failures``: sentences on what could not be written;
    ``dropped``: how many points the thresholds cost.
    """

    moves: np.ndarray
    accepted: int
    refused: int
    failures: tuple[str, ...] = ()
    dropped: filters.Dropped = filters.Dropped()


def reconstruct(
    frames: FrameSource,
    settings: Settings,
    predictor: Predictor,
    *,
    metric: Predictor | None = None,
    on_progress: Callable[[str, float], None],
    cancelled: Callable[[], bool],
    folder: Path | None = None,
    origin: np.ndarray | None = None,
) -> Generator[Batch | Settled, None, None]:
    """Batches as they get ready, every frame in one batch only, all in the frame of the first chunk; a ``Settled`` at last.

    Parameters
    ----------
    folder : for the chunks; by default in the output folder, or in the user's cache
    origin : (3,) of the scene, in the world the known cameras were given in, for the files' headers
    and the rest as in ``core.pipeline.reconstruct``; ``predictor.segmenter.names``, if there, are those of the things in
    ``object_id``

    Raises
    ------
    Cancelled, BadInput, DA3Error
        and what the predictor raises. Whole chunks stay on disk, and the next run with the same input and settings goes on
        from there. A disk that is full ends the way early, with what there is until then; so does a folder that is gone.
    """
    folder = folder or default_folder(frames, settings)
    with alone(folder):
        beside = metric is None  # a second model wants the card for itself
        run = Run.begin(frames, settings, predictor, Monitor(on_progress, cancelled), folder, beside)
        aligner, emitter = ChunkAligner(run), BatchEmitter(run, metric, origin)
        loops = LoopCloser(run, aligner)
        try:
            for number in chunks(run):
                if (aligned := aligner.add(number)) is not None:
                    yield emitter.emit(aligned)
                    loops.foresee(emitter.known)
            if (aligned := aligner.rest()) is not None:
                yield emitter.emit(aligned)
            failures = _cut_short(run, emitter)
            if settings.loop_closure and not failures:
                failures = _close(loops, emitter)
            solution = loops.solve()
            accepted = int((solution.trust > 0.5).sum())
            moves = emitter.settle(solution, aligner.poses, loops.table(solution, emitter.known))
            refused, failed = len(loops.tried) - accepted, (*failures, *emitter.failures)
            yield Settled(moves, accepted, refused, failed, emitter.dropped)
        finally:
            run.close()
            frames.release()
        if not settings.save_debug and not failures:
            run.store.remove()


def _close(loops: LoopCloser, emitter: BatchEmitter) -> list[str]:
    """Close the loops; where that fails, what is to be said of it: all frames are in the scene by now."""
    try:
        loops.close(emitter.known)
    except Cancelled:
        raise
    except DA3Error as error:
        return [f"Not all loops were looked for, so places that were seen twice may not meet. {error}"]
    return []


def _cut_short(run: Run, emitter: BatchEmitter) -> list[str]:
    """What is to be said of a run whose chunks could not be stored to its end."""
    if not run.store.failure:
        return []
    missing = len(run.frames.selected) - len(emitter.known)
    lost = (
        f"{missing} of {len(run.frames.selected)} images are not in the scene"
        if missing
        else "its loops are not closed"
    )
    return [
        f"The chunks in '{run.store.folder}' could not be written ({run.store.failure}), so the run ended early: {lost}. Free "
        "some space or choose another output folder, and run again to go on from the last whole chunk"
    ]


def moves_to_blender(moves: np.ndarray) -> np.ndarray:
    """(B, 4, 4) similarities of OpenCV's world as those of Blender's."""
    axes = np.eye(4)
    axes[:3, :3] = BLENDER_FROM_OPENCV
    return axes @ moves @ axes.T
