"""Places visited twice are found, and two places are not taken for one."""

import numpy as np
import pytest
from da3_blender.core.settings import Settings
from da3_blender.streaming.registration import frame_descriptors, loop_detection
from disturbed_predictor import DisturbedPredictor
from long_walk import make

LAP = 584  # frames of one, nearly


@pytest.fixture(scope="module")
def walk():
    return make(LAP + 120)


def test_by_descriptors_frames_of_one_place_find_each_other(walk):
    descriptors = frame_descriptors.describe(walk.pictures)
    centres = walk.camera_to_world[:, :3, 3]
    best = [60 + i + int((descriptors[i + 60 :] @ descriptors[i]).argmax()) for i in range(110)]
    right = [np.linalg.norm(centres[i] - centres[j]) < 2.0 for i, j in enumerate(best)]
    assert np.mean(right) > 0.8  # the rest is for the joint pass to refuse
    first = loop_detection.by_descriptors(descriptors, 60, 10)[0]
    assert np.linalg.norm(centres[first.first] - centres[first.second]) < 2.0


def test_by_nearness_likewise(walk):
    depths = np.median(walk.depth, axis=(1, 2))
    found = loop_detection.by_nearness(walk.camera_to_world[:, :3], depths, 60, 10)
    centres = walk.camera_to_world[:, :3, 3]
    assert found
    assert all(np.linalg.norm(centres[c.first] - centres[c.second]) < depths[c.first] for c in found)


def test_neighbours_of_a_better_candidate_are_left_out():
    many = [loop_detection.Candidate(i, i + 300, 1.0 - abs(i - 50) / 100) for i in range(100)]
    kept = loop_detection.suppress(many, 25, 10)
    assert kept[0].first == 50
    assert all(abs(a.first - b.first) >= 25 for a in kept for b in kept if a is not b)


def test_both_sides_of_one_place_agree_and_those_of_two_do_not(walk):
    centres = walk.camera_to_world[:, :3, 3]
    back = [int(np.linalg.norm(centres[LAP - 60 :] - centres[i], axis=1).argmin()) + LAP - 60 for i in range(20, 30)]
    predictor = DisturbedPredictor(walk)
    predictor.path_length = 20.0
    frames = [*range(20, 30), *back]
    joint = predictor.predict(walk.pictures[frames], frames, Settings())
    assert loop_detection.sides_agree(joint, 10)
    elsewhere = [*range(20, 30), *range(300, 310)]
    agreed = 0
    for seed in range(10):  # a model that is shown two places puts the second anywhere near the first
        random = np.random.default_rng(seed)
        wrong = DisturbedPredictor(walk, seed).predict(walk.pictures[elsewhere], elsewhere, Settings())
        first = wrong.extrinsics[0]
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        for k in range(10, 20):  # the second side, as it is in itself, seen from the first one's place
            own = np.vstack([wrong.extrinsics[k], [0, 0, 0, 1]]) @ np.linalg.inv(
                np.vstack([wrong.extrinsics[10], [0, 0, 0, 1]])
            )
            shift = np.eye(4)
            shift[:3, :3] = turn * np.sign(np.linalg.det(turn))
            wrong.extrinsics[k] = (own @ shift @ np.vstack([first, [0, 0, 0, 1]]))[:3]
        agreed += loop_detection.sides_agree(wrong, 10)
    assert agreed <= 1  # by chance; the graph refuses what is left
