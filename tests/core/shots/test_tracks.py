"""Tracks: each once, the best first, and where the run's points are, whatever has moved those."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import truth as truths
from da3_blender.core.frames.resizing import place
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import points_to_blender
from da3_blender.core.geometry.similarity import Similarity
from da3_blender.core.monitor import Monitor
from da3_blender.core.output.payload import Part, TrackArrays
from da3_blender.core.pipeline import camera_records
from da3_blender.core.prediction.compression import packed, unpacked
from da3_blender.core.prediction.prediction import Prediction, Tracks
from da3_blender.core.predictors.classic import scene
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.core.shots.tracks import Gathered
from da3_blender.streaming.pipeline import Settled, moves_to_blender, reconstruct

SAMPLES = Path(__file__).resolve().parents[3] / "sample_images"
FRAMES = 6  # of the courtyard


def tracks(numbers, seed=0, length=3):
    random, count = np.random.default_rng(seed), len(numbers)
    return Tracks(
        np.array(numbers, np.int64), random.normal(size=(count, 3)), random.uniform(0.1, 1.0, count),
        np.full(count, length), np.array([(0, k) for k in range(count)]), random.uniform(0, 9, (count, 2)),
    )  # fmt: skip


def prediction(own):
    return Prediction(
        np.ones((1, 4, 5), np.float32), np.ones((1, 4, 5), np.float32), np.eye(4)[None, :3], np.eye(3)[None],
        np.zeros((1, 4, 5, 3), np.uint8), tracks=own,
    )  # fmt: skip


def test_a_track_of_two_batches_comes_once_and_the_best_is_first():
    gathered, first = Gathered(), tracks([4, 5, 6])
    gathered.add(prediction(first), [])
    gathered.add(prediction(None), [])
    gathered.add(prediction(tracks([6, 7], seed=1)), [])
    part = gathered.part()
    assert len(part.arrays) == 4 and part.name == "_Tracks"
    assert (np.diff(part.arrays.error) >= 0.0).all()
    row = int(np.argmin(first.error))
    assert np.isclose(part.arrays.position, points_to_blender(first.points)[row], atol=1e-6).all(axis=1).any()


def test_what_two_images_see_is_no_track_and_nothing_is_no_part():
    gathered = Gathered()
    assert gathered.part() is None
    gathered.add(prediction(tracks([1, 2], length=2)), [])
    assert gathered.part() is None


def test_tracks_go_where_the_points_go():
    own, turn = tracks([1, 2]), np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    moved = Similarity(2.0, turn, np.array([1.0, 2.0, 3.0])).apply(prediction(own))
    assert moved.tracks.points == pytest.approx(2.0 * own.points @ turn.T + [1.0, 2.0, 3.0])
    gathered, move = Gathered(), np.diag([3.0, 3.0, 3.0, 1.0])
    move[:3, 3] = 5.0
    gathered.add(prediction(own), [])
    best = int(np.argmin(own.error))
    assert gathered.part([move]).arrays.position[0] == pytest.approx(
        3.0 * points_to_blender(own.points[best]) + 5.0, abs=1e-5
    )


def test_tracks_come_back_from_disk(tmp_path):
    own = tracks([3, 1 << 40])
    back = unpacked(packed(prediction(own)), np.zeros((1, 4, 5, 3), np.uint8)).tracks
    for name in ("number", "points", "length", "seen"):
        assert np.array_equal(getattr(back, name), getattr(own, name)), name
    assert back.error == pytest.approx(own.error) and back.pixels == pytest.approx(own.pixels, abs=1e-5)
    gathered = Gathered()
    gathered.add(prediction(own), [])
    part = gathered.part()
    again = Part.open(tmp_path, part.save(tmp_path, "whole0_0"))
    assert isinstance(again.arrays, TrackArrays) and np.array_equal(again.arrays.position, part.arrays.position)


@pytest.fixture(scope="module")
def courtyard():
    """Cameras and tracks of the first images of the courtyard, in a world that is three times as large and elsewhere."""
    frames = FrameSource.open(SAMPLES / "courtyard", end=FRAMES - 1)
    found = scene.find(frames, frames.selected, Settings(model="classic"), Monitor())
    assert found.indices == list(range(FRAMES))
    own = replace(prediction(found.sfm.tracks(found.indices)), extrinsics=found.sfm.extrinsics)
    return found.sfm, Similarity(3.0, np.eye(3), np.array([1.0, 2.0, 3.0])).apply(own)


def seen_from(cameras, own):
    """(M, 3) each sighting's point in the camera that sees it."""
    frame, row = own.seen.T
    return np.einsum("mij,mj->mi", cameras[frame, :, :3], own.points[row]) + cameras[frame, :, 3]


def test_a_track_of_the_courtyard_projects_where_its_images_see_it(courtyard):
    sfm, moved = courtyard
    own, (frame, row) = moved.tracks, moved.tracks.seen.T
    flat = seen_from(moved.extrinsics, own)
    flat = flat[:, :2] / flat[:, 2:]
    squared = (flat**2).sum(axis=1, keepdims=True)
    k1, k2 = sfm.distortion[frame].T[:, :, None]
    focal, centre = sfm.intrinsics[frame][:, [0, 1], [0, 1]], sfm.intrinsics[frame][:, :2, 2]
    pixels = flat * (1.0 + squared * (k1 + squared * k2)) * focal + centre
    away = np.linalg.norm(pixels - own.pixels, axis=1)
    assert len(own.points) > 300 and own.length.max() >= 4
    told = np.abs(np.bincount(row, away) / np.bincount(row) - own.error) < 0.02
    assert told.mean() > 0.98  # the others have two places in one image, of which one is kept
    gathered = Gathered()
    gathered.add(moved, [])
    best = gathered.part().arrays.position[:100]
    chosen = (np.abs(points_to_blender(own.points)[:, None] - best).max(axis=2) < 1e-4).any(axis=1)
    assert chosen.sum() >= 100 and away[chosen[row]].max() < 1.0


def test_a_track_of_the_courtyard_lies_on_what_is_there(courtyard):
    """Its depth in each image is the true one, but for the scale, which no image tells."""
    _, moved = courtyard
    own, true = moved.tracks, truths.load("courtyard")
    frame, row = own.seen.T
    v, u = own.pixels[:, 1].astype(int), own.pixels[:, 0].astype(int)
    there = true.depth[frame, v, u]
    good = (there > 0) & (own.length >= 3)[row]
    ratio = seen_from(moved.extrinsics, own)[good, 2] / there[good]
    assert (np.abs(ratio / np.median(ratio) - 1.0) < 0.02).mean() > 0.9


class Streamed:
    """``classic``'s cameras and tracks of each pass, with depths that cost nothing."""

    def __init__(self, sfm):
        self.sfm = sfm

    def predict(self, images, indices, settings, cameras=None):
        own = self.sfm.of(list(indices))
        canvas, valid, placements = place(images, settings.resolution, settings.resize_method)
        depth, small = (
            valid.astype(np.float32),
            [p.to_processed(k) for p, k in zip(placements, own.intrinsics, strict=True)],
        )
        return Prediction(
            depth, depth, own.extrinsics, np.stack(small), canvas, reprojection_error=own.away, distortion=np.pad(own.distortion, ((0, 0), (0, 1))),
            tracks=own.tracks(indices), cameras_known=True, scale_known=False,
        )  # fmt: skip


def test_a_streamed_run_of_classic_has_the_tracks_of_a_whole_one(courtyard, tmp_path):
    """Chunks share frames, and their points: each comes once, at its place, and the frames' errors are those that were found."""
    sfm, _ = courtyard
    frames = FrameSource.open(SAMPLES / "courtyard", end=FRAMES - 1)
    settings = Settings(model="classic", batch_mode=BatchMode.DA3_STREAMING, batch_size=4, process_resolution=126)
    *batches, settled = reconstruct(
        frames,
        settings,
        Streamed(sfm),
        on_progress=lambda *_: None,
        cancelled=lambda: False,
        folder=tmp_path / "chunks",
    )
    assert isinstance(settled, Settled) and len(batches) > 1
    whole, streamed = Gathered(), Gathered()
    whole.add(prediction(sfm.tracks(range(FRAMES))), [])
    for batch in batches:
        streamed.add(batch.prediction, camera_records(batch, frames, settings))
    moves = list(moves_to_blender(settled.moves))
    expected, part = whole.part().arrays, streamed.part(moves).arrays
    order, own = (np.lexsort(arrays.position.T) for arrays in (expected, part))
    assert part.position[own] == pytest.approx(expected.position[order], abs=1e-5)
    assert np.array_equal(part.track_length[own], expected.track_length[order])
    cameras = streamed.cameras(moves)
    assert [camera.reprojection_error for camera in cameras] == pytest.approx(sfm.away)
    errors = streamed.errors(cameras, moves)
    assert list(errors) == list(range(FRAMES)) and list(errors.values()) == pytest.approx(sfm.away, abs=0.05)
