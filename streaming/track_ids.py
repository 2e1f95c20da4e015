"""Things with names in a run that goes on: a thing keeps the number that it had before the break."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ..core.prediction.prediction import Prediction

if TYPE_CHECKING:
    from .run import Run

SAME = 0.5  # share of all pixels of two things, over the frames that were seen twice, that must be of both


class TrackIds:
    """Brings the numbers that the segmenter gives out to those on disk.

    A segmenter that begins in the middle of a run knows nothing of what was followed before, so it gives new numbers. It
    begins with frames that the last whole chunk has too, and there one sees which is which.
    """

    def __init__(self, run: Run):
        self._run = run
        self._segmenter = getattr(run.predictor, "segmenter", None)
        self._earlier = {int(number): name for number, name in run.store.notes.get("names", {}).items()}
        self._ids: dict[int, int] | None = None if self._earlier else {}  # those before the break, by the new ones
        if self._segmenter is not None and self._earlier:
            self._segmenter.resume(self._earlier)

    def adopt(self, indices: list[int], prediction: Prediction) -> dict[str, str]:
        """Change the numbers in a new chunk's prediction; the names of all things so far, by their number as text."""
        ids = prediction.object_id
        if self._segmenter is None or ids is None:
            return {}
        if self._ids is None:
            self._ids = self._same_as_before(indices, ids)
        for new, old in self._ids.items():
            ids[ids == new] = old
        names = {**self._segmenter.names, **self._earlier}
        return {str(number): name for number, name in names.items() if number not in self._ids}

    def _same_as_before(self, indices: list[int], ids: np.ndarray) -> dict[int, int]:
        store = self._run.store
        last = len(store.chunks) - 1
        before = store.load(last).object_id
        shared = [i for i in store.chunks[last] if i in indices]
        if before is None or not shared:
            return {}
        old, new = before[[store.chunks[last].index(i) for i in shared]], ids[[indices.index(i) for i in shared]]
        if old.shape != new.shape:
            return {}
        seen = (new > 0) & (old > 0)
        both = Counter(zip(new[seen].tolist(), old[seen].tolist(), strict=True))
        return {n: o for (n, o), count in both.items() if count > SAME * ((new == n) | (old == o)).sum()}
