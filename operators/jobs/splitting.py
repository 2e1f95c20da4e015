"""Split by Object, in small steps."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from pathlib import Path

import bpy
from bpy.types import Collection, Object, Scene

from ...core.errors import DA3Error
from ...nodes import animation
from ...nodes.datablocks.collections import fitting
from ...nodes.datablocks.created import Created, is_there
from ...nodes.edits import splitting, transforming
from ..state.session import Session
from .job import Job

_NO_MORE = object()


class SplitJob(Job):
    """Splits objects by the things in them, and shows the result when all of it is there.

    Parameters
    ----------
    top : the run's collection
    objects : of it, with the attribute object_id
    kept_runs : folder in which the names of things may be found
    """

    title = "Split by Object"
    builds = True

    def __init__(self, session: Session, scene: Scene, top: Collection, objects: list[Object], kept_runs: Path):
        super().__init__(session)
        self._top, self._objects = top, objects
        self._names = thing_names(kept_runs / str(top.get(transforming.RUN, "")) / "manifest.json")
        self._building: Generator[None, None, None] | None = None
        self._count = 0

    def _start(self) -> None:
        self._building = self._steps()

    def _wait(self, seconds: float) -> None:
        """There is always something to do."""

    def _advance(self, budget: float) -> None:
        until = time.perf_counter() + budget
        while not self.ended:
            assert self._building
            try:
                finished = next(self._building, _NO_MORE) is _NO_MORE
            except ReferenceError:
                raise DA3Error("What was to be split has gone, so splitting was stopped") from None
            if finished:
                self._building = None
                self.changed = self._count > 0
                self.end(
                    f"{self._count} objects in '{splitting.SEGMENTED}'" if self._count else "There is one thing only"
                )
            if time.perf_counter() >= until:
                break

    def _steps(self) -> Generator[None, None, None]:
        with Created() as made:
            found: list[tuple[Object, list[Object]]] = []
            for number, obj in enumerate(self._objects):
                self.status.stage, self.status.fraction = "splitting", number / len(self._objects)
                if not is_there(obj):
                    raise ReferenceError
                found.append((obj, (yield from splitting.split_steps(obj, self._names, made))))
                yield
            if not is_there(self._top):
                raise ReferenceError
            self._show(found, made)

    def _show(self, found: list[tuple[Object, list[Object]]], made: Created) -> None:
        """The new objects into ``Segmented``; those they were split from go, with what only they used."""
        split = [(obj, new) for obj, new in found if new]
        if not split:
            return
        there = next((c for c in self._top.children if c.name.split(".")[0] == splitting.SEGMENTED), None)
        if there is None:
            there = made.add(bpy.data.collections.new(fitting(splitting.SEGMENTED)))
            self._top.children.link(there)
        for _, new in split:
            for obj in new:
                there.objects.link(obj)
                _own_action(obj)
            self._count += len(new)
        meshes = {obj.data for obj, _ in split}
        bpy.data.batch_remove([obj for obj, _ in split])
        bpy.data.batch_remove([mesh for mesh in meshes if mesh.users == 0])

    def scene_was_replaced(self) -> None:
        self.fail(DA3Error("Something was undone meanwhile, so splitting was stopped"))

    def _stop(self) -> None:
        if self._building is not None:
            self._building.close()  # takes away what is half-built
            self._building = None


def _own_action(obj: Object) -> None:
    """A copy that shows at its frame only shares its curves with the others, where Blender allows that."""
    if obj.animation_data and obj.animation_data.action and animation.SLOTS and obj.animation_data.action_slot is None:
        obj.animation_data.action_slot = obj.animation_data.action.slots[0]


def thing_names(manifest: Path) -> dict[int, str]:
    """Names of a kept run's things by their ids; none where the run is not kept."""
    try:
        batches = json.loads(manifest.read_text("utf-8"))["batches"]
        return {int(number): str(name) for batch in batches for number, name in batch["names"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # not kept, or broken: then its things have numbers for names
