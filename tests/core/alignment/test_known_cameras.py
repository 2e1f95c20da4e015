"""Known cameras: read, matched by name, in pixels of the originals, and enough of them in every pass."""

from dataclasses import replace

import numpy as np
import payloads
import pytest
import truth
from da3_blender.core.alignment import known_cameras
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.output.cameras import colmap
from da3_blender.core.prediction import conditioning
from da3_blender.core.predictors.classic import scene
from da3_blender.core.predictors.classic.sfm import reconstruction
from da3_blender.core.settings import KnownCameras, Settings
from PIL import Image

EXACT = 1e-6


@pytest.fixture(scope="module")
def courtyard():
    return truth.load("courtyard")


def model_of(folder, known, names=None, scale=1.0):
    """A COLMAP model of a sample set, in ``folder``; ``scale``: of its images against ours."""
    height, width = known.depth.shape[1:]
    views = [
        colmap.View(
            name, round(width * scale), round(height * scale), np.diag([scale, scale, 1.0]) @ known.intrinsics[i],
            known.extrinsics[i],
        )
        for i, name in enumerate(names or known.names) if name
    ]  # fmt: skip
    colmap.write(folder / "sparse" / "0", views, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    return Settings(
        model="da3-small", known_cameras=KnownCameras.COLMAP, known_cameras_folder=str(folder), input=str(known.folder)
    )


def find(settings, frames, records=()):
    return known_cameras.find(settings, frames, records, Monitor())


def records_of(known):
    """What Blender sends of cameras that look through those of a sample set."""
    size = known.depth.shape[2], known.depth.shape[1]
    return [
        payloads.record(e, k, size, name=name.partition(".")[0])
        for name, e, k in zip(known.names, known.extrinsics, known.intrinsics, strict=True)
    ]


COLLECTION = Settings(model="da3-small", known_cameras=KnownCameras.COLLECTION, known_cameras_collection="Rig")


def test_off_asks_for_nothing(courtyard):
    assert find(Settings(), FrameSource.open(courtyard.folder)) is None


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_colmap_model_gives_each_image_its_camera_in_the_image_s_pixels(courtyard, tmp_path, scale):
    known = find(model_of(tmp_path, courtyard, scale=scale), FrameSource.open(courtyard.folder))
    cameras = known.of(range(len(courtyard)))
    assert np.abs(cameras.extrinsics - courtyard.extrinsics).max() < EXACT
    # The sizes of a scaled picture are whole numbers: half a pixel of 945.
    assert np.abs(cameras.intrinsics - courtyard.intrinsics).max() < (EXACT if scale == 1.0 else 0.5)
    assert known.warnings == []


def test_what_is_exported_comes_back_as_known_cameras(courtyard):
    known = find(COLLECTION, FrameSource.open(courtyard.folder), records_of(courtyard))
    cameras = known.of(range(len(courtyard)))
    assert np.abs(cameras.extrinsics - courtyard.extrinsics).max() < EXACT
    assert np.abs(cameras.intrinsics - courtyard.intrinsics).max() < EXACT


def test_a_camera_for_a_padded_canvas_knows_where_its_image_lies(courtyard):
    records = [replace(r, height=640, cy=r.cy + 106.0, placement=(0, 106, 640, 428)) for r in records_of(courtyard)]
    known = find(COLLECTION, FrameSource.open(courtyard.folder), records)
    assert np.abs(known.of(range(len(courtyard))).intrinsics - courtyard.intrinsics).max() < EXACT


def test_names_match_with_folders_other_endings_and_blender_s_numbers(courtyard, tmp_path):
    names = [f"images/{name}" for name in courtyard.names]
    names[1] = "images/001.png"
    known = find(model_of(tmp_path, courtyard, names), FrameSource.open(courtyard.folder))
    assert sorted(known.extrinsics) == list(range(len(courtyard)))
    records = [replace(r, name=f"{r.name}.001") for r in records_of(courtyard)]
    known = find(COLLECTION, FrameSource.open(courtyard.folder), records)
    assert sorted(known.extrinsics) == list(range(len(courtyard)))


def test_an_image_without_a_camera_is_left_out_and_a_camera_without_an_image_is_named(courtyard, tmp_path):
    names = list(courtyard.names)
    names[3], names[5] = None, "elsewhere.jpg"
    known = find(model_of(tmp_path, courtyard, names), FrameSource.open(courtyard.folder))
    assert 3 not in known.extrinsics and 5 not in known.extrinsics
    left_out, spare = known.warnings
    assert courtyard.names[3] in left_out and courtyard.names[5] in left_out
    assert "elsewhere.jpg" in spare


def test_images_that_the_range_leaves_out_are_not_called_missing(courtyard, tmp_path):
    known = find(model_of(tmp_path, courtyard), FrameSource.open(courtyard.folder, stride=3))
    assert known.warnings == []
    assert sorted(known.extrinsics) == list(range(0, len(courtyard), 3))


def test_no_name_that_fits_names_one_of_each_side(courtyard, tmp_path):
    settings = model_of(tmp_path, courtyard, [f"x{i}.png" for i in range(len(courtyard))])
    with pytest.raises(BadInput, match=r"x0\.png.*000\.jpg"):
        find(settings, FrameSource.open(courtyard.folder))


def test_two_cameras_for_one_image_are_named(courtyard):
    records = records_of(courtyard)
    records.append(replace(records[2], name="002.001"))
    records[2] = replace(records[2], name="002.002")
    with pytest.raises(BadInput, match=r"002\.002, 002\.001.*want the image 002\.jpg"):
        find(COLLECTION, FrameSource.open(courtyard.folder), records)


def test_a_picture_of_another_shape_is_named_with_both_sizes(courtyard):
    records = [replace(r, frame=-1, height=640, placement=(0, 0, 640, 640)) for r in records_of(courtyard)]
    with pytest.raises(BadInput, match=r"640 x 640.*640 x 428"):
        find(COLLECTION, FrameSource.open(courtyard.folder), records)


def test_too_few_and_cameras_in_a_line_or_in_one_place_are_refused_beforehand(courtyard):
    frames, records = FrameSource.open(courtyard.folder), records_of(courtyard)
    with pytest.raises(BadInput, match="there are 2"):
        find(COLLECTION, frames, records[:2])
    for step, words in ((0.0, "one place"), (0.1, "straight line")):
        rig = []
        for i, record in enumerate(records):
            matrix = np.eye(4)
            matrix[0, 3] = 1.0 + step * i
            rig.append(replace(record, camera_to_world=tuple(matrix.ravel())))
        with pytest.raises(BadInput, match=words):
            find(COLLECTION, frames, rig)


def test_an_empty_collection_and_a_model_without_cameras_are_refused(courtyard):
    frames = FrameSource.open(courtyard.folder)
    with pytest.raises(BadInput, match="no cameras in the collection 'Rig'"):
        find(COLLECTION, frames)
    with pytest.raises(BadInput, match="cannot use known cameras"):
        find(replace(COLLECTION, model="da3metric-large"), frames, records_of(courtyard))


def _on_a_path(places):
    extrinsics = {i: np.concatenate([np.eye(3), -np.array(p, float)[:, None]], axis=1) for i, p in places.items()}
    return known_cameras.Known(extrinsics, {i: np.eye(3) for i in extrinsics})


def test_a_pass_that_is_enough_stays_as_it_is():
    known = _on_a_path({0: (0, 0, 0), 1: (1, 0, 0), 2: (2, 1, 0), 3: (3, 0, 0)})
    assert known.sufficient([0, 1, 2]) == [0, 1, 2]


def test_a_pass_of_one_or_two_gets_its_neighbours_and_a_straight_one_a_camera_off_the_line():
    straight = {i: (i, 0, 0) for i in range(20)}
    known = _on_a_path({**straight, 20: (19, 1, 0), 21: (18, 1, 0)})
    assert known.sufficient([21]) == [19, 20, 21]
    assert known.sufficient([20, 21]) == [19, 20, 21]
    assert known.sufficient([2, 3, 4, 5]) == [2, 3, 4, 5, 20]


def test_every_pass_of_a_path_with_straight_parts_can_be_conditioned():
    rng = np.random.default_rng(0)
    corners = {i: (min(i, 30), max(0, i - 30), 0) for i in range(60)}
    known = _on_a_path(corners)
    for _ in range(50):
        start, count = rng.integers(0, 55), rng.integers(1, 6)
        chosen = known.sufficient(list(range(start, start + count)))
        conditioning.check(known.of(chosen), len(chosen))
        assert set(range(start, start + count)) <= set(chosen)


def test_structure_from_motion_gives_what_it_registered_and_names_the_rest(courtyard, monkeypatch):
    registered = np.arange(len(courtyard)) != 4

    def found(images, focals, monitor, **_how):
        assert len(images) == len(focals) == len(courtyard)
        nothing = np.zeros((0, 3)), np.zeros(0), np.zeros((0, 2), np.int64)
        return reconstruction.SfmResult(
            registered, courtyard.extrinsics, courtyard.intrinsics, np.zeros((len(courtyard), 2)), *nothing,
            reasons={4: "no overlap, at most 3 matches"},
        )  # fmt: skip

    monkeypatch.setattr(scene, "structure_from_motion", found)
    settings = Settings(model="da3-small", known_cameras=KnownCameras.STRUCTURE_FROM_MOTION)
    known = find(settings, FrameSource.open(courtyard.folder))
    assert sorted(known.extrinsics) == [i for i in range(len(courtyard)) if i != 4]
    assert courtyard.names[4] in known.warnings[0]


def test_an_image_on_its_side_is_matched_by_its_upright_size(courtyard, tmp_path):
    """COLMAP's sizes are those of the pixels as we see them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(4):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (40, 30)).save(folder / f"{i}.jpg", exif=exif)
    views = [
        colmap.View(f"{i}.jpg", 30, 40, np.diag([30.0, 30.0, 1.0]), payloads.random_pose(np.random.default_rng(i)))
        for i in range(4)
    ]
    colmap.write(tmp_path, views, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    settings = Settings(model="da3-small", known_cameras=KnownCameras.COLMAP, known_cameras_folder=str(tmp_path))
    assert len(find(settings, FrameSource.open(folder)).extrinsics) == 4
