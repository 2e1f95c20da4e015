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


def prepared(
    batches: Iterator[Batch], cameras: Callable[[Batch], list[CameraRecord]], monitor: Monitor, device: str
) -> Iterator[tuple[Batch, list[CameraRecord]]]:
    """The batches and their cameras, brought into agreement and filled; as they were, one by one, where there are too few or
    many frames."""
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
        fill(first, monitor)
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
