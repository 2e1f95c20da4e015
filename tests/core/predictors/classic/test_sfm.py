"""Structure from motion in its child process: what it finds, what it says when it finds nothing, how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import classic_room
import cv2
import numpy as np
import pytest
import truth as truths
from da3_blender.core.errors import BadInput, Cancelled, DA3Error
from da3_blender.core.frames.panorama import views
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction.prediction import Cameras
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.predictors.classic.predictor import undistort
from da3_blender.core.predictors.classic.sfm import children, lenses, reconstruction
from da3_blender.core.settings import FeatureMatching, Lens, Panorama
from scipy.spatial.transform import Rotation

FOCAL = 280.0


@pytest.fixture(scope="module")
def room() -> classic_room.Room:
    return classic_room.render(classic_room.arc(5), (320, 240), FOCAL)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made in this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (240, 320, 3), np.uint8)


def positions_error(found: np.ndarray, true: np.ndarray) -> float:
    """Largest error of camera positions relative to the path's length, both in the first camera's frame, best scale."""
    true = true - true[0]
    scale = (found * true).sum() / (found * found).sum()
    return float(np.abs(found * scale - true).max() / np.linalg.norm(np.ptp(true, axis=0)))


def in_first_camera(extrinsics: np.ndarray) -> np.ndarray:
    return reconstruction.camera_centres(extrinsics) @ extrinsics[0, :, :3].T


def test_cameras_and_focal_length_of_a_room_are_found(room):
    told = []
    found = structure_from_motion(room.images, [FOCAL * 1.05] * 5, Monitor(lambda stage, f: told.append((stage, f))))
    assert found.registered.all()
    # Matches are good to about 0.1 px of 320; the claims on real renderings are in test_classic_claims.
    assert positions_error(reconstruction.camera_centres(found.extrinsics), in_first_camera(room.extrinsics)) < 0.005
    assert abs(found.intrinsics[0, 0, 0] / FOCAL - 1.0) < 0.02
    assert not found.distortion.any(), "the images have none, and the simpler camera explains them"
    fractions = [f for stage, f in told if stage == "cameras"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) > 5


def test_each_image_knows_how_far_its_points_are_from_where_it_saw_them(room):
    found = structure_from_motion(room.images, [FOCAL] * 5, Monitor())
    assert found.away.shape == (5,) and (found.away > 0.0).all() and found.away.max() < 1.0
    assert found.of([3, 1]).away.tolist() == found.away[[3, 1]].tolist()


def test_the_world_is_the_first_camera_and_the_median_depth_is_one(room):
    found = structure_from_motion(room.images, [FOCAL] * 5, Monitor())
    assert np.array_equal(found.extrinsics[0], np.eye(4)[:3])
    image, point = found.observations.T
    depth = np.einsum("mi,mi->m", found.extrinsics[image, 2, :3], found.points[point]) + found.extrinsics[image, 2, 3]
    assert np.median(depth) == pytest.approx(1.0)


def test_the_same_images_give_the_same_cameras_to_the_bit(room):
    first, second = (structure_from_motion(room.images, [FOCAL] * 5, Monitor()) for _ in range(2))
    assert np.array_equal(first.extrinsics, second.extrinsics)
    assert np.array_equal(first.points, second.points)


def test_a_lens_that_is_known_stays_as_it_is(room):
    found = structure_from_motion(room.images, [FOCAL * 1.02] * 5, Monitor(), lens=Lens.FIXED)
    assert found.registered.all()
    assert found.intrinsics[:, 0, 0] == pytest.approx(FOCAL * 1.02)


def test_two_images_are_enough(room):
    found = structure_from_motion([room.images[1], room.images[3]], [FOCAL] * 2, Monitor())
    assert found.registered.all()
    rotation = found.extrinsics[1, :, :3] @ (room.extrinsics[3, :, :3] @ room.extrinsics[1, :, :3].T).T
    assert np.degrees(np.arccos((np.trace(rotation) - 1.0) / 2.0)) < 1.0  # the claim for rotations


def test_images_of_two_sizes_are_two_cameras(room):
    wide = room.images[2][20:220]  # 320 x 200: another crop, another principal point
    found = structure_from_motion([*room.images[:2], wide, *room.images[3:]], [FOCAL] * 5, Monitor())
    assert found.registered.all()
    assert found.intrinsics[2, 1, 2] == 100.0 and found.intrinsics[0, 1, 2] == 120.0


@pytest.mark.parametrize(("k1", "k2"), [(-0.12, 0.0), (-0.2, 0.1)])  # moves the corners of these images by 12 pixels
def test_a_bending_lens_is_noticed_and_its_images_straightened(room, k1, k2):
    v, u = np.mgrid[0.5:240.0, 0.5:320.0].astype(np.float32)
    matrix = room.intrinsics[0]
    straight = cv2.undistortPoints(np.stack([u, v], -1).reshape(-1, 1, 2), matrix, np.array([k1, k2, 0, 0]), P=matrix)
    look_up = straight.reshape(240, 320, 2).astype(np.float32) - 0.5
    bent = [cv2.remap(image, look_up, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in room.images]
    found = structure_from_motion(bent, [None] * 5, Monitor())
    assert found.registered.all()
    far = np.hypot(160.0, 120.0) / FOCAL
    assert found.distortion[0] @ [far**2, far**4] == pytest.approx(
        k1 * far**2 + k2 * far**4, abs=0.02
    )  # at the corners
    assert positions_error(reconstruction.camera_centres(found.extrinsics), in_first_camera(room.extrinsics)) < 0.01
    again = undistort(bent[2], found, 2)[40:-40, 50:-50].astype(float)
    difference = np.abs(again - room.images[2][40:-40, 50:-50]).mean()
    assert difference < 0.5 * np.abs(bent[2].astype(float) - room.images[2])[40:-40, 50:-50].mean()


def test_known_cameras_keep_their_frame_and_get_points(room):
    known = Cameras(room.extrinsics, room.intrinsics)
    found = structure_from_motion(room.images, [None] * 5, Monitor(), known)
    assert np.array_equal(found.extrinsics, room.extrinsics)
    low, high = classic_room.BOXES[0]
    inside = ((found.points > low - 0.05) & (found.points < high + 0.05)).all(axis=1)
    assert len(found.points) > 200 and inside.mean() > 0.97, "points are in the room, in its own units"


def test_an_image_of_something_else_is_not_registered(room):
    found = structure_from_motion([*room.images[:3], noise(1), *room.images[3:]], [FOCAL] * 6, Monitor())
    assert found.registered.tolist() == [True, True, True, False, True, True]
    assert np.isfinite(found.extrinsics).all()


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (lambda room: room.images[:1], "two or more"),
        (lambda room: [noise(1), noise(2), noise(3)], "no overlap between these 3 images|alike"),
        (lambda room: [room.images[0]] * 2, "did not move"),
    ],
    ids=["one image", "noise", "the same image twice"],
)
def test_images_that_give_no_cameras_are_bad_input_that_names_da3(room, images, says, temporary):
    chosen = images(room)
    with pytest.raises(BadInput, match=says) as error:
        structure_from_motion(chosen, [FOCAL] * len(chosen), Monitor())
    assert "DA3 Small" in str(error.value)
    assert not list(temporary.iterdir())


def children_of_this_process() -> list[int]:
    pids = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            pids.append(int(entry.parent.name))
    return pids


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts processes by /proc")
def test_cancel_kills_the_child_and_leaves_no_folder(room, temporary):
    before = children_of_this_process()
    asked = threading.Event()
    threading.Timer(1.0, asked.set).start()
    with pytest.raises(Cancelled):
        structure_from_motion(room.images * 4, [FOCAL] * 20, Monitor(cancelled=asked.is_set))
    assert children_of_this_process() == before
    assert not list(temporary.iterdir())


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the child by /proc")
def test_a_child_that_is_killed_becomes_an_error_that_says_so(room, temporary):
    before = set(children_of_this_process())

    def kill_it(_stage: str, _fraction: float) -> None:
        for pid in set(children_of_this_process()) - before:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(DA3Error, match="was killed by SIGKILL; the machine may be out of memory"):
        structure_from_motion(room.images, [FOCAL] * 5, Monitor(kill_it))
    assert not list(temporary.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_the_child_ends_when_its_parent_is_gone():
    script = Path(reconstruction.__file__).parent / "processes" / "child.py"
    code = f"import runpy; runpy.run_path({str(script)!r})['die_with_parent']()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    time.sleep(1.0)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(timeout=10) == 3


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the child by /proc")
def test_a_stopped_child_is_ended_and_the_sentence_names_its_stage(room, temporary, monkeypatch):
    monkeypatch.setattr(children, "PATIENCE", 2.5)
    before = set(children_of_this_process())
    stopped = []

    def stop_it(_stage: str, _fraction: float) -> None:
        for pid in set(children_of_this_process()) - before - set(stopped):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    started = time.monotonic()
    with pytest.raises(DA3Error, match="was stopped for [234] s in its stage 'cameras'"):
        structure_from_motion(room.images, [FOCAL] * 5, Monitor(stop_it))
    assert time.monotonic() - started < 10.0
    assert set(children_of_this_process()) == before and not list(temporary.iterdir())


def test_a_cropped_picture_does_not_bend_the_cameras():
    """Cut at the right and below, and enlarged to the size of the others: 10 % of the path before, without a word."""
    truth = truths.load("courtyard")
    images = [*truth.images[:6]]
    images[2] = cv2.resize(images[2][:342, :512], (640, 428), interpolation=cv2.INTER_CUBIC)
    found = structure_from_motion(images, [None] * 6, Monitor(), matching=FeatureMatching.SIFT)
    assert found.registered.all() and found.way == "sift, as given, cropped images"
    error = positions_error(reconstruction.camera_centres(found.extrinsics), in_first_camera(truth.extrinsics[:6]))
    assert error < 0.005
    assert found.intrinsics[2, :2, 2] == pytest.approx([400.0, 267.5], abs=6.0)


def test_noise_does_not_bend_the_cameras():
    """Every third image, with 60 % less contrast and noise of six grey values: 0.15 degrees with the squares of the errors."""
    truth, random = truths.load("courtyard"), np.random.default_rng(0)
    chosen = range(0, 14, 3)
    images = [truth.images[i] for i in chosen]
    dim = [image.mean() + 0.4 * (image - image.mean()) + random.normal(0.0, 6.0, image.shape) for image in images]
    focal = float(truth.intrinsics[0, 0, 0])
    found = structure_from_motion(
        [image.clip(0, 255).astype(np.uint8) for image in dim], [focal] * 5, Monitor(), matching=FeatureMatching.SIFT
    )
    assert found.registered.all()
    true = truth.extrinsics[list(chosen)]
    assert positions_error(reconstruction.camera_centres(found.extrinsics), in_first_camera(true)) < 0.002
    turns = true[:, :, :3] @ true[0, :, :3].T
    apart = np.einsum("nij,nij->n", found.extrinsics[:, :, :3], turns)
    assert np.degrees(np.arccos(((apart - 1.0) / 2.0).clip(-1.0, 1.0))).max() < 0.1


def test_pairs_judged_by_a_guessed_lens_do_not_speak_against_the_cameras():
    """The far ends of the courtyard share a flat floor; without EXIF their pairs say a turn that is 20 degrees off."""
    truth = truths.load("courtyard")
    chosen = [0, 1, 2, 9, 10, 11, 12, 13]
    found = structure_from_motion(
        [truth.images[i] for i in chosen], [None] * len(chosen), Monitor(), matching=FeatureMatching.AUTOMATIC
    )
    assert found.registered.all() and found.way == "sift, as given"
    assert abs(found.intrinsics[0, 0, 0] / truth.intrinsics[0, 0, 0] - 1.0) < 0.005


@pytest.mark.parametrize(("before", "found", "taken"), [
    ({"at_once": True}, {}, True), ({"at_once": True}, {"count": 5}, False), ({"at_once": True}, {"at_once": True}, False),
    ({}, {}, False), ({}, {"count": 7}, True), ({"torn": True}, {"at_once": True}, True),
    ({"at_once": True, "count": 10}, {"count": 9}, False), ({"at_once": True, "count": 10, "turn": 20.0}, {"count": 9}, True),
    ({"at_once": True, "count": 10, "turn": 20.0}, {"count": 8}, False), ({"count": 10, "turn": 20.0}, {"count": 9}, False),
])  # fmt: skip
def test_a_firm_result_of_as_many_images_replaces_one_that_is_not(before, found, taken):
    """Of the dim walk the global mapper placed as many images as learned features, ten times farther off; one image fewer is
    little beside cameras that turn otherwise."""

    def result(count: int = 6, torn: bool = False, at_once: bool = False, turn: float = 0.0) -> dict:
        cameras = np.zeros((count, 3, 4))
        cameras[:, :, :3] = Rotation.from_euler("y", turn * np.arange(count)[:, None], degrees=True).as_matrix()
        return {"indices": np.arange(count), "extrinsics": cameras, "torn": torn, "at_once": at_once}

    assert reconstruction._is_better(result(**found), result(**before)) == taken


def test_who_shares_a_camera():
    groups = lenses.camera_groups([(640, 480)] * 4 + [(480, 640)], [500.0, 505.0, 900.0, None, None])
    assert [g["images"] for g in groups] == [[0, 1], [2], [3], [4]]
    assert [g["focal"] for g in groups] == [502.5, 900.0, None, None]
    (only,) = lenses.camera_groups([(640, 480)] * 3, [500.0, None, 505.0])
    assert only["images"] == [0, 1, 2]


def test_the_views_into_panoramas_are_a_rig_and_all_placed():
    """Five views into each of two sample panoramas; one looks up, where nothing matches, and has its place all the same."""
    frames = views.cut(FrameSource.open(truths.load("panorama").folder, end=1), Panorama.AUTOMATIC)
    chosen = [i for i in frames.selected if frames.views[i].number in (0, 1, 6, 7, 8)]
    own = [frames.views[i] for i in chosen]
    found = structure_from_motion(frames.images(chosen), [frames.focals[i] for i in chosen], Monitor(), views=own)
    assert found.registered.all() and found.way == "sift, rig"
    assert (found.distortion == 0).all() and np.allclose(found.intrinsics[:, 0, 0], frames.headers[0].focal)
    centres = invert_rigid(found.extrinsics)[:, :, 3].reshape(2, 5, 3)
    assert np.ptp(centres, axis=1).max() < 1e-9
    rotations = np.stack([v.rotation.T @ e[:, :3] for v, e in zip(own, found.extrinsics, strict=True)]).reshape(
        2, 5, 3, 3
    )
    assert np.abs(rotations - rotations[:, :1]).max() < 1e-9
    true = truths.load("panorama").extrinsics[:2]
    turn = (true[1, :, :3] @ true[0, :, :3].T).T @ rotations[1, 0] @ rotations[0, 0].T
    assert np.degrees(np.arccos((np.trace(turn) - 1.0) / 2.0)) < 0.2
    way, true_way = (
        rotations[0, 0] @ (centres[1, 0] - centres[0, 0]),
        true[0, :, :3] @ np.subtract(*invert_rigid(true)[::-1, :, 3]),
    )
    assert way @ true_way / np.linalg.norm(way) / np.linalg.norm(true_way) > np.cos(np.radians(0.5))


def test_one_panorama_is_no_input_for_structure_from_motion():
    frames = views.cut(FrameSource.open(truths.load("panorama").folder, end=0), Panorama.AUTOMATIC)
    own = [frames.views[i] for i in frames.selected]
    with pytest.raises(BadInput, match="two or more panoramas"):
        structure_from_motion(frames.images(frames.selected), [100.0] * 10, Monitor(), views=own)
