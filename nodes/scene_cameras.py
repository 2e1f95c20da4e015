"""Cameras that stand in the scene, as records: the inverse of ``cameras.py``, for any perspective camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import bpy
import numpy as np

from ..core.errors import BadInput
from ..core.output.payload import CameraRecord
from . import cameras

MOST_FRAMES = 20_000
FOREIGN = -1  # the frame of a camera that this add-on did not make


def read_collection(scene: bpy.types.Scene, name: str) -> list[CameraRecord]:
    """The cameras of a collection and of those inside it.

    Parameters
    ----------
    scene : gives render size and pixel aspect to cameras that know none of their own
    name : of the collection

    Raises
    ------
    BadInput
        There is no such collection, no camera in it, or one that is no perspective camera.
    """
    collection = bpy.data.collections.get(name)
    if collection is None:
        raise BadInput(
            f"There is no collection '{name}' with known cameras" if name else "Known Cameras: choose a collection"
        )
    found = [obj for obj in collection.all_objects if obj.type == "CAMERA"]
    if not found:
        raise BadInput(f"There are no cameras in the collection '{name}'")
    return records(scene, found)


def read_moving(scene: bpy.types.Scene, name: str) -> list[CameraRecord]:
    """A camera at every frame: of the scene's range, and of its own keys.

    What moves it (keys, a parent, a constraint such as Blender's own camera solve or an Alembic cache) is evaluated in a
    scene of its own, in which nothing else is computed. Each record is named after its frame of the timeline, and its
    ``frame`` counts from the scene's start.

    Raises
    ------
    BadInput
        There is no such camera, or it is not a perspective camera.
    """
    camera = scene.objects.get(name)
    if camera is None or camera.type != "CAMERA":
        raise BadInput(
            f"There is no camera '{name}' in the scene" if name else "Known Cameras: choose the moving camera"
        )
    numbers = set(range(scene.frame_start, scene.frame_end + 1))
    for owner in (camera, camera.data, camera.parent):
        if owner is not None and owner.animation_data and owner.animation_data.action:
            low, high = owner.animation_data.action.frame_range
            numbers |= set(range(math.floor(low), math.ceil(high) + 1))
    own = scene.copy()  # with its frame rate and units
    try:
        for collection in list(own.collection.children):
            own.collection.children.unlink(collection)
        for obj in list(own.collection.objects):
            own.collection.objects.unlink(obj)
        own.collection.objects.link(camera)
        found = []
        for number in sorted(numbers)[:MOST_FRAMES]:
            own.frame_set(number)
            seen = camera.evaluated_get(own.view_layers[0].depsgraph)
            found.append(replace(_record(own, seen), name=str(number), frame=number - scene.frame_start))
        return found
    finally:
        bpy.data.scenes.remove(own)


def records(scene: bpy.types.Scene, found: Sequence[bpy.types.Object]) -> list[CameraRecord]:
    """A record for each camera, in pixels of its picture; raises BadInput where one is not a perspective camera."""
    return [_record(scene, camera) for camera in found]


def _record(scene: bpy.types.Scene, camera: bpy.types.Object) -> CameraRecord:
    data = camera.data
    if data.type != "PERSP":
        raise BadInput(f"The camera '{camera.name}' is not a perspective camera: it cannot be a known camera")
    width, height, aspect, frame, placement = _picture(scene, camera)
    # Blender's viewplane: the fitted side spans sensor / lens at distance 1, and shifts count in that side's lengths.
    horizontal = data.sensor_fit == "HORIZONTAL" or (data.sensor_fit == "AUTO" and width >= height * aspect)
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    fitted = float(width) if horizontal else height * aspect  # in widths of a pixel
    focal = data.lens / sensor * fitted
    matrix = np.array(camera.matrix_world, np.float64)
    matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)  # a camera that is drawn larger sees no more
    return CameraRecord(
        name=camera.name, frame=frame, camera_to_world=tuple(matrix.ravel().tolist()),
        fx=focal, fy=focal / aspect,
        cx=width / 2.0 - data.shift_x * fitted, cy=height / 2.0 + data.shift_y * fitted / aspect,
        width=width, height=height, image="", placement=placement,
    )  # fmt: skip


def _picture(
    scene: bpy.types.Scene, camera: bpy.types.Object
) -> tuple[int, int, float, int, tuple[int, int, int, int]]:
    """Width, height, how many times as high as wide a pixel is, the frame, and where the image lies in the picture."""
    if "placement" in camera and "frame" in camera:  # one of ours
        width, height = int(camera["width"]), int(camera["height"])
        left, top, wide, high = (int(value) for value in camera["placement"])
        aspect = camera["pixel_aspect_y"] / camera["pixel_aspect_x"]
        return width, height, aspect, int(camera["frame"]), (left, top, wide, high)
    if "picture" in camera:  # our own that moves
        own = cameras.picture_of(camera)
        width, height = int(own["resolution_x"]), int(own["resolution_y"])
        return width, height, own["pixel_aspect_y"] / own["pixel_aspect_x"], FOREIGN, (0, 0, width, height)
    render = scene.render
    width, height = render.resolution_x, render.resolution_y
    return width, height, render.pixel_aspect_y / render.pixel_aspect_x, FOREIGN, (0, 0, width, height)
