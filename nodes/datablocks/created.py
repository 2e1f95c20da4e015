"""Datablocks of a build that has not reached its end yet."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import bpy

AnyID = TypeVar("AnyID", bound=bpy.types.ID)


class Created:
    """Remembers what a step-by-step build has made, and takes it all away if the build does not reach its end.

    A generator that is closed half-way sees GeneratorExit at its ``yield``, so ``with Created() as made:`` around the
    steps leaves nothing half-built behind, whether the build failed or was cancelled.
    """

    def __init__(self) -> None:
        self._made: list[bpy.types.ID] = []

    def add(self, made: AnyID) -> AnyID:
        self._made.append(made)
        return made

    def __enter__(self) -> Created:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        self._made.clear()

    @property
    def all(self) -> list[bpy.types.ID]:
        """What was made so far."""
        return list(self._made)

    def discard(self) -> None:
        """Take away what was made, as far as it is still there."""
        bpy.data.batch_remove([made for made in self._made if is_there(made)])
        self._made.clear()


def is_there(made: bpy.types.ID) -> bool:
    """Whether nobody has removed it meanwhile: between two steps the person may delete or undo."""
    try:
        return made.name is not None
    except ReferenceError:
        return False
