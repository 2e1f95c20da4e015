"""Tracks of a long way: the corners by which chunks were made better, as points at their final place, beside the truth."""

import numpy as np
import pytest
import truth
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import BLENDER_FROM_OPENCV, points_to_blender
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.pipeline import camera_records
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.core.shots.tracks import FEWEST_IMAGES, Gathered
from da3_blender.streaming.pipeline import moves_to_blender, reconstruct
from disturbed_predictor import DisturbedPredictor

FRAMES = 20


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk")


@pytest.fixture(scope="module")
def streamed(walk, tmp_path_factory):
    """Batches of a way with a model that errs, what gathered their tracks, and where the batches go at last."""
    frames = FrameSource.open(walk.folder, 0, FRAMES - 1)
    settings = Settings(
        input=str(walk.folder),
        batch_mode=BatchMode.DA3_STREAMING,
        batch_size=12,
        process_resolution=252,
        model="classic",
    )
    *batches, settled = reconstruct(
        frames, settings, DisturbedPredictor(walk), on_progress=lambda *_: None, cancelled=lambda: False,
        folder=tmp_path_factory.mktemp("chunks") / "s",
    )  # fmt: skip
    gathered = Gathered()
    for batch in batches:
        gathered.add(batch.prediction, camera_records(batch, frames, settings))
    return batches, gathered, list(moves_to_blender(settled.moves))


def test_tracks_of_a_streamed_way_lie_on_what_is_there(walk, streamed):
    batches, gathered, moves = streamed
    centres = np.array([camera.camera_to_world for camera in gathered.cameras(moves)]).reshape(-1, 4, 4)[:, :3, 3]
    assert len(centres) == FRAMES
    to_truth = umeyama(centres, points_to_blender(walk.camera_to_world[:FRAMES, :3, 3]))
    deep, aside = [], []
    for batch, move in zip(batches, moves, strict=True):
        tracks = batch.prediction.tracks
        there = to_truth.of_points(points_to_blender(tracks.points) @ move[:3, :3].T + move[:3, 3])
        chosen = (tracks.length >= FEWEST_IMAGES)[tracks.seen[:, 1]]
        (frame, row), pixels = tracks.seen[chosen].T, tracks.pixels[chosen]
        pose = walk.extrinsics[frame]
        own = np.einsum("mij,mj->mi", pose[:, :, :3], (there @ BLENDER_FROM_OPENCV)[row]) + pose[:, :, 3]
        image = own @ walk.intrinsics[0].T
        aside.append(np.linalg.norm(image[:, :2] / image[:, 2:] - pixels, axis=1))
        u, v = pixels.astype(int).T
        true = walk.depth[frame, v, u]
        deep.append(np.abs(own[true > 0, 2] / true[true > 0] - 1.0))
    # The model's depths are 2 % off and its cameras 0.3 degrees, which are 1.7 pixels.
    assert np.median(np.concatenate(deep)) < 0.01 and np.percentile(np.concatenate(deep), 90) < 0.04
    assert np.median(np.concatenate(aside)) < 0.6


def test_each_comes_once_with_what_it_is_off_and_each_frame_with_its_error(streamed):
    batches, gathered, moves = streamed
    numbers = np.concatenate([batch.prediction.tracks.number for batch in batches])
    part = gathered.part(moves)
    assert 300 < len(part.arrays) <= len(np.unique(numbers)) < len(numbers)  # chunks share frames, and their corners
    assert part.arrays.track_length.min() >= FEWEST_IMAGES and part.arrays.error.max() < 2.0
    errors = gathered.errors(gathered.cameras(moves), moves)
    assert len(errors) == FRAMES and max(errors.values()) < 0.5
    told = np.array([camera.reprojection_error for camera in gathered.cameras(moves)])
    assert told[0] == 0.0 and (told[1:] > 0.0).all() and told.max() < 0.5  # in the first, nothing is found again
