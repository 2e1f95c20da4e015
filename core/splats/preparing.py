"""A run's batches before their splats are refined: cameras and depths agree, and what no depth was known of is filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..geometry.projection import cameras_to_blender
from ..monitor import Monitor
from ..output.payload import CameraRecord
from ..prediction.batch import Batch
from .aligning import align
from .filling import fill

FEWEST, MOST = 3, 40  # frames
WORTH_A_WORD = 0.0005  # share of the pixels that were filled


def prepared(
    batches: Iterator[Batch],
    cameras: Callable[[Batch], list[CameraRecord]],
    monitor: Monitor,
    device: str,
    warnings: list[str],
) -> Iterator[tuple[Batch, list[CameraRecord]]]:
    """The batches and their cameras, brought into agreement and filled, which ``warnings`` hear of; as they were, one by one,
    where there are too few or many frames."""
    first: list[Batch] = []
    own: list[list[CameraRecord]] = []
    while sum(len(batch.indices) for batch in first) <= MOST and (batch := next(batches, None)) is not None:
        first.append(batch)
        own.append(cameras(batch))
    frames = [record.frame for records in own for record in records]
    sizes = {batch.prediction.depth.shape[1:] for batch in first}
    is_one_set = FEWEST <= len(frames) <= MOST and len(set(frames)) == len(frames) and len(sizes) == 1
    if is_one_set and align(first, monitor, device):
        own = [_moved(records, batch) for records, batch in zip(own, first, strict=True)]
    if len(frames) <= MOST:
        share = fill(first, monitor) / max(1, sum(batch.prediction.depth.size for batch in first))
        if share >= WORTH_A_WORD:
            warnings.append(
                f"Splats refined: {share:.1%} of the images' pixels had no depth and go on with the surface beside them; they are "
                "guesses, which Min Confidence 1.1 leaves out"
            )
    yield from zip(first, own, strict=True)
    for batch in batches:
        yield batch, cameras(batch)


def _moved(records: Sequence[CameraRecord], batch: Batch) -> list[CameraRecord]:
    assert batch.prediction.extrinsics is not None
    matrices = cameras_to_blender(batch.prediction.extrinsics)
    return [
        replace(record, camera_to_world=tuple(matrix.ravel().tolist()))
        for record, matrix in zip(records, matrices, strict=True)
    ]
