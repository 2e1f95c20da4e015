"""Pictures that were changed one by one, are by another lens, or hold two: the cameras are right all the same, or it is said."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import classic_room
import cv2
import numpy as np
import pycolmap
import pytest
import truth as truths
from da3_blender.core.errors import BadInput
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.predictors.classic.sfm.joints import doubtful
from da3_blender.core.predictors.classic.sfm.lenses import rungs
from da3_blender.core.predictors.classic.sfm.processes import pair_motion
from da3_blender.core.predictors.classic.sfm.side_by_side import stereo

COUNT, FOCAL, SIZE = 6, 500.0, (640, 480)
CHANGED = {1, 4}  # of the six


def cropped(seen: np.ndarray, image: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Each another window of one size."""
    corner = np.random.default_rng(image).integers(0, [128, 96])
    return seen - corner, (512, 384)


def squeezed(seen: np.ndarray, image: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Two of them to three quarters of their height."""
    return (seen * [1.0, 0.75], (640, 360)) if image in CHANGED else (seen, SIZE)


def bent(seen: np.ndarray, image: int) -> tuple[np.ndarray, tuple[int, int]]:
    """One of them, as an action camera's."""
    from_middle = (seen - [320.0, 240.0]) / FOCAL
    far = (from_middle**2).sum(axis=1, keepdims=True)
    return (seen - FOCAL * 0.25 * far * from_middle if image == 1 else seen), SIZE


@pytest.mark.parametrize("change", [cropped, squeezed, bent])
def test_pictures_that_were_changed_do_not_take_the_cameras_with_them(change, tmp_path, monkeypatch):
    """Places were 1 to 17 % of the path off, without a word."""
    monkeypatch.syspath_prepend(str(Path(pair_motion.__file__).parent))  # where the child process has its files
    stored, child = importlib.import_module("colmap_database"), importlib.import_module("sfm_process")
    random = np.random.default_rng(0)
    points = random.uniform([-2.0, -1.5, -1.5], [2.0, 1.5, 1.5], (250, 3))
    places = np.array(
        [[4.0 * np.sin(a), 0.5 * np.cos(3.0 * a), -4.5 * np.cos(a)] for a in np.linspace(-0.6, 0.6, COUNT)]
    )
    poses = np.stack([classic_room.look(place, random.uniform(-0.3, 0.3, 3)) for place in places])
    views, sizes = [], []
    for i, pose in enumerate(poses):
        there = points @ pose[:, :3].T + pose[:, 3]
        own, size = change(FOCAL * there[:, :2] / there[:, 2:] + [320.0, 240.0], i)
        views.append(own + random.normal(0.0, 0.2, own.shape))
        sizes.append(size)
        cv2.imwrite(str(tmp_path / stored.image_name(i)), np.zeros(size[::-1], np.uint8))
    job: dict[str, Any] = {"rigs": [], "learned": False, "count": COUNT, "focal_is_known": False, "one_lens": False}
    job["rungs"] = rungs(sizes, [None] * COUNT)
    database, groups = tmp_path / "some.db", job["rungs"][0]["groups"]
    stored._import_images(database, tmp_path, groups)
    inside = [((view > 0) & (view < size)).all(axis=1) for view, size in zip(views, sizes, strict=True)]
    pairs = [(a, b) for a in range(COUNT) for b in range(a + 1, COUNT)]
    with pycolmap.Database.open(database) as db:
        numbers = [db.read_image_with_name(stored.image_name(i)).image_id for i in range(COUNT)]
        for number, view in zip(numbers, views, strict=True):
            db.write_keypoints(number, view.astype(np.float32))
        for a, b in pairs:
            both = np.flatnonzero(inside[a] & inside[b]).astype(np.uint32)
            db.write_matches(numbers[a], numbers[b], np.repeat(both[:, None], 2, axis=1))
    stored._verify(tmp_path, database, pairs, stored._verification(groups))
    best, groups = child._climb(job, tmp_path, database, lambda _: None)
    found = child._by_themselves(job, best, groups, tmp_path, database, lambda _: None)

    def error(outcome: Any) -> float:
        """Largest of the places, of the path."""
        images = sorted(outcome.model.images.values(), key=lambda image: image.name)
        own = invert_rigid(np.stack([image.cam_from_world().matrix() for image in images]))[:, :, 3]
        true = invert_rigid(poses)[:, :, 3]
        away = np.linalg.norm(umeyama(own, true).of_points(own) - true, axis=1)
        return float(away.max() / np.linalg.norm(np.ptp(true, axis=0)))

    assert found.placed == COUNT and found.rung.endswith(f"{change.__name__} images")
    assert error(found) < 0.003 < error(best)


def right_eye(truth: Any, image: int) -> np.ndarray:
    """What an eye 6.5 cm to the right of a picture's camera sees, by the true depth."""
    depth = cv2.resize(truth.depth[image], truth.images[image].shape[1::-1], interpolation=cv2.INTER_NEAREST)
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    aside = 0.065 * truth.intrinsics[image, 0, 0] / np.where(depth > 0, depth, np.inf)
    return cv2.remap(
        truth.images[image], u + aside.astype(np.float32), v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def test_stereo_pictures_are_told():
    """Two in one file fit no camera: places 14 % of the path off, directions 144 degrees."""
    truth = truths.load("courtyard")
    both = [(truth.images[i], right_eye(truth, i)) for i in range(3)]
    for stack in (np.hstack, np.vstack):
        with pytest.raises(BadInput, match="stereo 3D"):
            structure_from_motion([stack(pair) for pair in both], [None] * 3, Monitor())
    assert not any(stereo(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in truth.images)


def two_places(shared: int) -> tuple[np.ndarray, ...]:
    """Six cameras side by side, three at each of two places that lie in one another; ``shared`` points of the first are seen by the fourth, too."""
    random = np.random.default_rng(0)
    points = random.uniform([-2.0, -1.5, 4.0], [2.0, 1.5, 6.0], (800, 3))
    extrinsics = np.stack([np.eye(4)[:3]] * 6)
    extrinsics[:, 0, 3] = np.linspace(-0.5, 0.5, 6)
    order = np.argsort(np.linalg.norm(points[:400] - [1.0, 0.5, 5.0], axis=1))  # a thing: what is next to each other
    seen = [(i, p) for i in range(6) for p in range(400 * (i // 3), 400 * (i // 3) + 400)]
    seen += [(3, p) for p in order[:shared].tolist()]
    intrinsics = np.stack([[[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]] * 6)
    return extrinsics, intrinsics, np.array([(640, 480)] * 6), points, np.array(seen)


def test_two_places_with_one_thing_in_common_are_told():
    """A patch of one picture that was in another joined the courtyard and a castle, without a word."""
    for shared in (40, 0):
        assert doubtful(*two_places(shared)) in ([0, 1, 2], [3, 4, 5])
    extrinsics, intrinsics, sizes, points, seen = two_places(400)
    both = np.concatenate([seen, [(i, p) for i in (4, 5) for p in range(400)]])
    assert doubtful(extrinsics, intrinsics, sizes, points, both) is None, "one place"
