"""One lens for a shot: no frame breathes, and every point stays where it was seen."""

from dataclasses import replace

import numpy as np
import pytest
import truth
from da3_blender.core.alignment.one_lens import OneLensPredictor, hold
from da3_blender.core.errors import BadInput
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import project, unproject
from da3_blender.core.prediction.conditioning import fixed_focal
from da3_blender.core.settings import Lens, Settings
from truth_predictor import TruthPredictor

BREATHING = 0.02  # standard deviation of a model's focal length from frame to frame
SETTINGS = Settings(process_resolution=252, lens=Lens.SHOT)
FRAMES = list(range(0, 100, 4))


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk")


@pytest.fixture(scope="module")
def frames(walk):
    return FrameSource.open(walk.folder)


class Breathing:
    """The truth, seen through a lens that is another in every frame, with the poses and depths that go with it."""

    def __init__(self, walk):
        self.inner = TruthPredictor(walk)

    def predict(self, images, indices, settings, cameras=None):
        prediction = self.inner.predict(images, indices, settings)
        factors = 1.0 + BREATHING * np.random.default_rng(list(indices)).normal(size=(len(indices), 1))
        return hold(prediction, prediction.intrinsics[:, [0, 1], [0, 1]] * factors).prediction


def crossings(prediction, walk, frames):
    """Pixels by which points of each frame land off their true place in the next two, through the predicted cameras."""
    errors = []
    true = unproject(walk.depth[frames], walk.intrinsics[frames], walk.extrinsics[frames])
    own = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)
    for i in range(len(frames) - 2):
        for j in (i + 1, i + 2):
            known = walk.depth[frames[i]][4::9, 4::9] > 0
            at, z = project(true[i, 4::9, 4::9][known], walk.intrinsics[frames[j]], walk.extrinsics[frames[j]])
            seen = (z > 0.1) & (at > 0).all(axis=1) & (at < (252, 168)).all(axis=1)
            found, _ = project(own[i, 4::9, 4::9][known], prediction.intrinsics[j], prediction.extrinsics[j])
            errors.append(np.linalg.norm(found - at, axis=1)[seen])
    return np.concatenate(errors)


def test_the_lens_stays_and_points_stay_where_they_are(walk, frames):
    breathing = Breathing(walk).predict(walk.images[FRAMES], FRAMES, SETTINGS)
    predictor = OneLensPredictor(Breathing(walk), frames, None)
    held = predictor.predict(walk.images[FRAMES], FRAMES, SETTINGS)
    assert np.ptp(held.intrinsics[:, 0, 0]) == 0.0
    true = walk.intrinsics[0, 0, 0]
    assert np.ptp(breathing.intrinsics[:, 0, 0]) > 0.05 * true
    assert held.intrinsics[0, 0, 0] == pytest.approx(true, rel=0.005)
    before, after = (np.median(crossings(one, walk, FRAMES)) for one in (breathing, held))
    print(f"focal {held.intrinsics[0, 0, 0] / true - 1.0:+.4%}; points off by {before:.3f} px, then {after:.3f} px")
    assert after <= 1.05 * before


def test_every_pass_has_the_lens_of_the_first(walk, frames):
    predictor = OneLensPredictor(Breathing(walk), frames, None)
    first, second = (predictor.predict(walk.images[rows], rows, SETTINGS) for rows in (FRAMES[:10], FRAMES[9:]))
    assert first.intrinsics[0, 0, 0] == second.intrinsics[0, 0, 0] == second.intrinsics[-1, 0, 0]
    again = OneLensPredictor(Breathing(walk), frames, None)
    again.remember(first, FRAMES[:10], SETTINGS)  # as a run that goes on
    assert np.array_equal(again.predict(walk.images[FRAMES[9:]], FRAMES[9:], SETTINGS).intrinsics, second.intrinsics)


def test_a_lens_off_by_a_little_moves_the_camera_along_its_axis(walk):
    """A wall at one depth z: the camera steps back by (s - 1) z, and sees every point on its pixel."""
    prediction = TruthPredictor(walk).predict(walk.images[:2], [0, 1], SETTINGS)
    prediction.depth[:] = 5.0
    held = hold(prediction, prediction.intrinsics[:, [0, 1], [0, 1]] * 1.04)
    assert held.errors == pytest.approx(0.0, abs=1e-6)
    steps = held.prediction.extrinsics[:, :, 3] - prediction.extrinsics[:, :, 3]
    assert steps == pytest.approx(np.array([[0.0, 0.0, 0.2]] * 2), abs=1e-6)
    assert held.prediction.depth == pytest.approx(5.2, abs=1e-5)


def test_of_a_single_frame_every_point_stays_on_its_pixel_and_as_wide_as_it_was(walk):
    prediction = TruthPredictor(walk).predict(walk.images[:1], [0], SETTINGS)
    held = hold(prediction, prediction.intrinsics[:, [0, 1], [0, 1]] * 1.3).prediction
    assert held.depth == pytest.approx(prediction.depth * 1.3)
    assert np.array_equal(held.extrinsics, prediction.extrinsics)


def test_a_typed_lens_counts_and_is_doubted_where_the_model_sees_another(walk, frames):
    settings = replace(SETTINGS, lens=Lens.FIXED, lens_focal=50.0, lens_sensor=36.0)
    focal = fixed_focal(settings, frames)
    frames.warnings.clear()
    held = OneLensPredictor(TruthPredictor(walk), frames, focal).predict(walk.images[:4], range(4), settings)
    assert held.intrinsics[:, 0, 0] == pytest.approx(50.0 / 36.0 * 252)
    (told,) = frames.warnings
    assert "50.00 mm" in told and "look whether" in told


def test_files_without_a_focal_length_cannot_fix_it(frames):
    frames = replace(frames, headers={i: replace(header, focal=None) for i, header in frames.headers.items()})
    with pytest.raises(BadInput, match="type it in"):
        fixed_focal(replace(SETTINGS, lens=Lens.FIXED), frames)
