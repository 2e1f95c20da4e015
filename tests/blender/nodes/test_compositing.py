"""The plate under the render: where the lens bends, it is straightened about its own pixels."""

import bpy
import numpy as np
from da3_blender.nodes.datablocks import compositing
from da3_blender.nodes.datablocks import scene as scenes

SIZE = (320, 180)
FOCAL = 213.0  # pixels: a corner is 0.86 off the axis
CORNERS = 84.0 / FOCAL, 62.0 / FOCAL  # of the dark square, at depth 1, as a pinhole sees it


def bend(x, y, k1):
    squared = x * x + y * y
    return x * (1.0 + k1 * squared), y * (1.0 + k1 * squared)


def plate(tmp_path, k1):
    """A dark square in the plate of a lens that bends, its rim as exact as 8 x 8 samples a pixel make it."""
    wide, high = (8 * side for side in SIZE)
    v, u = (np.mgrid[0.5:high, 0.5:wide] - np.array([high, wide])[:, None, None] / 2.0) / (8.0 * FOCAL)
    x, y = u, v
    for _ in range(40):
        bent = bend(x, y, k1)
        x, y = x + u - bent[0], y + v - bent[1]
    bright = np.where((np.abs(x) < CORNERS[0]) & (np.abs(y) < CORNERS[1]), 0.1, 0.9)
    bright = bright.reshape(SIZE[1], 8, SIZE[0], 8).mean(axis=(1, 3))
    image = bpy.data.images.new("plate", *SIZE)
    flat = np.repeat(bright[::-1, :, None], 4, axis=2).astype(np.float32)
    flat[:, :, 3] = 1.0
    image.pixels.foreach_set(flat.ravel())
    image.save(filepath=str(tmp_path / "plate_0001.png"))
    return tmp_path / "plate_0001.png"


def composite(scene, tmp_path, k1):
    clip = bpy.data.movieclips.load(str(plate(tmp_path, k1)))
    lens = clip.tracking.camera
    lens.units, lens.sensor_width, lens.focal_length = "MILLIMETERS", 36.0, 36.0 * FOCAL / SIZE[0]
    lens.principal_point_pixels, lens.distortion_model, lens.k1 = (SIZE[0] / 2.0, SIZE[1] / 2.0), "POLYNOMIAL", k1
    data = bpy.data.cameras.new("camera")
    scene.camera = bpy.data.objects.new("camera", data)
    scene.collection.objects.link(scene.camera)
    background = data.background_images.new()
    background.source, background.clip = "MOVIE_CLIP", clip
    compositing.lay_over(scene, background, straighten=True)
    scenes.photo_colors(scene)
    render = scene.render
    render.resolution_x, render.resolution_y, render.film_transparent, render.engine = *SIZE, True, "CYCLES"
    scene.cycles.samples = 1
    render.filepath = str(tmp_path / "out.png")
    bpy.ops.render.render(write_still=True, scene=scene.name)
    image = bpy.data.images.load(render.filepath)
    flat = np.empty(4 * SIZE[0] * SIZE[1], np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(SIZE[1], SIZE[0], 4)[::-1, :, 0]


def test_a_bent_plate_is_straight_fills_the_picture_and_stays_in_its_place(scene, tmp_path):
    for k1 in (-0.15, 0.1):
        picture = (0.9 - composite(scene, tmp_path, k1)) / 0.8  # 1 in the square, 0 around it
        dark = picture[15:165, 40:280]  # what a straightened pincushion does not fill is dark, too
        rows, columns = dark[20:130].sum(axis=1), dark[:, 40:200].sum(axis=0)  # lengths in pixels
        # Straight, and as large; pixels are mixed as light, so that what is dark loses half a pixel at each rim.
        assert np.ptp(rows) < 1.0 and np.ptp(columns) < 1.0  # bent, they differ by 2.6
        assert np.abs(rows - 167.0).max() < 1.0 and np.abs(columns - 123.0).max() < 1.0
        v, u = np.mgrid[0.5 : len(dark), 0.5 : dark.shape[1]]
        middle = (dark * u)[20:130].sum() / rows.sum(), (dark * v)[:, 40:200].sum() / columns.sum()
        assert np.abs(np.subtract(middle, (120.0, 75.0))).max() < 0.1, "Blender's node may move it by a pixel"
        if k1 < 0.0:  # a barrel reaches farther than the picture once it is straight
            assert picture[0].max() < 0.1 and picture[:, 0].max() < 0.1
