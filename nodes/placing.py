"""Where in a run's collection a batch goes, and what its objects are called.

One batch lies flat in the run's collection: ``courtyard`` > ``Points``, ``Cameras`` > ``000``. Where a second one comes, each gets
a collection of its own: ``courtyard_Batch_0`` > ``courtyard_Batch_0_Points``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import bpy

from ..core.output.payload import Part, PointArrays, split
from .datablocks import collections
from .datablocks.created import Created, is_there

CAMERAS = "Cameras"


class Batch(Protocol):
    """What a batch has become."""

    objects: list[bpy.types.Object]


class Run(Protocol):
    """What is asked of a run here; ``assembly.py`` makes them."""

    top: bpy.types.Collection
    shares_collection: bool
    shared: dict[str, bpy.types.Collection]

    @property
    def batches(self) -> Mapping[int, Batch]: ...


class Places:
    """The collections that a batch goes into: its own, or those that it shares with others; new ones show at the end."""

    def __init__(self, run: Run, number: int | None, made: Created):
        self._run, self._made = run, made
        self._new: list[tuple[bpy.types.Collection, bpy.types.Collection]] = []  # parent, child
        self._fresh: dict[str, bpy.types.Collection] = {}  # of those, the shared ones
        self._first: tuple[int, bpy.types.Collection] | None = None  # what has been alone until now, and where it goes
        self._cameras: dict[str, bpy.types.Collection] = {}  # by input; the batch's whole is ""
        self.prefix = ""  # of its objects' names
        if number is None or (not run.shares_collection and not (set(run.batches) - {number})):
            self.own = run.top
            self.prefix = run.top.name if number is None else ""
        elif run.shares_collection:
            self.own = self._shared(f"{run.top.name}_Chunks")
            self.prefix = f"{run.top.name}_Chunk_{number}"
        else:
            (first, *others) = run.batches
            if not others:
                self._first = first, self._made.add(collections.new_batch(run.top, first))
            self.own = made.add(collections.new_batch(run.top, number))
            self._new.append((run.top, self.own))
            self.prefix = self.own.name

    def of(self, group: str) -> bpy.types.Collection:
        """Where the objects of a group go; those of none go into the batch's own."""
        return self._shared(group) if group else self.own

    def cameras(self, source: str = "") -> bpy.types.Collection:
        """The batch's ``Cameras``, or what is in it for one of several inputs, by its name."""
        if source not in self._cameras:
            parent, name = (self.cameras(), source) if source else (self.own, CAMERAS)
            part = f"{CAMERAS} {source}".rstrip()
            if self._run.shares_collection:
                self._cameras[source] = self._shared(part, parent, name)
            else:
                self._cameras[source] = self._made.add(bpy.data.collections.new(collections.fitting(name)))
                self._cameras[source][collections.PART] = part
                self._new.append((parent, self._cameras[source]))
        return self._cameras[source]

    def show(self) -> None:
        """Bring the new ones into the scene."""
        if self._first is not None:
            self._move_first(*self._first)
        for parent, child in self._new:
            parent.children.link(child)
        self._run.shared.update(self._fresh)

    def _move_first(self, number: int, into: bpy.types.Collection) -> None:
        """What lay flat in the run's collection is one of several now."""
        top, objects = self._run.top, self._run.batches[number].objects
        for obj in filter(is_there, objects):
            if obj.name in top.objects:
                top.objects.unlink(obj)
                into.objects.link(obj)
                if obj.type != "CAMERA" and _is_plain(obj):
                    obj.name = obj.data.name = collections.fitting(into.name, f"_{obj.name}")
        for child in [child for child in top.children if child.name.split(".")[0] == CAMERAS]:
            top.children.unlink(child)
            into.children.link(child)
        top.children.link(into)

    def _shared(self, name: str, parent: bpy.types.Collection | None = None, shown: str = "") -> bpy.types.Collection:
        known = self._fresh.get(name) or self._run.shared.get(name)
        if known is None or not is_there(known):
            known = self._fresh[name] = self._made.add(bpy.data.collections.new(collections.fitting(shown or name)))
            known[collections.PART] = name
            self._new.append((parent or self._run.top, known))
        return known


def named(prefix: str, parts: Sequence[Part]) -> Iterator[tuple[str, Part]]:
    """Each object's name and what is in it; clouds that are too large are cut."""
    for part in parts:
        name = collections.fitting(prefix, part.name) if part.name.startswith("_") else collections.fitting(part.name)
        name = name.removeprefix("_") if not prefix else name
        if not isinstance(part.arrays, PointArrays):
            yield name, part
            continue
        clouds = list(split(part.arrays))
        for k, cloud in enumerate(clouds, 1):
            piece = replace(part, arrays=cloud)
            yield name if len(clouds) == 1 else collections.fitting(name, f"_{k}"), piece


def _is_plain(obj: bpy.types.Object) -> bool:
    """Whether an object has the name that a batch alone gives it, perhaps with Blender's number."""
    return obj.name.split(".")[0].split("_")[0] in ("Points", "Frame", "Mesh")
