"""Dots have the size of their pixel's footprint: what is near and what is far are both closed surfaces."""

import bpy
import numpy as np
import payloads
import pytest
from da3_blender.core.output import blender_arrays
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.nodes import assembly, cameras, point_cloud
from PIL import Image

WIDTH, HEIGHT = 168, 112
NEAR, FAR = 1.0, 20.0  # metres
THROUGH = 0.02  # of a wall's picture; issue 15


def prediction():
    """One image: a wall at 1 m fills its left half, one at 20 m its right half."""
    depth = np.full((1, HEIGHT, WIDTH), FAR, np.float32)
    depth[..., : WIDTH // 2] = NEAR
    k = np.array([[[150.0, 0.0, WIDTH / 2], [0.0, 150.0, HEIGHT / 2], [0.0, 0.0, 1.0]]])
    return Prediction(
        depth, np.full_like(depth, 2.0), np.eye(4)[None, :3], k, np.full((1, HEIGHT, WIDTH, 3), 128, np.uint8), None
    )


def seen_through(scene, file, columns):
    """Share of the background in those columns of the picture, of which the rim is left out."""
    scene.render.filepath = str(file)
    bpy.ops.render.render(write_still=True)
    alpha = np.asarray(Image.open(file))[..., 3] / 255.0
    high, wide = alpha.shape
    part = alpha[high // 10 : -high // 10, round(columns[0] * wide) : round(columns[1] * wide)]
    return float((1.0 - part).mean())


@pytest.mark.parametrize("aside", [0.0, 0.35], ids=["from its camera", "from the side"])
def test_a_wall_at_1_m_and_one_at_20_m_in_one_cloud_are_both_closed(scene, tmp_path, aside):
    made = prediction()
    arrays = blender_arrays.points(made, [0], 0.5)
    run = assembly.begin(scene, "walls")
    record = payloads.record(np.eye(4)[:3], made.intrinsics[0], (WIDTH, HEIGHT))
    point_cloud.run_all(assembly.batch_steps(run, 0, payloads.parts(arrays), [record]))
    scene.render.engine, scene.render.film_transparent = "CYCLES", True
    scene.cycles.samples, scene.cycles.use_denoising = 8, False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    cameras.look_through(scene, scene.camera)
    scene.render.resolution_x, scene.render.resolution_y = 3 * WIDTH, 3 * HEIGHT  # finer than the image was
    scene.camera.rotation_mode = "XYZ"
    for distance, side, columns in ((NEAR, -1.0, (0.1, 0.45)), (FAR, 1.0, (0.55, 0.9))):
        if aside:  # round the wall's middle, which is then in the picture's
            middle = side * WIDTH / 4 / 150.0 * distance
            scene.camera.location.x = middle + side * aside * distance
            scene.camera.rotation_euler = (np.pi / 2, 0.0, side * np.arctan(aside))
            columns = (0.4, 0.6)
        share = seen_through(scene, tmp_path / f"{distance}.png", columns)
        print(f"wall at {distance:g} m, {'from the side' if aside else 'from its camera'}: {share:.2%} seen through")
        assert share < THROUGH
