"""Small pictures for the worker to read, written by Blender itself."""

from pathlib import Path

import bpy


def write(folder: Path, count: int = 3, width: int = 56, height: int = 42, suffix: str = "png") -> Path:
    """A folder of ``count`` plain pictures, each of its own grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = bpy.data.images.new("picture", width, height)
        grey = 0.2 + 0.6 * i / max(1, count)
        image.pixels.foreach_set([grey, grey, grey, 1.0] * (width * height))
        image.file_format = "JPEG" if suffix == "jpg" else "PNG"
        image.filepath_raw = str(folder / f"photo_{i:03d}.{suffix}")
        image.save()
        bpy.data.images.remove(image)
    return folder


def write_model(file):
    """The smallest whole safetensors file."""
    header = b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"0")
    return file
