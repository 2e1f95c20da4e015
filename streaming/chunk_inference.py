"""From frames to chunks on disk: what the model says of each chunk, made better by its pictures."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from ..core.errors import BadInput
from ..core.monitor import Beside
from ..core.pipeline import drop_empty, hide_transparent, placements
from ..core.prediction.batch import Batch
from ..core.prediction.executor import PATIENCE
from ..core.prediction.passes import predictions
from .refinement import refined
from .run import Coming, Run
from .track_ids import TrackIds


def chunks(run: Run) -> Iterator[int]:
    """Numbers of chunks as they become whole on disk, those of an earlier run first.

    Raises
    ------
    BadInput
        The model gives no cameras, or sees nothing in any image.
    Cancelled, DA3Error
        And what the predictor raises.
    """
    run.frames.warnings.extend(run.store.notes.get("warnings", []))
    things = TrackIds(run)
    for number in range(len(run.store.chunks)):
        yield number
        run.pace.skip()
    remember = getattr(run.predictor, "remember", None)  # of a lens that all chunks have
    if remember is not None and run.store.chunks:
        remember(run.store.load(0), run.store.chunks[0], run.settings)
    if run.planner.peek() is not None:
        with contextlib.closing(
            predictions(run.frames, run.settings, run.predictor, run.planner, run.monitor, beside=run.beside)
        ) as passes:
            for planned, prediction in passes:
                if prediction.extrinsics is None:
                    raise BadInput("DA3 Streaming needs a model that finds cameras: choose one of DA3 Small to Giant")
                batch = drop_empty(Batch(planned, prediction, warnings=[*prediction.warnings]), run.frames)
                if not batch.indices:
                    continue
                run.coming.append(_begin(run, planned, batch))
                del prediction, batch  # where another process makes it better, that one has it
                yield from _whole(run, things, run.ahead)
                if run.store.failure:  # what cannot be kept cannot be fitted to what follows
                    break
        yield from _whole(run, things, 0)
    if not run.store.chunks:
        raise BadInput("The model found no depth in any of the images; try another model, or images with more overlap")


def _begin(run: Run, planned: list[int], batch: Batch) -> Coming:
    """Have a pass made better: by other processes where the predictor has some, on a thread beside the chunks before it where a
    card computes, else here, once it is asked for."""
    hide_transparent(batch, run.frames, run.settings)
    run.frames.warnings.extend(batch.warnings)
    work = batch.prediction, batch.indices, placements(batch, run.frames, run.settings), run.settings
    if run.helpers:
        return Coming(planned, batch.indices, run.predictor.elsewhere(refined, *work))  # type: ignore[attr-defined]
    here = functools.partial(refined, *work, run.monitor)
    if not run.on_card:
        return Coming(planned, batch.indices, here)
    thread = Beside(here, "refinement")
    return Coming(planned, batch.indices, functools.partial(thread.result, run.monitor, PATIENCE), thread.stop)


def _whole(run: Run, things: TrackIds, left: int) -> Iterator[int]:
    """Numbers of chunks as they get whole on disk, until only so many are still to come."""
    while len(run.coming) > left and not run.store.failure:
        coming = run.coming[0]
        prediction = coming.take()
        run.coming.popleft()  # until then it is known to the one who has to stop it
        names = {**run.store.notes.get("names", {}), **things.adopt(coming.indices, prediction)}
        run.store.save(
            coming.indices, prediction, coming.planned, names=names, batch_size=run.planner.batch_size,
            warnings=list(run.frames.warnings),
        )  # fmt: skip
        del prediction
        yield len(run.store.chunks) - 1
        if not run.store.failure:
            run.pace.pass_done(len(coming.planned))
            run.report()
