"""From the worker's arrays to a scene: a run is begun, each batch is built in steps, and the run is ended."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Matrix

from ..core.payload import CameraRecord, PointArrays, by_frame, camera_table, split
from . import animation, cameras, collections, materials, point_cloud, scene, trees
from .created import Created, is_there

TEXT = "DA3_Camera_Intrinsics"


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
    camera: bpy.types.Object | None = None  # that moves, with Animate Sequence
    records: list[CameraRecord] = field(default_factory=list)
    batches: dict[int, tuple[bpy.types.Collection, list[CameraRecord]]] = field(default_factory=dict)
    built: list[bpy.types.ID] = field(default_factory=list)  # by the batches; some may have been deleted since


def begin(
    into: bpy.types.Scene, input_name: str, play: animation.Play | None = None, frame_rate: float | None = None
) -> Run:
    """Make what all batches share: collection ``input_name``, material, node group and table of cameras.

    Parameters
    ----------
    play : what moves on the timeline; by default nothing
    frame_rate : of a video, frames per second; the scene takes it over with the first batch
    """
    with Created() as made:
        top = made.add(collections.new_top(input_name))
        material = made.add(materials.point_material())
        tree = made.add(trees.point_cloud_tree(material))
        text = made.add(bpy.data.texts.new(TEXT))
        into.collection.children.link(top)
    return Run(into, top, material, tree, text, play or animation.Play(), frame_rate)


def batch_steps(
    run: Run,
    number: int,
    cloud: PointArrays,
    records: Sequence[CameraRecord],
    *,
    threshold: float = 0.5,
    scale: float = 1.0,
) -> Generator[None, None, bpy.types.Collection]:
    """Build one batch in small steps and show it with the last one. Closed half-way, it leaves nothing behind.

    Parameters
    ----------
    run : from ``begin``
    number : the batch's, as it appears in its name
    cloud : its points; more than fit into one object become several. Where each frame's geometry is to be an object of its
        own, in the order of ``payload.in_order_of_frames``
    records : its cameras
    threshold, scale : inputs of the modifier

    Returns
    -------
    The batch's collection.
    """
    with Created() as made:
        batch = made.add(collections.new_batch(run.top, number))
        for name, part, frame in _parts(run, batch.name, cloud, records):
            obj = yield from point_cloud.build_steps(name, part, run.tree, threshold=threshold, scale=scale)
            made.add(obj.data)
            batch.objects.link(made.add(obj))
            if frame is not None:
                made.add(animation.show_only_at(obj, frame, _shown(run, records)))
                yield
        built = []
        if run.play.has_frame_cameras:
            inner = made.add(collections.new_cameras(batch))
            built = yield from cameras.build_steps(records, inner)
            for camera in built:
                made.add(camera.data)
                made.add(camera)
        path, moving = None, run.camera if run.camera and is_there(run.camera) else None
        if run.play.animate_sequence and records:
            path = yield from animation.path_steps([*run.records, *records], moving)
            for datablock in (path.poses, path.lenses, *((path.camera.data, path.camera) if not moving else ())):
                made.add(datablock)
        yield
        run.top.children.link(batch)
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
        run.batches[number] = batch, list(records)
        if run.records:
            scene.frame_range(run.scene, (record.frame for record in run.records))
        run.built.extend(made.all)
    return batch


def _parts(
    run: Run, batch: str, cloud: PointArrays, records: Sequence[CameraRecord]
) -> Iterator[tuple[str, PointArrays, int | None]]:
    """Name and points of each object, and the frame that it is of where each frame has its own."""
    groups: list[tuple[str, PointArrays, int | None]] = []
    if run.play.per_frame_geometry:
        frames = [record.frame for record in records]
        groups += [(f"_Frame_{frame}", points, frame) for frame, points in by_frame(cloud, frames)]
    else:
        groups += [("_Points", cloud, None)]
    for ending, points, frame in groups:
        parts = list(split(points))
        for k, part in enumerate(parts, 1):
            yield collections.fitting(batch, ending if len(parts) == 1 else f"{ending}_{k}"), part, frame


def _shown(run: Run, records: Sequence[CameraRecord]) -> int:
    """The timeline's frame once the batch is there: the first batch sets it."""
    return run.scene.frame_current if run.records else records[0].frame


def settle_steps(run: Run, moves: Mapping[int, np.ndarray]) -> Generator[None, None, None]:
    """Move batches to their final place, once all loops of a long way are closed; a batch in a step.

    Parameters
    ----------
    moves : (4, 4) similarity for each batch's number, from the world it was built in to the final one, Blender's axes
    """
    for number, (batch, records) in run.batches.items():
        if number not in moves or not is_there(batch):
            continue
        records[:] = [record.moved(moves[number]) for record in records]
        places = {record.frame: record.camera_to_world for record in records}
        for obj in batch.all_objects:
            if obj.type != "CAMERA":
                obj.matrix_world = Matrix(moves[number].tolist()) @ obj.matrix_world
            elif obj.get("frame") in places:
                obj.matrix_world = Matrix(np.reshape(places[obj["frame"]], (4, 4)).tolist())
        yield
    run.records[:] = [record for _, records in run.batches.values() for record in records]
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
