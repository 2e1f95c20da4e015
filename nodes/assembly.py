"""From the worker's arrays to a scene: a run is begun, each batch is built in steps, and the run is ended."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import bpy
import numpy as np
from mathutils import Matrix

from ..core.output.payload import CameraRecord, MeshArrays, Part, camera_table, split
from . import animation, cameras, mesh, point_cloud
from .datablocks import collections, materials, point_trees, scene
from .datablocks.created import Created, is_there

TEXT = "DA3_Camera_Intrinsics"


@dataclass
class Built:
    """What a batch has become, and what is to be said of its cameras."""

    objects: list[bpy.types.Object]
    records: list[CameraRecord]


@dataclass
class Run:
    """What the batches of one run share. A second run has its own, and so does not touch the first."""

    scene: bpy.types.Scene
    top: bpy.types.Collection
    material: bpy.types.Material
    tree: bpy.types.NodeTree
    text: bpy.types.Text
    play: animation.Play = animation.Play()
    frame_rate: float | None = None  # per second
    shares_collection: bool = False  # all batches go into one collection, as a long way's chunks do
    playing: bpy.types.NodeTree | None = None  # of objects that show another frame's points at each frame
    camera: bpy.types.Object | None = None  # that moves, with Animate Sequence
    records: list[CameraRecord] = field(default_factory=list)
    batches: dict[int, Built] = field(default_factory=dict)
    shared: dict[str, bpy.types.Collection] = field(default_factory=dict)  # that several batches go into, by name
    built: list[bpy.types.ID] = field(default_factory=list)  # by the batches; some may have been deleted since
    surfaces: mesh.Surfaces = field(init=False)

    def __post_init__(self) -> None:
        self.surfaces = mesh.Surfaces(self.material)


def begin(
    into: bpy.types.Scene,
    input_name: str,
    play: animation.Play | None = None,
    frame_rate: float | None = None,
    *,
    shares_collection: bool = False,
) -> Run:
    """Make what all batches share: collection ``input_name``, material, node group and table of cameras.

    Parameters
    ----------
    play : what moves on the timeline; by default nothing
    frame_rate : of a video, frames per second; the scene takes it over with the first batch
    shares_collection : whether all batches go into one collection, instead of one each
    """
    with Created() as made:
        top = made.add(collections.new_top(input_name))
        material = made.add(materials.point_material())
        tree = made.add(point_trees.point_cloud_tree(material))
        text = made.add(bpy.data.texts.new(TEXT))
        into.collection.children.link(top)
    return Run(into, top, material, tree, text, play or animation.Play(), frame_rate, shares_collection)


def batch_steps(
    run: Run,
    number: int | None,
    parts: Sequence[Part],
    records: Sequence[CameraRecord],
    *,
    threshold: float = 0.5,
    scale: float = 1.0,
    edge_length: float = 0.1,
) -> Generator[None, None, bpy.types.Collection]:
    """Build one batch in small steps and show it with the last one. Closed half-way, it leaves nothing behind.

    Parameters
    ----------
    run : from ``begin``
    number : the batch's, as it appears in its name; None: what is of the whole run and of no batch
    parts : its objects; points that do not fit into one object become several
    records : its cameras
    threshold, scale, edge_length : inputs of the modifiers

    Returns
    -------
    The batch's collection, or that which it shares with others.
    """
    with Created() as made:
        places = _Places(run, number, made)
        objects, links = [], []
        for name, part in _named(places.name, parts):
            if isinstance(part.arrays, MeshArrays):
                obj = yield from mesh.build_steps(
                    name, part, run.surfaces, made, threshold=threshold, edge_length=edge_length
                )
            else:
                obj = yield from point_cloud.build_steps(name, part.arrays, run.tree, threshold=threshold, scale=scale)
            made.add(obj.data)
            objects.append(made.add(obj))
            if part.plays:
                if run.playing is None or not is_there(run.playing):
                    run.playing = made.add(point_trees.playing_tree())
                point_trees.add_playing(obj, run.playing)
            links.append((places.of(part.group), obj))
            if part.frame is not None:
                made.add(animation.show_only_at(obj, part.frame, _shown(run, records)))
                yield
        built = []
        if run.play.has_frame_cameras and records:
            inner = places.cameras()
            built = yield from cameras.build_steps(records)
            for camera in built:
                made.add(camera.data)
                objects.append(made.add(camera))
                links.append((inner, camera))
        path, moving = None, run.camera if run.camera and is_there(run.camera) else None
        if run.play.animate_sequence and records:
            path = yield from animation.path_steps([*run.records, *records], moving)
            for datablock in (path.poses, path.lenses, *((path.camera.data, path.camera) if not moving else ())):
                made.add(datablock)
        yield
        for collection, obj in links:
            collection.objects.link(obj)
        places.show()
        if path:
            if moving is None:
                run.camera = path.camera
                run.top.objects.link(path.camera)
            animation.follow(path)
        run.text.from_string(camera_table([*run.records, *records]))
        if records and not run.records:  # the first batch: the scene takes after its first image
            cameras.look_through(run.scene, run.camera or built[0])
            run.scene.frame_current = records[0].frame
            if run.frame_rate:
                scene.set_frame_rate(run.scene, run.frame_rate)
        run.records.extend(records)
        if number is not None:
            run.batches[number] = Built(objects, list(records))
        if run.records:
            scene.frame_range(run.scene, (record.frame for record in run.records))
        run.built.extend(made.all)
    return places.own


class _Places:
    """The collections that a batch goes into: its own, or those that it shares with others; new ones show at the end."""

    def __init__(self, run: Run, number: int | None, made: Created):
        self._run, self._made = run, made
        self._new: list[tuple[bpy.types.Collection, bpy.types.Collection]] = []  # parent, child
        self._fresh: dict[str, bpy.types.Collection] = {}  # of those, the shared ones
        if number is None:
            self.own = run.top
        elif run.shares_collection:
            self.own = self._shared(f"{run.top.name}_Chunks")
        else:
            self.own = made.add(collections.new_batch(run.top, number))
            self._new.append((run.top, self.own))
        self.name = self.own.name if number is None or not run.shares_collection else f"{run.top.name}_Chunk_{number}"

    def of(self, group: str) -> bpy.types.Collection:
        """Where the objects of a group go; those of none go into the batch's own."""
        return self._shared(group) if group else self.own

    def cameras(self) -> bpy.types.Collection:
        """The batch's ``Cameras``."""
        name = "Cameras"
        if self._run.shares_collection:
            return self._shared(name, self.own)
        inner = self._made.add(bpy.data.collections.new(name))
        self._new.append((self.own, inner))
        return inner

    def show(self) -> None:
        """Bring the new ones into the scene."""
        for parent, child in self._new:
            parent.children.link(child)
        self._run.shared.update(self._fresh)

    def _shared(self, name: str, parent: bpy.types.Collection | None = None) -> bpy.types.Collection:
        known = self._fresh.get(name) or self._run.shared.get(name)
        if known is None or not is_there(known):
            known = self._fresh[name] = self._made.add(bpy.data.collections.new(collections.fitting(name)))
            self._new.append((parent or self._run.top, known))
        return known


def _named(batch: str, parts: Sequence[Part]) -> Iterator[tuple[str, Part]]:
    """Each object's name and what is in it; clouds that are too large are cut."""
    for part in parts:
        name = collections.fitting(batch, part.name) if part.name.startswith("_") else collections.fitting(part.name)
        if isinstance(part.arrays, MeshArrays):
            yield name, part
            continue
        clouds = list(split(part.arrays))
        for k, cloud in enumerate(clouds, 1):
            piece = replace(part, arrays=cloud)
            yield name if len(clouds) == 1 else collections.fitting(name, f"_{k}"), piece


def _shown(run: Run, records: Sequence[CameraRecord]) -> int:
    """The timeline's frame once the batch is there: the first batch sets it."""
    return run.scene.frame_current if run.records or not records else records[0].frame


def settle_steps(run: Run, moves: Mapping[int, np.ndarray]) -> Generator[None, None, None]:
    """Move batches to their final place, once all loops of a long way are closed; a batch in a step.

    Parameters
    ----------
    moves : (4, 4) similarity for each batch's number, from the world it was built in to the final one, Blender's axes
    """
    for number, built in run.batches.items():
        if number not in moves:
            continue
        built.records[:] = [record.moved(moves[number]) for record in built.records]
        places = {record.frame: record.camera_to_world for record in built.records}
        for obj in filter(is_there, built.objects):
            if obj.type != "CAMERA":
                obj.matrix_world = Matrix(moves[number].tolist()) @ obj.matrix_world
            elif obj.get("frame") in places:
                obj.matrix_world = Matrix(np.reshape(places[obj["frame"]], (4, 4)).tolist())
        yield
    run.records[:] = [record for built in run.batches.values() for record in built.records]
    if run.camera is not None and is_there(run.camera):
        path = yield from animation.path_steps(run.records, run.camera)
        run.built.extend((path.poses, path.lenses))
        animation.follow(path)


def end(run: Run) -> None:
    """Close a run, whole or cancelled: one that built nothing, or of which nothing is in use, leaves nothing behind."""
    if is_there(run.top):
        is_empty = not run.top.children
    else:  # deleted meanwhile; its objects may have been kept
        is_empty = not any(is_there(made) and isinstance(made, bpy.types.Object) and made.users for made in run.built)
    if is_empty:
        discard(run)


def discard(run: Run) -> None:
    """Take away all that a run has made, as far as it is still there; what a person put beside it stays."""
    made = Created()
    for datablock in (*run.built, run.top, run.material, run.tree, run.text):
        made.add(datablock)
    made.discard()
    run.built.clear()
