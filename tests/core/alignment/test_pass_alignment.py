"""Passes fit together: exactly where they are exact, and better than the original's where they err like a model.

The claims over 8 seeds are measured by ``tools/bench/accuracy/alignment.py``; here are fewer seeds, for the time they take.
"""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import truth
from da3_blender.core.alignment import blending, pass_alignment
from da3_blender.core.geometry import projection
from da3_blender.core.geometry.similarity import Similarity, from_points
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, Settings
from disturbed_predictor import Disturbance, DisturbedPredictor

BENCH = Path(__file__).resolve().parents[3] / "tools" / "bench" / "accuracy" / "alignment.py"
SEEDS = range(2)


@pytest.fixture(scope="module")
def bench():
    return runpy.run_path(str(BENCH))


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk")


def two_passes(known, first, second, disturbance=None, seed=0):
    predictor = DisturbedPredictor(known, seed, disturbance)
    return [predictor.predict(known.images[rows], rows, Settings()) for rows in (first, second)]


def off(known, rows, reference, own, found):
    """How far the own pass's cameras are from where they would be in the reference's world; relative, and degrees."""
    true = known.camera_to_world[rows]
    first = projection.invert_rigid(reference.extrinsics)[0]
    placed = projection.invert_rigid(found.similarity.apply(own).extrinsics)
    scale = np.linalg.norm(first[:, 3] - placed[-1, :, 3]) / np.linalg.norm(
        known.camera_to_world[0, :3, 3] - true[-1, :3, 3]
    )
    rotation = first[:, :3] @ known.camera_to_world[0, :3, :3].T
    centres = scale * (true[:, :3, 3] - known.camera_to_world[0, :3, 3]) @ rotation.T + first[:, 3]
    turned = np.einsum("nij,nij->n", placed[:, :, :3], rotation @ true[:, :3, :3])
    angle = np.degrees(np.arccos(np.clip((turned - 1) / 2, -1, 1)))
    return np.linalg.norm(placed[:, :, 3] - centres, axis=1).max() / scale, angle.max()


@pytest.mark.parametrize("mode", ["last_frame_overlap", "first_last_overlap"])
def test_undisturbed_passes_fit_exactly(bench, walk, mode):
    settings = Settings(batch_mode=BatchMode(mode), batch_size=10, process_resolution=252)
    passes = bench["Passes"](DisturbedPredictor(walk, 0, Disturbance.none()))
    error = bench["trajectory_error"](walk, bench["ours"](walk, passes, settings))
    assert error < 1e-4  # of the extent: the claim; float32 depths allow 1e-6


@pytest.mark.parametrize(("mode", "to_original"), [("last_frame_overlap", 0.45), ("first_last_overlap", 0.35)])
def test_disturbed_passes_drift_less_than_half_as_far_as_with_the_original_s_method(bench, walk, mode, to_original):
    settings = Settings(batch_mode=BatchMode(mode), batch_size=10, process_resolution=252)
    errors = {"original": [], "ours": [], "oracle": []}
    doubled = {"original": [], "ours": []}
    for seed in SEEDS:
        passes = bench["Passes"](DisturbedPredictor(walk, seed))
        for name, found in errors.items():
            scene = bench[name](walk, passes, settings)
            found.append(bench["trajectory_error"](walk, scene))
            if name in doubled:
                doubled[name].append(bench["doubling"](walk, scene))
    errors, doubled = ({k: np.median(v) for k, v in d.items()} for d in (errors, doubled))
    assert errors["ours"] <= to_original * errors["original"]
    assert errors["ours"] <= 1.6 * errors["oracle"]
    assert doubled["ours"] <= 0.6 * doubled["original"]


def test_passes_without_a_shared_frame_are_fitted_by_the_surfaces_both_see(walk):
    first, second = list(range(10)), list(range(10, 20))
    reference, own = two_passes(walk, first, second)
    found = pass_alignment.align(reference, [], own, [])
    assert found.shared == 0 and found.residual < 0.05
    distance, angle = off(walk, second, reference, own, found)
    assert distance < 0.4 and angle < 1.5  # metres of 7 walked, degrees: a few times the noise of a single camera


def test_a_fit_of_passes_that_show_nothing_in_common_is_known_to_be_none(walk):
    reference, own = two_passes(walk, list(range(6)), list(range(50, 56)))
    assert pass_alignment.align(reference, [], own, []).residual is None


def test_without_a_feature_in_the_images_the_shared_frames_alone_are_enough(walk):
    first, second = list(range(10)), list(range(9, 19))
    reference, own = (replace(p, images=np.zeros_like(p.images)) for p in two_passes(walk, first, second))
    found = pass_alignment.align(reference, [9], own, [0])
    distance, angle = off(walk, second, reference, own, found)
    assert distance < 0.6 and angle < 2  # one camera's noise, seen at the far end of the pass


def test_the_scale_is_not_bent_by_outliers_and_edges(bench, walk):
    rough = Disturbance(
        outliers=0.1, bleeding=3, known=0.5, depth_error=0.0, pose_degrees=0, pose_shift=0, scales=(1, 1)
    )
    rows = [4, 5]
    reference, own = (two_passes(walk, rows, rows, rough, seed)[0] for seed in (0, 1))
    # Each pass's turn is undone by the shared cameras; the true ratio of the depths is 1.
    assert pass_alignment.from_shared(reference, own)[1] == pytest.approx(1, abs=1e-4)
    assert abs(bench["_original_similarity"](reference, own).scale - 1) > 1e-3


def test_a_similarity_moves_points_and_cameras_alike(walk):
    random = np.random.default_rng(0)
    prediction = two_passes(walk, [0], [1])[0]
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    similarity = Similarity(1.5, rotation * np.linalg.det(rotation), random.normal(size=3))
    moved = similarity.apply(prediction)
    before = projection.unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics).astype(np.float64)
    after = projection.unproject(moved.depth, moved.intrinsics, moved.extrinsics)
    np.testing.assert_allclose(after, 1.5 * before @ similarity.rotation.T + similarity.translation, atol=1e-4)


def test_a_similarity_is_found_among_many_wrong_pairs():
    random = np.random.default_rng(1)
    source = random.normal(size=(200, 3))
    target = 2.0 * source + [1, 2, 3]
    target[:100] = random.normal(size=(100, 3))
    found = from_points(source, target, 0.01)
    assert found.scale == pytest.approx(2) and found.translation == pytest.approx([1, 2, 3])


def flat(depth, conf):
    depth, conf = np.array([[depth]], np.float32), np.array([[conf]], np.float32)
    pose, lens = np.eye(4)[None, :3], np.eye(3)[None]
    return Prediction(depth, conf, pose.copy(), lens.copy(), np.zeros((*depth.shape, 3), np.uint8))


def test_a_frame_of_two_passes_is_blended_by_confidence_and_never_into_thin_air():
    own, other = flat([2.0, 2.0, 2.0, 0.0], [3, 3, 0, 0]), flat([2.04, 4.0, 3.0, 5.0], [1, 1, 1, 2])
    other.extrinsics[0, 0, 3] = -0.2
    blending.blend_into(own, 0, other, 0)
    np.testing.assert_allclose(own.depth[0, 0], [2.01, 2.0, 3.0, 5.0], rtol=1e-6)  # mean; surer; the only ones
    assert (own.conf[0, 0] > 0).all()
    assert own.extrinsics[0, 0, 3] == pytest.approx(-0.1)
