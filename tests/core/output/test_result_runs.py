"""Whole runs in the worker's own function: known cameras in, result files out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import truth
from da3_blender.core.errors import BadInput
from da3_blender.core.geometry import local_origin
from da3_blender.core.output.cameras import colmap
from da3_blender.core.output.payload import CameraRecord, PointArrays
from da3_blender.core.prediction import conditioning
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, KnownCameras, Settings
from da3_blender.core.worker import protocol
from da3_blender.core.worker.server.generate_job import generate
from da3_blender.core.worker.server.loaded_model import LoadedModel
from truth_predictor import TruthPredictor

EXACT = 1e-6


class Conditioned(TruthPredictor):
    """Like DA3: in its own frame without cameras, in theirs with them, and as choosy about them."""

    def __init__(self, known):
        super().__init__(known, seed=1)
        self.passes = []

    def predict(self, images, indices, settings, cameras=None):
        self.passes.append(list(indices))
        if cameras is None:
            return super().predict(images, indices, settings)
        conditioning.check(cameras, len(images))
        assert [image.shape for image in images] == [self.truth.images[0].shape] * len(indices)
        rng = np.random.default_rng(indices[0])
        depth = self.truth.depth[list(indices)] * rng.uniform(0.97, 1.03)  # each pass a little off in scale
        return Prediction(
            depth.astype(np.float32), np.where(depth > 0, 5.0, 0.0).astype(np.float32), cameras.extrinsics.copy(),
            cameras.intrinsics.copy(), np.stack(list(images)),
        )  # fmt: skip


@pytest.fixture(scope="module")
def courtyard():
    return truth.load("courtyard")


class Batches(list):
    """And the scene's origin, as Blender hears of it."""

    origin = None


def run(known, tmp_path, cameras=None, **settings):
    """Batches (records and clouds), report and predictor of a run on a sample set."""
    predictor = Conditioned(known)
    values = Settings(input=str(known.folder), model="da3-small", **settings).to_json()
    folder = tmp_path / "job"
    folder.mkdir(parents=True, exist_ok=True)
    events = []
    request = protocol.Generate(1, str(folder), values, str(tmp_path), None, cameras)
    report = generate(request, LoadedModel(lambda *_, **__: predictor), events.append, lambda: False)
    batches = Batches(
        ([CameraRecord.from_json(c) for c in e.cameras], [PointArrays.open(folder, p["files"]) for p in e.parts])
        for e in events
        if isinstance(e, protocol.BatchReady)
    )
    batches.origin = next(e.origin for e in events if isinstance(e, protocol.BatchReady))
    return batches, report, predictor


def colmap_of(known, folder, left_out=()):
    height, width = known.images.shape[1:3]
    views = [
        colmap.View(known.names[i], width, height, known.intrinsics[i], known.extrinsics[i])
        for i in range(len(known))
        if i not in left_out
    ]
    colmap.write(folder, views, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    return {"known_cameras": KnownCameras.COLMAP, "known_cameras_folder": str(folder)}


@pytest.mark.parametrize("mode", list(BatchMode))
def test_with_known_cameras_the_result_is_in_their_frame_in_every_batch_mode(courtyard, tmp_path, mode):
    given = colmap_of(courtyard, tmp_path / "model", left_out=(4,))
    batches, report, predictor = run(
        courtyard, tmp_path, **given, batch_mode=mode, batch_size=5, output_folder=str(tmp_path / "out")
    )
    frames = [record.frame for records, _ in batches for record in records]
    assert 4 not in frames and len(set(frames)) == len(frames)
    if mode is not BatchMode.SKIP_FRAMES:
        assert sorted(frames) == [i for i in range(len(courtyard)) if i != 4]
    assert any("004.jpg" in warning for warning in report["warnings"])
    assert all(len(indices) >= 3 for indices in predictor.passes)
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "colmap" / "sparse" / "0"))
    for image in model.images.values():
        i = courtyard.names.index(image.name)
        assert np.abs(image.cam_from_world().matrix() - courtyard.extrinsics[i]).max() < EXACT
        assert np.abs(model.cameras[image.camera_id].calibration_matrix() - courtyard.intrinsics[i]).max() < EXACT
    assert len(model.images) == len(frames)


def test_what_a_run_exports_can_be_the_next_run_s_known_cameras(courtyard, tmp_path):
    first, _, _ = run(courtyard, tmp_path, batch_mode=BatchMode.IGNORE_BATCH_SIZE, output_folder=str(tmp_path / "out"))
    (records, _) = first[0]
    for settings, sent in (
        ({"known_cameras": KnownCameras.COLMAP, "known_cameras_folder": str(tmp_path / "out" / "colmap")}, None),
        (
            {"known_cameras": KnownCameras.COLLECTION, "known_cameras_collection": "Cameras"},
            [record.to_json() for record in records],
        ),
    ):
        second, _, _ = run(courtyard, tmp_path, sent, batch_mode=BatchMode.IGNORE_BATCH_SIZE, **settings)
        for a, b in zip(records, second[0][0], strict=True):
            assert b.camera_to_world == pytest.approx(a.camera_to_world, abs=EXACT)
            assert (b.fx, b.fy, b.cx, b.cy) == pytest.approx((a.fx, a.fy, a.cx, a.cy), abs=EXACT * 640)


def test_all_result_files_are_there_and_reported_and_the_cloud_is_the_whole_run(courtyard, tmp_path):
    out = tmp_path / "results" / "courtyard"
    batches, report, _ = run(
        courtyard, tmp_path, batch_mode=BatchMode.NO_OVERLAP, batch_size=7, output_folder=str(out),
        output_debug_images=True,
    )  # fmt: skip
    there = {str(p) for p in out.rglob("[!.]*") if p.is_file()}  # without what says which files are ours
    assert set(report["files"]) == there
    names = {Path(p).relative_to(out).as_posix() for p in there}
    assert {"camera_intrinsics.csv", "calib_courtyard.txt", "calib_courtyard_da3.txt", "courtyard.ply"} <= names
    assert sum(name.startswith("debug/") for name in names) == 5 * len(courtyard)
    (count,) = [line for line in (out / "courtyard.ply").read_bytes().split(b"\n")[:6] if b"vertex" in line]
    assert int(count.split()[2]) == report["points"] == sum(len(cloud) for _, clouds in batches for cloud in clouds)


def test_no_output_folder_no_file(courtyard, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(courtyard.folder.iterdir())
    _, report, _ = run(courtyard, tmp_path, batch_size=3, output_debug_images=True)
    assert report["files"] == []
    assert sorted(courtyard.folder.iterdir()) == before
    assert {p.name for p in tmp_path.iterdir()} == {"job"}


def test_a_folder_that_cannot_be_used_stops_the_run_before_the_model_is_asked(courtyard, tmp_path):
    (tmp_path / "file").write_text("")
    opened = []
    values = Settings(input=str(courtyard.folder), model="da3-small", output_folder=str(tmp_path / "file")).to_json()
    request = protocol.Generate(1, str(tmp_path), values, str(tmp_path))
    with pytest.raises(BadInput, match="output folder"):
        generate(request, LoadedModel(lambda *_, **__: opened.append(1)), lambda _: None, lambda: False)
    assert opened == []


def test_with_per_frame_geometry_each_batch_s_points_come_frame_by_frame_even_merged(courtyard, tmp_path):
    batches, _, _ = run(courtyard, tmp_path, batch_size=4, per_frame_geometry=True, merge_points=True)
    for _, clouds in batches:
        for cloud in clouds:
            assert (np.diff(cloud.frame) >= 0).all()


MAP = np.array([431_207.25, 4_582_113.5, 312.75])  # UTM: metres east, north, up


@pytest.mark.parametrize("mode", [BatchMode.NO_OVERLAP, BatchMode.DA3_STREAMING])
def test_cameras_on_a_map_give_the_scene_of_the_same_cameras_at_the_origin_to_a_millimetre(courtyard, tmp_path, mode):
    there = replace(courtyard, extrinsics=local_origin.moved(courtyard.extrinsics, -MAP))
    made = []
    for place, known in (("here", courtyard), ("there", there)):
        given, out = colmap_of(known, tmp_path / place), tmp_path / place / "out"
        batches, report, _ = run(
            courtyard, tmp_path / place, **given, batch_mode=mode, batch_size=7, output_folder=str(out)
        )  # fmt: skip
        made.append((batches, report, out))
    (near, plain, _), (far, told, out) = made
    assert far.origin is not None and near.origin is None
    shift = np.array(far.origin) - [MAP[0], MAP[2], -MAP[1]]  # of the scene's origin, in Blender's axes
    assert np.linalg.norm(shift) < 20  # near the cameras
    worst = 0.0
    for (a, clouds_a), (b, clouds_b) in zip(near, far, strict=True):
        for one, other in zip(a, b, strict=True):
            place = np.reshape(one.camera_to_world, (4, 4)), np.reshape(other.camera_to_world, (4, 4))
            worst = max(worst, np.abs(place[0][:3, 3] - place[1][:3, 3] - shift).max())
        for one, other in zip(clouds_a, clouds_b, strict=True):
            worst = max(worst, np.abs(one.position - (other.position + shift)).max())
    print(f"{mode}: cameras and points differ by {worst * 1e3:.4f} mm at most")
    assert worst < 1e-3
    assert any("origin" in warning for warning in told["warnings"]) and plain["warnings"] != told["warnings"]
    for ply in [path for path in map(Path, told["files"]) if path.suffix == ".ply"] or out.rglob("combined*.ply"):
        assert b"; origin " in ply.read_bytes()[:512]
    model = pycolmap.Reconstruction(str(out / "colmap" / "sparse" / "0"))  # has 64 bits, and is where it was
    for image in model.images.values():
        centre = image.projection_center()
        true = courtyard.camera_to_world[courtyard.names.index(image.name)][:3, 3] + MAP
        assert np.abs(centre - true).max() < 1e-3
