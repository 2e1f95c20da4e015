"""From the worker's arrays to a scene: a run is begun, each batch is built in steps, and the run is ended."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import bpy

from ..core.payload import CameraRecord, PointArrays, camera_table, split
from . import cameras, collections, materials, point_cloud, scene, trees
from .created import Created

TEXT = "DA3_Camera_Intrinsics"


@dataclass
class Run:
    """What the batches of one run share. A second run has its own, and so does not touch the first."""

    scene: bpy.types.Scene
    top: bpy.types.Collection
    material: bpy.types.Material
    tree: bpy.types.NodeTree
    text: bpy.types.Text
    records: list[CameraRecord] = field(default_factory=list)


def begin(into: bpy.types.Scene, input_name: str) -> Run:
    """Make what all batches share: collection ``input_name``, material, node group and table of cameras."""
    with Created() as made:
        top = made.add(collections.new_top(input_name))
        material = made.add(materials.point_material())
        tree = made.add(trees.point_cloud_tree(material))
        text = made.add(bpy.data.texts.new(TEXT))
        into.collection.children.link(top)
    return Run(into, top, material, tree, text)


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
    cloud : its points; more than fit into one object become several
    records : its cameras
    threshold, scale : inputs of the modifier

    Returns
    -------
    The batch's collection.
    """
    with Created() as made:
        batch = made.add(collections.new_batch(run.top, number))
        inner = made.add(collections.new_cameras(batch))
        parts = list(split(cloud))
        for k, part in enumerate(parts, 1):
            name = collections.fitting(batch.name, "_Points" if len(parts) == 1 else f"_Points_{k}")
            obj = yield from point_cloud.build_steps(name, part, run.tree, threshold=threshold, scale=scale)
            made.add(obj.data)
            batch.objects.link(made.add(obj))
        built = yield from cameras.build_steps(records, inner)
        for camera in built:
            made.add(camera.data)
            made.add(camera)
        yield
        run.top.children.link(batch)
        run.text.from_string(camera_table([*run.records, *records]))
        if built and not run.records:  # the first batch: the scene takes after its first image
            cameras.look_through(run.scene, built[0])
            run.scene.frame_current = records[0].frame
        run.records.extend(records)
        if run.records:
            scene.frame_range(run.scene, (record.frame for record in run.records))
    return batch


def end(run: Run) -> None:
    """Close a run, whole or cancelled: one that built nothing leaves nothing behind."""
    if not run.top.children:
        made = Created()
        for datablock in (run.top, run.material, run.tree, run.text):
            made.add(datablock)
        made.discard()
