"""The EXR of a frame's depth, as Blender reads it."""

import bpy
import numpy as np
from da3_blender.core.files import exr


def test_blender_reads_every_value(tmp_path):
    depth = np.random.default_rng(0).uniform(0.1, 50.0, (37, 50)).astype(np.float32)
    path = tmp_path / "plain.exr"
    path.write_bytes(exr.encode({"R": depth, "G": depth, "B": depth}))
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    flat = np.empty(4 * depth.size, np.float32)
    image.pixels.foreach_get(flat)
    assert np.array_equal(flat.reshape(37, 50, 4)[::-1, :, 0], depth)
