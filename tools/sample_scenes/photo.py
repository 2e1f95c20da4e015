"""Rendering a frame with Cycles, and saving it as a camera would."""

from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from PIL import Image

from .paths import SENSOR_MM, Shot

#: Google's photo sphere metadata, as panorama cameras write it.
GPANO = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"/></rdf:RDF></x:xmpmeta>'
)


def set_up(shot: Shot, samples: int) -> bpy.types.Object:
    """Make the scene's camera and Cycles' settings; returns the camera."""
    scene = bpy.context.scene
    lens = bpy.data.cameras.new("Camera")
    if shot.is_panorama:
        lens.type, lens.panorama_type = "PANO", "EQUIRECTANGULAR"
    else:
        lens.sensor_width, lens.sensor_fit, lens.lens = SENSOR_MM, "AUTO", shot.lens_mm
    longer = max(shot.width, shot.height)
    # Blender's shift moves the picture, not the axis: hence the signs (x right, y up, in parts of the longer side).
    lens.shift_x, lens.shift_y = -shot.offset[0] / longer, shot.offset[1] / longer
    lens.clip_start, lens.clip_end = 0.01, 500.0
    camera = bpy.data.objects.new("Camera", lens)
    scene.collection.objects.link(camera)
    scene.camera = camera
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = shot.width, shot.height, 100
    render.use_persistent_data = True
    render.threads_mode, render.threads = "FIXED", 2
    render.dither_intensity = 0.0
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, 0
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser, cycles.denoising_prefilter = True, "OPENIMAGEDENOISE", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 2, 2, 0
    cycles.filter_width = 1.3
    cycles.caustics_reflective = cycles.caustics_refractive = False
    scene.view_settings.view_transform = "Khronos PBR Neutral"
    scene.view_settings.look = "None"
    return camera


def aim(camera: bpy.types.Object, camera_to_world: np.ndarray) -> None:
    """Stand at an OpenCV camera-to-world pose (Blender's cameras look along -z, y up)."""
    camera.matrix_world = Matrix((camera_to_world @ np.diag([1.0, -1.0, -1.0, 1.0])).tolist())
    bpy.context.view_layer.update()


def take(target: Path, shot: Shot, number: int, scratch: Path, quality: int = 90) -> None:
    """Render the scene as it stands into a JPEG with the tags of a camera."""
    scene = bpy.context.scene
    scene.render.filepath = str(scratch / "frame.png")
    bpy.ops.render.render(write_still=True)
    with Image.open(scratch / "frame.png") as picture:
        about = {"xmp": GPANO} if shot.is_panorama else {"exif": _tags(shot, number)}
        picture.convert("RGB").save(target, quality=quality, subsampling=2, optimize=True, **about)


def _tags(shot: Shot, number: int) -> Image.Exif:
    """EXIF of the frame: a full-frame camera, so that both focal lengths are the lens's own."""
    exif = Image.Exif()
    minutes, seconds = divmod(number, 60)
    taken = f"2026:05:01 11:{30 + minutes:02d}:{seconds:02d}"
    exif[0x0100], exif[0x0101] = shot.width, shot.height
    exif[0x010F], exif[0x0110] = "Blender", "Cycles 36 mm"
    exif[0x0112] = 1
    exif[0x0132] = taken
    photo = exif.get_ifd(0x8769)
    photo[0x829D] = 8.0  # FNumber
    photo[0x9003] = taken  # DateTimeOriginal
    photo[0x920A] = float(shot.lens_mm)  # FocalLength
    photo[0xA002], photo[0xA003] = shot.width, shot.height
    photo[0xA405] = round(shot.lens_mm)  # FocalLengthIn35mmFilm
    return exif
