"""Passes one after another become one scene, in which every frame is there once.

A frame that the next pass sees again is held back until that pass has come, and given out with it, blended from both.
What is kept in memory is therefore never more than one pass.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ..prediction.prediction import Prediction
from . import blending, pass_alignment

POOR_FIT = 0.05  # median relative difference of depths beyond which two passes visibly do not fit


@dataclass
class Stitched:
    """Frames that are final: ``indices`` in the input and what is known of them, in the first pass's frame."""

    indices: list[int]
    prediction: Prediction
    warnings: list[str]


class Stitcher:
    """Takes a run's passes in their order."""

    def __init__(self) -> None:
        self._indices: list[int] = []  # of the pass before, aligned
        self._prediction: Prediction | None = None
        self._held: list[int] = []  # those of them that were not given out
        self._number = 0

    @property
    def is_empty(self) -> bool:
        """No pass has come yet."""
        return self._number == 0

    def add(
        self, indices: Sequence[int], prediction: Prediction, following: Collection[int], fitted: bool = True
    ) -> Stitched:
        """Fit a pass to what is there.

        Parameters
        ----------
        indices, prediction : the pass, N frames with cameras
        following : the frames of the pass that comes next, as far as known
        fitted : whether to align the pass; False where cameras are known beforehand, or the model gives none
        """
        indices = list(indices)
        self._number += 1
        warnings: list[str] = []
        if self._prediction is None:
            ready, whole = indices, prediction
        else:
            shared = [i for i in self._held if i in indices]
            if fitted:
                own = [indices.index(i) for i in shared]
                found = pass_alignment.align(self._prediction, self._rows(shared), prediction, own)
                warnings = self._judge(found)
                prediction = replace(found.similarity.apply(prediction), is_metric=self._prediction.is_metric)
            for index in shared:
                blending.blend_into(prediction, indices.index(index), self._prediction, self._indices.index(index))
            left = [i for i in self._held if i not in shared]  # the next pass was planned anew, without them
            whole = blending.join(prediction, blending.select(self._prediction, self._rows(left)))
            ready = indices + left
        self._indices, self._prediction = indices, prediction
        self._held = [i for i in indices if i in following]
        rows = [row for row, index in enumerate(ready) if index not in self._held]
        rows.sort(key=lambda row: ready[row])
        return Stitched([ready[row] for row in rows], blending.select(whole, rows), warnings)

    def rest(self) -> Stitched | None:
        """Frames that were held back for a pass that did not come."""
        if not self._held or self._prediction is None:
            return None
        indices, self._held = self._held, []
        return Stitched(indices, blending.select(self._prediction, self._rows(indices)), [])

    def _rows(self, indices: Sequence[int]) -> list[int]:
        return [self._indices.index(i) for i in indices]

    def _judge(self, found: pass_alignment.Alignment) -> list[str]:
        """What a person should know of a fit."""
        name = f"Batch {self._number}"
        if found.shared == 0 and found.residual is None:
            return [f"{name} shares nothing with the one before: it was put where that one ends, at a guessed scale"]
        if found.residual is None or found.residual > POOR_FIT:
            by = "" if found.residual is None else f" (depths differ by {found.residual:.0%})"
            return [f"{name} does not fit the one before well{by}: more overlap or fewer moving things would help"]
        if found.shared == 0:
            return [f"{name} shares no frame with the one before: it was fitted by the surfaces that both see"]
        return []
