"""From frames to chunks on disk: what the model says of each chunk, made better by its pictures."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.alignment.pass_alignment import without_people
from ..core.errors import BadInput
from ..core.pipeline import drop_empty, hide_transparent
from ..core.prediction.batch import Batch
from ..core.prediction.passes import predictions
from ..core.surfaces.fusion.depth_agreement import bring_together
from .registration.bundle_adjustment import adjust
from .run import Run
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
        for planned, prediction in predictions(run.frames, run.settings, run.predictor, run.planner, run.monitor):
            if prediction.extrinsics is None:
                raise BadInput("DA3 Streaming needs a model that finds cameras: choose one of DA3 Small to Giant")
            batch = drop_empty(Batch(planned, prediction), run.frames)
            if not batch.indices:
                continue
            _store(run, planned, batch, things)
            yield len(run.store.chunks) - 1
            if run.store.failure:  # what cannot be kept cannot be fitted to what follows
                break
            run.pace.pass_done(len(planned))
            run.report()
    if not run.store.chunks:
        raise BadInput("The model found no depth in any of the images; try another model, or images with more overlap")


def _store(run: Run, planned: list[int], batch: Batch, things: TrackIds) -> None:
    hide_transparent(batch, run.frames, run.settings)
    run.frames.warnings.extend(batch.warnings)
    prediction = batch.prediction
    if not prediction.cameras_known:
        adjust(without_people(prediction)).apply_to(prediction)
        bring_together(prediction, run.monitor)
    names = {**run.store.notes.get("names", {}), **things.adopt(batch.indices, prediction)}
    warnings = list(run.frames.warnings)
    run.store.save(
        batch.indices, prediction, planned, names=names, batch_size=run.planner.batch_size, warnings=warnings
    )
