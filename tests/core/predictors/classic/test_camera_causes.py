"""What is said where cameras cannot be found: the right cause with its evidence, and never a made-up geometry."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import classic_room
import cv2
import numpy as np
import pycolmap
import pytest
import truth as truths
from da3_blender.core.errors import BadInput
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.predictors.classic.sfm.diagnosis import Evidence, why_not, why_nothing
from da3_blender.core.predictors.classic.sfm.lenses import believable, rungs
from da3_blender.core.predictors.classic.sfm.processes import pair_motion
from da3_blender.core.predictors.classic.sfm.processes.pair_motion import (
    MIRRORED,
    MOVED,
    STATIC,
    TURNED,
    UNKNOWN,
    kind_of_motion,
)
from da3_blender.core.predictors.classic.sfm.processes.retrieval import likely_pairs, pooled
from da3_blender.core.settings import FeatureMatching, Lens

SIZE, FOCAL = (480, 360), 420.0


def turning(angles: list[tuple[float, float]]) -> list[np.ndarray]:
    """Views of the room from one place, (yaw, pitch) in degrees."""
    place = np.array([0.2, -0.2, -0.6])
    cameras = []
    for yaw, pitch in np.radians(angles):
        ahead = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        cameras.append(classic_room.look(place, place + ahead))
    return classic_room.render(np.stack(cameras), SIZE, FOCAL).images


def turned_photo(name: str, degrees: list[float]) -> list[np.ndarray]:
    """A photo as a camera that only turns sees it: K R K^-1."""
    truth = truths.load(name)
    image, k = truth.images[0], truth.intrinsics[0]
    views = []
    for angle in degrees:
        turn = cv2.Rodrigues(np.radians([0.3 * angle, angle, 0.2 * angle]))[0]
        views.append(cv2.warpPerspective(image, k @ turn @ np.linalg.inv(k), image.shape[1::-1]))
    return views


def standing(name: str, count: int, *, thing: bool) -> list[np.ndarray]:
    """A photo again and again with other noise, and something that crosses it."""
    random = np.random.default_rng(3)
    base = truths.load(name).images[0]
    stamp = random.integers(0, 255, (60, 60, 3), np.uint8)
    views = []
    for i in range(count):
        image = (base + random.normal(0.0, 4.0, base.shape)).clip(0, 255).astype(np.uint8)
        if thing:
            image[40:100, 20 + 30 * i : 80 + 30 * i] = stamp
        views.append(image)
    return views


INPUTS = {
    "a pan through a room": (lambda: turning([(-20, 0), (-10, 0), (0, 0), (10, 0), (20, 0)]), "only turned"),
    "a pan and a tilt": (lambda: turning([(-12, -6), (0, -6), (12, 0), (0, 6)]), "only turned"),
    "a turned photo": (lambda: turned_photo("courtyard", [-8, -4, 0, 4, 8]), "only turned"),
    "two turned photos": (lambda: turned_photo("passer_by", [0, 6]), "only turned"),
    "a camera that stands": (lambda: standing("courtyard", 4, thing=False), "did not move"),
    "a camera that stands while something moves": (lambda: standing("passer_by", 5, thing=True), "did not move"),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("knows_focal", [True, False], ids=["EXIF", "no EXIF"])
def test_a_camera_that_does_not_move_gives_no_geometry_but_the_right_sentence(name, knows_focal):
    make, says = INPUTS[name]
    images = make()
    focals = [FOCAL if knows_focal else None] * len(images)
    with pytest.raises(BadInput, match=says) as error:
        structure_from_motion(images, focals, Monitor())
    assert "DA3" in str(error.value) and "%" in str(error.value), "with its evidence, and what to do"


def wallpaper() -> list[np.ndarray]:
    """Places of one sheet on which a pattern repeats every 48 pixels."""
    random = np.random.default_rng(5)
    tile = cv2.resize(random.integers(0, 255, (12, 12, 3), np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC)
    sheet = np.tile(tile, (20, 20, 1)).astype(np.float32)
    views = []
    for x, y in random.integers(0, 480, (4, 2)):
        noise = random.normal(0.0, 4.0, (240, 320, 3))
        views.append((sheet[y : y + 240, x : x + 320] + noise).clip(0, 255).astype(np.uint8))
    return views


def small(name: str) -> np.ndarray:
    return cv2.resize(truths.load(name).images[0], (320, 214), interpolation=cv2.INTER_AREA)


NO_SCENE = {
    "a repeated wallpaper": (wallpaper, "moves, or repeats|moves or repeats|no overlap"),
    "a picture and its mirror images": (
        lambda: [small("courtyard"), small("courtyard")[:, ::-1].copy(), small("courtyard")[::-1].copy()],
        "edited|only turned",
    ),
    "pictures of unrelated places": (
        lambda: [small("courtyard"), small("walk"), turning([(0, 0)])[0]],
        "no overlap",
    ),
}


@pytest.mark.parametrize("name", NO_SCENE)
def test_pictures_of_no_one_scene_give_no_geometry_but_the_right_sentence(name):
    """By SIFT, in seconds."""
    make, says = NO_SCENE[name]
    images = make()
    with pytest.raises(BadInput, match=says):
        structure_from_motion(images, [None] * len(images), Monitor(), matching=FeatureMatching.SIFT)


def test_learned_features_do_not_make_a_scene_of_mirror_images():
    """They match a mirrored picture, to which an epipolar geometry fits; SIFT does not."""
    image = small("courtyard")
    with pytest.raises(BadInput, match="mirrored"):
        structure_from_motion([image, image[:, ::-1].copy()], [None] * 2, Monitor(), matching=FeatureMatching.LEARNED)


def test_a_mirrored_picture_among_others_is_left_out_and_named(tmp_path, monkeypatch):
    """Learned features tied it to the others: of 14 views with one mirrored all cameras were off, by a quarter of the path."""
    monkeypatch.syspath_prepend(str(Path(pair_motion.__file__).parent))  # where the child process has its files
    stored, child = importlib.import_module("colmap_database"), importlib.import_module("sfm_process")
    random = np.random.default_rng(0)
    points = random.uniform([-2.0, -1.5, 4.0], [2.0, 1.5, 6.0], (300, 3))
    job = {"rigs": [], "learned": False, "count": 4, "focal_is_known": False}
    rung = {
        "name": "",
        "angle": None,
        "groups": [{"images": [0, 1, 2, 3], "focal": 500.0, "width": 640, "height": 480}],
    }
    database, pairs = tmp_path / "some.db", [(a, b) for a in range(4) for b in range(a + 1, 4)]
    for i in range(4):
        cv2.imwrite(str(tmp_path / stored.image_name(i)), np.zeros((480, 640), np.uint8))
    stored._import_images(database, tmp_path, rung["groups"])
    with pycolmap.Database.open(database) as db:
        for i in range(4):
            seen = 500.0 * (points[:, :2] - [0.6 * i - 0.9, 0.1 * i]) / points[:, 2:] + [320.0, 240.0]
            db.write_keypoints(i + 1, (seen * [-1.0, 1.0] + [640.0, 0.0] if i == 2 else seen).astype(np.float32))
        for a, b in pairs:
            db.write_matches(a + 1, b + 1, np.repeat(np.arange(300, dtype=np.uint32)[:, None], 2, axis=1))
    stored._verify(tmp_path, database, pairs, stored._verification(rung["groups"]))
    for found in (
        child._map(job, rung, tmp_path, database, lambda _: None),
        child._map_at_once(job, rung, tmp_path, database),
    ):
        assert sorted(image.name for image in found.model.images.values() if image.has_pose) == [
            stored.image_name(i) for i in (0, 1, 3)
        ]
    seen = Evidence(np.full(4, 300), stored.matched_pairs(database, {i + 1: i for i in range(4)}))
    assert why_not(2, seen, np.array([True, True, False, True])).startswith("mirrored")
    assert not seen.shows_no_motion


def test_two_turned_pictures_among_others_are_no_scene():
    seen = evidence(pairs=[(0, 1, 60, 40, MOVED), (1, 2, 300, 250, TURNED), (0, 2, 60, 40, MOVED)])
    assert not seen.shows_no_motion and seen.among(np.array([1, 2])).shows_no_motion


def test_a_long_still_beginning_does_not_hide_that_the_camera_moved():
    """60 frames from a tripod and six steps: the model said that the camera did not move."""
    still = [(a, b, 300, 250, STATIC) for a in range(12) for b in range(a + 1, 12)]
    steps = [(a, b, 300, 250, MOVED) for b in (12, 13, 14) for a in (0, 12, 13) if a < b]
    seen = Evidence(np.full(15, 2000), np.array(still + steps, np.int64))
    assert seen.share(STATIC) > 0.9 and not seen.shows_no_motion
    assert Evidence(np.full(12, 2000), np.array(still, np.int64)).shows_no_motion
    turned = [(a, b, 300, 250, TURNED) for a, b, *_ in steps]
    assert Evidence(np.full(15, 2000), np.array(still + turned, np.int64)).shows_no_motion


def evidence(features: int = 2000, pairs: list[tuple[int, ...]] = (), sizes: tuple[int, ...] = ()) -> Evidence:
    return Evidence(np.full(4, features), np.array(pairs, np.int64).reshape(-1, 5), sizes)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (evidence(features=40), "too little to hold on to .40 features.*blurred, dark or plain"),
        (evidence(pairs=[(0, 1, 30, 12, UNKNOWN)]), "no overlap.*at most 12"),
        (evidence(pairs=[(0, 1, 400, 12, UNKNOWN)]), "moves, or repeats"),
        (evidence(pairs=[(0, 1, 400, 300, STATIC), (1, 2, 400, 300, STATIC)]), "did not move .100%"),
        (evidence(pairs=[(0, 1, 400, 300, TURNED), (1, 2, 400, 300, TURNED)]), "only turned.*100% of the 2 pairs"),
        (evidence(pairs=[(0, 1, 400, 300, MIRRORED)]), "100% of the one pair that overlaps shows .* mirrored"),
        (evidence(pairs=[(0, 1, 400, 300, MOVED)]), "1 pair overlaps .*no three-dimensional scene fits"),
    ],
    ids=["few features", "no overlap", "moving things", "static", "turned", "mirrored", "nothing fits"],
)
def test_each_cause_has_its_own_sentence_with_evidence(seen, says):
    sentence = why_nothing(seen)
    assert re.search(says, sentence), sentence
    assert "DA3" in sentence


def test_an_image_that_is_left_out_is_told_why():
    seen = evidence(pairs=[(0, 1, 300, 200, MOVED), (1, 2, 300, 60, MOVED), (0, 3, 40, 16, MOVED)])
    placed = np.array([True, True, False, False])
    assert "overlaps, 60 matches" in why_not(2, seen, placed)
    assert "no overlap, at most 16" in why_not(3, seen, placed)


def test_a_moving_camera_before_a_wall_is_no_turning_camera():
    random = np.random.default_rng(0)
    points = np.concatenate([random.uniform(-1.0, 1.0, (200, 2)), np.full((200, 1), 4.0)], axis=1)
    focal, centre = 800.0, np.array([320.0, 240.0])
    slanted = points + [0.0, 0.0, 1.0] * points[:, :1] * 0.5
    turn = cv2.Rodrigues(np.array([0.0, 0.25, 0.0]))[0]

    def seen(places: np.ndarray) -> np.ndarray:
        return focal * places[:, :2] / places[:, 2:] + centre

    moved = slanted @ turn.T + [-1.2, 0.1, 0.2]
    assert kind_of_motion(seen(slanted), seen(moved), (640, 480), (640, 480)) == MOVED
    assert kind_of_motion(seen(slanted), seen(slanted @ turn.T), (640, 480), (640, 480)) == TURNED
    assert kind_of_motion(seen(slanted), seen(slanted), (640, 480), (640, 480)) == STATIC
    mirrored = seen(slanted) * [-1.0, 1.0] + [640.0, 0.0]
    assert kind_of_motion(seen(slanted), mirrored, (640, 480), (640, 480)) == MIRRORED


def test_focal_lengths_that_cannot_be_are_ignored():
    assert believable(1.0 * 640 / 36, (640, 480)) is None, "1 mm on full frame"
    assert believable(9999.0 * 640 / 36, (640, 480)) is None
    assert believable(500.0, (640, 480)) == 500.0
    names = [rung["name"] for rung in rungs([(640, 480)] * 5, [500.0] * 5)]
    assert names == ["as given", "without EXIF", "lenses"]
    assert [rung["name"] for rung in rungs([(640, 480)] * 5, [500.0] * 5, Lens.SHOT)] == ["as given", "without EXIF"]
    (one,) = rungs([(640, 480)] * 5, [500.0, 520.0, 500.0, 540.0, 500.0], Lens.SHOT)[0]["groups"]
    assert one["focal"] == 500.0
    assert rungs([(640, 480)] * 2, [None] * 2)[-1]["angle"] is not None, "two views may see at a small angle"


def test_pairs_of_many_images_grow_linearly_and_find_the_way_back():
    random = np.random.default_rng(0)
    words = random.normal(size=(150, 60, 32)).astype(np.float32)

    def at(i: int) -> np.ndarray:  # a way of 300 images that goes through the same 150 places twice
        return words[i % 150] + random.normal(0.0, 0.2, (60, 32)).astype(np.float32)

    counts = {}
    for count in (150, 300):
        pairs = likely_pairs(pooled([at(i) for i in range(count)]))
        counts[count] = len(pairs)
    assert counts[300] < 2.2 * counts[150]
    assert all((i, i + 1) in pairs for i in range(299))
    assert sum((i, i + 150) in pairs for i in range(150)) > 140
