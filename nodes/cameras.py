"""Cameras that see every point on the pixel it came from."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import bpy
import numpy as np
from mathutils import Matrix

from ..core.frames.pixels.orientation import MIRROR_AND_TURN, UPRIGHT
from .datablocks import image_materials
from .datablocks.collections import fitting
from .datablocks.created import Created

if TYPE_CHECKING:
    from ..core.output.payload import CameraRecord

SENSOR_WIDTH = 36.0  # mm, a full-frame camera's: lenses read as photographers know them
# Blender's own limits.
SHORTEST_LENS, SMALLEST_SENSOR = 1.0, 1.0
# A pixel's aspect nearer to 1 than this is 1: it moves no point by a thousandth of a pixel.
SQUARE = 1e-6
# With the photograph's own pixels, an aspect nearer to 1 than this is a model's uncertainty, and no pixel's shape.
NEARLY_SQUARE = 0.005
# Of the distance between neighbouring cameras: large enough to click on, small enough to see the next one.
DISPLAY_SHARE = 0.35
IMAGE_ALPHA = 0.5
REPROJECTION_ERROR = "da3_reprojection_error"  # on a camera: pixels of the photograph, as a curve on one that moves


@dataclass(frozen=True)
class Optics:
    """A pinhole camera in Blender's words. The sensor is fitted horizontally, whatever the image's format."""

    lens: float  # mm
    sensor_width: float  # mm
    shift_x: float  # in widths of the image
    shift_y: float
    pixel_aspect_x: float
    pixel_aspect_y: float


def optics(record: CameraRecord) -> Optics:
    """Lens, shift and pixel aspect of a camera.

    Fitted horizontally, Blender's viewplane is ``sensor_width / lens`` wide at distance 1 and spans the image's width;
    a pixel is as high as it is wide, times the pixel aspect y / x; both shifts count in image widths.
    """
    lens, sensor = record.fx * SENSOR_WIDTH / record.width, SENSOR_WIDTH
    if lens < SHORTEST_LENS:
        lens, sensor = SHORTEST_LENS, record.width / record.fx * SHORTEST_LENS
    aspect = record.fx / record.fy  # how many times as high as wide a pixel is
    if abs(aspect - 1.0) < SQUARE:
        aspect = 1.0
    return Optics(
        lens, sensor,
        shift_x=(record.width / 2.0 - record.cx) / record.width,
        shift_y=(record.cy - record.height / 2.0) * aspect / record.width,
        pixel_aspect_x=max(1.0, 1.0 / aspect), pixel_aspect_y=max(1.0, aspect),
    )  # fmt: skip


def build_steps(
    records: Sequence[CameraRecord], collection: bpy.types.Collection | None = None
) -> Generator[None, None, list[bpy.types.Object]]:
    """A camera for each record, one in a step, in ``collection`` or in none yet. Closed half-way, it leaves none behind."""
    spacing = spacing_of(records)
    with Created() as made:
        cameras = []
        for record in records:
            data = made.add(bpy.data.cameras.new(fitting(record.name)))
            camera = made.add(bpy.data.objects.new(fitting(record.name), data))
            set_up(camera, record, spacing)
            _add_background(data, record, made)
            if collection is not None:
                collection.objects.link(camera)
            cameras.append(camera)
            yield
    return cameras


def median_distance(centres: np.ndarray) -> float:
    """Median distance from a camera to its next; 0.3 for a single one or where none moves. ``centres``: (N, 3)."""
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    steps = steps[steps > 1e-6]
    return float(np.median(steps)) if len(steps) else 0.3


def great_circles(matrix: np.ndarray, radius: float) -> list[list[np.ndarray]]:
    """Three great circles around a camera that sees all around, (4, 4) camera to world."""
    angles = np.linspace(0.0, 2.0 * np.pi, 25)
    flat = radius * np.stack([np.cos(angles), np.sin(angles), np.zeros(25)], axis=-1)
    return [list(np.roll(flat, axis, axis=1) @ matrix[:3, :3].T + matrix[:3, 3]) for axis in range(3)]


def look_through(scene: bpy.types.Scene, camera: bpy.types.Object) -> None:
    """Make ``camera`` the scene's, with the picture size and pixel aspect of its image.

    Blender keeps those with the scene, so cameras whose images or focal lengths differ need this to be exact.
    """
    scene.camera = camera
    for name, value in picture_of(camera).items():
        setattr(scene.render, name, value)


def picture_of(camera: bpy.types.Object) -> dict[str, int | float]:
    """Render size and pixel aspect that a camera of ours wants, by the names of a scene's render settings.

    The size is that of the photograph. Where its pixels are square but for what a model does not know better, they are square.
    """
    width, height = int(camera["width"]), int(camera["height"])
    wide, high = (int(value) for value in camera.get("picture", (width, height)))
    aspect = camera["pixel_aspect_y"] / camera["pixel_aspect_x"]
    if (wide, high) != (width, height):
        aspect *= wide / width * height / high
        if abs(aspect - 1.0) <= NEARLY_SQUARE:
            aspect = 1.0
    # Blender's limit for an aspect is 1 and up: one of the two is always 1.
    return {
        "resolution_x": wide, "resolution_y": high,
        "pixel_aspect_x": max(1.0, 1.0 / aspect), "pixel_aspect_y": max(1.0, aspect),
    }  # fmt: skip


def spacing_of(records: Sequence[CameraRecord]) -> float:
    """Median distance from one of the records to the next."""
    return median_distance(np.array([np.reshape(r.camera_to_world, (4, 4))[:3, 3] for r in records]).reshape(-1, 3))


def set_up(camera: bpy.types.Object, record: CameraRecord, spacing: float) -> None:
    """Make a camera see as the record says; ``spacing``: from it to the next camera, for how large it is drawn."""
    lens = optics(record)
    data = camera.data
    data.type, data.lens_unit = "PANO" if record.is_panorama else "PERSP", "MILLIMETERS"
    if record.is_panorama:  # only Cycles renders it; Blender 5.0 moved the setting from Cycles into the camera
        holder = data if hasattr(data, "panorama_type") else getattr(data, "cycles", None)
        if holder is not None:  # Cycles is an add-on that can be switched off
            holder.panorama_type = "EQUIRECTANGULAR"
    data.sensor_fit, data.sensor_width = "HORIZONTAL", lens.sensor_width
    data.sensor_height = lens.sensor_width * record.height * lens.pixel_aspect_y / (record.width * lens.pixel_aspect_x)
    data.lens, data.shift_x, data.shift_y = lens.lens, lens.shift_x, lens.shift_y
    data.display_size = DISPLAY_SHARE * spacing
    # A reconstruction's unit is arbitrary: the defaults of 0.1 and 100 would cut many a cloud.
    data.clip_start, data.clip_end = min(0.01, 0.1 * spacing), max(1000.0, 1e4 * spacing)
    camera.rotation_mode = "QUATERNION"  # no angle at which a float32 Euler loses digits
    camera.matrix_world = Matrix(np.reshape(record.camera_to_world, (4, 4)).tolist())
    values = {
        **record.intrinsics,
        "width": record.width, "height": record.height,
        "pixel_aspect_x": lens.pixel_aspect_x, "pixel_aspect_y": lens.pixel_aspect_y, "frame": record.frame,
        "picture": list(record.picture),  # the photograph's size, which is the render's
        "placement": list(record.placement),  # of the original in the picture, for nodes/scene_cameras.py
    }  # fmt: skip
    if record.reprojection_error > 0.0:
        values[REPROJECTION_ERROR] = record.reprojection_error
    for owner, own in ((camera, values), (data, record.intrinsics)):
        for key, value in own.items():
            owner[key] = value


def _add_background(data: bpy.types.Camera, record: CameraRecord, made: Created) -> None:
    """Put the original behind the scene; ``made`` learns of an image that was not in the file before.

    Blender reads its pixels only when somebody looks through the camera. A scene may be built where the images are not: the
    camera is as true without.
    """
    if record.copy:  # upright, of the whole original
        record = replace(record, video="", image=record.copy, orientation=UPRIGHT)
    image = image_materials.load(
        record.video or record.image, made, packed=bool(record.copy), is_video=bool(record.video)
    )
    if image is None or (record.video and is_turned(image.size, record)):
        return
    background = data.background_images.new()
    background.image = image
    if record.video:
        user = background.image_user  # a movie of one frame, that begins later in the file
        user.frame_start, user.frame_duration, user.frame_offset = 1, 1, record.frame
    lay_behind(data, background, record)


def lay_behind(data: bpy.types.Camera, background: bpy.types.CameraBackgroundImage, record: CameraRecord) -> None:
    """Have a background show behind everything, where the record's picture lies."""
    background.alpha = IMAGE_ALPHA
    background.display_depth = "BACK"
    _fit(background, record)
    data.show_background_images = True


def is_turned(size: Sequence[int], record: CameraRecord) -> bool:
    """Whether Blender shows a video lying that stands: older ones pay no heed to how a file says it is turned."""
    wide, high = record.photo
    return size[0] != size[1] and (size[0] > size[1]) != (wide > high)


def _fit(background: bpy.types.CameraBackgroundImage, record: CameraRecord) -> None:
    """Lay the original over the part of the frame that it was processed as, upright."""
    width, height = record.placement[2:]
    mirrored, turn = MIRROR_AND_TURN[record.orientation]
    background.use_flip_x, background.rotation = mirrored, turn
    lying = abs(math.sin(turn)) > 0.5
    if not lying and (width, height) == (record.width, record.height):
        background.frame_method = "STRETCH"  # fills the frame, though whole patches may have changed its shape a bit
        return
    # FIT makes the picture, as it is stored, as large as the frame allows; it is then scaled and turned about the
    # frame's centre, which is where a smaller original lies on its canvas. It takes the pixels for square, hence
    # display_aspect.
    lens = optics(record)
    across, down = lens.pixel_aspect_x, lens.pixel_aspect_y
    frame = np.array([record.width * across, record.height * down])
    upright = np.array([width * across, height * down])
    stored = upright[::-1] if lying else upright
    background.frame_method = "FIT"
    background.scale = float(1.0 / (frame / stored).min())
    shown = background.clip or background.image
    shown.display_aspect = (down, across) if lying else (across, down)
