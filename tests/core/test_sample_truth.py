"""The sample images' ground truth agrees with itself, with the images, and with what a camera would say of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import truth
from PIL import Image

# Neighbours that see much of the same; more pairs would only repeat the same claim.
PAIRS = {
    "courtyard": [(0, 1), (1, 0), (4, 6), (7, 10), (13, 11)],
    "walk": [*((i, i + 1) for i in range(0, 96, 9)), (20, 23), (60, 57), (0, 96), (97, 1)],
    "passer_by": [(0, 1), (3, 8), (10, 6), (15, 12)],
    "portrait": [(0, 1), (1, 2), (2, 0)],
}
SIZES = {"courtyard": (428, 640), "walk": (168, 252), "passer_by": (224, 336), "portrait": (640, 428)}

# A plane's inverse depth is linear in the image, so looking it up between four pixels is exact but for the 16-bit steps
# (half a step is 2e-4 at fifty times the nearest depth). Round things bend by less than this within a pixel.
TOLERANCE = 1e-3


@cache
def load(name: str) -> truth.Truth:
    return truth.load(name)


def agreement(sample: truth.Truth, i: int, j: int, camera_to_world: np.ndarray, only: str = "") -> tuple[float, float]:
    """What frame ``j``, from a camera that may be wrong, says of the points that frame ``i`` sees.

    only : look at the objects with this word in their names alone

    Returns
    -------
    agree : share of the points whose four pixels in ``j`` show the same object, and not on all four a nearer part of it,
        that have there, interpolated, the depth they should have
    through : share of all points in view where ``j`` sees something farther on all four pixels, which nothing explains
    """
    height, width = sample.depth.shape[1:]
    v, u = np.mgrid[0.5:height, 0.5:width]
    still = (sample.depth[i] > 0) & ~np.isin(sample.ids[i], sample.moving)
    still &= np.isin(sample.ids[i], [number for number, label in sample.objects.items() if only in label])
    z, label = sample.depth[i][still].astype(np.float64), sample.ids[i][still]
    rays = np.stack([u[still], v[still], np.ones(len(z))], -1) @ np.linalg.inv(sample.intrinsics[i]).T
    world = rays * z[:, None] @ sample.camera_to_world[i, :3, :3].T + sample.camera_to_world[i, :3, 3]
    seen = (world - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    pixel = seen @ sample.intrinsics[j].T
    x, y = (pixel[:, :2] / pixel[:, 2:]).T - 0.5
    inside = (seen[:, 2] > 0) & (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    x, y, expected, label = x[inside], y[inside], seen[inside, 2], label[inside]
    column, row = x.astype(int), y.astype(int)
    a, b = x - column, y - row
    corners = [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)]
    weights = [(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b]
    inverse = np.divide(1.0, sample.depth[j], out=np.zeros(sample.depth[j].shape), where=sample.depth[j] > 0)
    around = np.stack([inverse[c] for c in corners])
    same = np.all([sample.ids[j][c] == label for c in corners], axis=0)
    same &= ~(around * expected > 1 + 10 * TOLERANCE).all(axis=0)
    between = sum(w * value for w, value in zip(weights, around, strict=True))
    agree = np.abs(between * expected - 1)[same] < TOLERANCE
    through = (around * expected < 1 - 10 * TOLERANCE).all(axis=0)
    return float(agree.mean()), float(through.mean())


@pytest.mark.parametrize("name", truth.SETS)
def test_a_pixels_point_has_the_depth_that_the_other_view_sees_there(name):
    sample = load(name)
    for i, j in PAIRS[name]:
        agree, through = agreement(sample, i, j, sample.camera_to_world[j])
        # What is left is the edges and bends within one thing: boards, hoops, leaves, a shutter behind its frame.
        assert agree > 0.9, (i, j, agree)
        # What is thinner than a pixel (leaves' tips, edges seen at a flat angle) can slip between four pixels' centres.
        assert through < 0.002, (i, j, through)
        flat = {"walk": "street"}.get(name, "floor")
        assert agreement(sample, i, j, sample.camera_to_world[j], flat)[0] > 0.999, "nothing hides in a plane"


@pytest.mark.parametrize("name", truth.SETS)
def test_wrong_cameras_would_be_noticed(name):
    sample = load(name)
    for i, j in PAIRS[name][:3]:
        right, _ = agreement(sample, i, j, sample.camera_to_world[j])
        moved = sample.camera_to_world[j].copy()
        # Upwards as well: a camera that moves along a floor keeps its height above it, and the floor its depths.
        moved[:3, 3] += moved[:3, :3] @ [0.01, -0.02, 0.02]
        assert agreement(sample, i, j, moved)[0] < 0.5 * right, "3 cm forward and up"
        turned = sample.camera_to_world[j].copy()
        angle = np.radians(0.3)
        pitch = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        turned[:3, :3] = turned[:3, :3] @ pitch
        assert agreement(sample, i, j, turned)[0] < 0.8 * right, "0.3 degrees down"


def box_mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over squares of 2 radius + 1 pixels, (H, W, C), edges repeated."""
    size = 2 * radius + 1
    padded = np.pad(values, ((radius + 1, radius), (radius + 1, radius), (0, 0)), mode="edge")
    total = padded.cumsum(0).cumsum(1)
    return (total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]) / size**2


def contrast_across_outlines(image: np.ndarray, ids: np.ndarray, reach: int = 2) -> np.ndarray:
    """How much neighbouring pixels differ, ``-reach..reach`` pixels beside the vertical outlines in ``ids``.

    Returns
    -------
    sum of the absolute differences, (2 reach + 1,), the middle one lying on the outline itself
    """
    steps = np.abs(np.diff(image.astype(np.float64), axis=1)).sum(-1)
    outline = ids[:, 1:] != ids[:, :-1]
    crowd = box_mean(outline[..., None].astype(np.float64), 3)[..., 0] * 49
    alone = outline & (crowd < 7.5)  # one outline passing, no second one beside it
    rows, columns = np.nonzero(alone[:, 3:-3])
    across = [steps[rows, columns + 3 + k] for k in range(-reach, reach + 1)]
    return np.array(across).sum(axis=1)


def offset_of_outlines(sample: truth.Truth, shift: int = 0) -> list[float]:
    """Pixels (x, y) from the truth's outlines to the images': the top of the parabola through the three middle contrasts."""
    offsets = []
    for axis in (0, 1):
        total = np.zeros(5)
        for i in range(0, len(sample), max(1, len(sample) // 14)):
            image, ids = (
                np.swapaxes(a, 0, 1) if axis else a for a in (sample.images[i], np.roll(sample.ids[i], shift, 1 - axis))
            )
            total += contrast_across_outlines(image, ids)
        before, at, after = total[1:4]
        offsets.append(
            0.5 * (after - before) / (2 * at - before - after) if at > max(before, after) else np.sign(after - before)
        )
    return offsets


@pytest.mark.parametrize("name", truth.SETS)
def test_outlines_in_the_images_are_where_the_truth_has_them(name):
    sample = load(name)
    # Half a pixel is what confusing two pixel conventions would cost; shadows beside the outlines pull a little.
    assert np.abs(offset_of_outlines(sample)).max() < 0.2
    assert np.abs(offset_of_outlines(sample, shift=1)).min() > 0.5, "a whole pixel's shift has to show"


@pytest.mark.parametrize("name", truth.SETS)
def test_images_are_photographs_with_a_cameras_tags(name):
    sample = load(name)
    height, width = SIZES[name]
    taken = []
    for path, intrinsics in zip(sample.paths, sample.intrinsics, strict=True):
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (width, height)
            tags = picture.getexif()
            photo = tags.get_ifd(0x8769)
        assert tags[0x010F] and tags[0x0110] and tags[0x0112] == 1
        assert (photo[0xA002], photo[0xA003]) == (width, height)
        taken.append(photo[0x9003])
        # 36 mm along the longer side is what the 35 mm equivalent means; it is a whole number of millimetres.
        assert photo[0xA405] / 36.0 * max(width, height) == pytest.approx(intrinsics[0, 0], rel=0.01)
        assert float(photo[0x920A]) / 36.0 * max(width, height) == pytest.approx(intrinsics[0, 0], rel=0.01)
    assert taken == sorted(set(taken)), "taken one after another"
    assert sample.depth.shape == sample.ids.shape == (len(sample), height, width)
    assert sample.images.shape == (len(sample), height, width, 3)


@pytest.mark.parametrize("name", truth.SETS)
def test_ids_name_what_is_seen(name):
    sample = load(name)
    assert ((sample.ids == 0) == (sample.depth == 0)).all(), "sky, and only the sky, has neither depth nor object"
    assert set(np.unique(sample.ids)) - {0} == set(sample.objects)
    assert len(set(sample.objects.values())) == len(sample.objects)
    assert (sample.ids == 0).mean() < 0.35, "mostly things, not sky"
    rotation = sample.extrinsics[:, :, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-9
    )


@pytest.mark.parametrize("name", truth.SETS)
def test_there_is_texture_nearly_everywhere(name):
    sample = load(name)
    for i in range(0, len(sample), max(1, len(sample) // 6)):
        grey = sample.images[i].mean(-1, keepdims=True)
        spread = np.sqrt(np.maximum(box_mean(grey**2, 4) - box_mean(grey, 4) ** 2, 0))[..., 0]
        things = sample.ids[i] > 0
        # Three grey levels of deviation within 9x9 pixels is well above what JPEG at quality 90 adds.
        assert (spread[things] > 3.0).mean() > 0.97
        assert (grey[things] < 8).mean() < 0.01, "no black holes"
        assert (grey[things] > 250).mean() < 0.01, "nothing burnt out"


def test_the_walk_comes_back_to_where_it_began():
    sample = load("walk")
    places = sample.camera_to_world[:, :3, 3]
    extent = np.linalg.norm(np.ptp(places, axis=0))
    assert 80 <= len(sample) <= 120
    # In the end it stands within a stride of the first frames and looks the same way.
    ends = np.linalg.norm(places[-4:, None] - places[None, :4], axis=-1).min(axis=1)
    assert ends.max() < 0.05 * extent
    assert sample.camera_to_world[-2, :3, 2] @ sample.camera_to_world[1, :3, 2] > np.cos(np.radians(15))
    halfway = places[len(sample) // 2] - places[0]
    assert np.linalg.norm(halfway) > 0.5 * extent, "and was far away between"


def test_neighbours_in_the_courtyard_stand_a_few_degrees_apart():
    sample = load("courtyard")
    assert 12 <= len(sample) <= 16
    axes = sample.camera_to_world[:, :3, 2]
    apart = np.degrees(np.arccos(np.clip((axes[1:] * axes[:-1]).sum(-1), -1, 1)))
    assert 3 < np.median(apart) < 9


def test_somebody_passes_by_and_the_rest_stands_still():
    sample = load("passer_by")
    assert [sample.objects[number] for number in sample.moving] == ["walker"]
    moving = np.isin(sample.ids, sample.moving)
    assert moving.any(axis=(1, 2)).sum() >= 12, "in nearly every frame"
    assert 0.01 < moving.mean() < 0.2
    v, u = np.mgrid[0.5 : sample.depth.shape[1], 0.5 : sample.depth.shape[2]]
    middles = []
    for i in np.flatnonzero(moving.any(axis=(1, 2))):
        here = moving[i]
        rays = np.stack([u[here], v[here], np.ones(here.sum())], -1) @ np.linalg.inv(sample.intrinsics[i]).T
        points = rays * sample.depth[i][here][:, None] @ sample.camera_to_world[i, :3, :3].T
        middles.append(np.median(points + sample.camera_to_world[i, :3, 3], axis=0))
    steps = np.linalg.norm(np.diff(middles, axis=0), axis=1)
    assert np.median(steps) > 0.2, "metres between frames"
    assert np.linalg.norm(middles[-1] - middles[0]) > 2.5
    for name in set(truth.SETS) - {"passer_by"}:
        assert load(name).moving == []


def test_the_portraits_principal_point_is_off_centre():
    sample = load("portrait")
    assert len(sample) == 3
    off = sample.intrinsics[:, :2, 2] - [214.0, 320.0]
    assert (np.abs(off) / [428.0, 640.0] > 0.03).all(), "several per cent in both directions"


def test_all_samples_together_are_small():
    files = [path for path in truth.SAMPLE_IMAGES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12_000_000
