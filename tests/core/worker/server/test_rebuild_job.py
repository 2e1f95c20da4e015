"""A kept run, built again with other settings, is what the run would have been with them."""

import functools
from pathlib import Path

import numpy as np
import pytest
import truth
from da3_blender.core.errors import BadInput
from da3_blender.core.output.cameras import colmap
from da3_blender.core.output.payload import CameraRecord, MeshArrays, Part
from da3_blender.core.settings import KnownCameras, Settings
from da3_blender.core.surfaces import fused_part as fused
from da3_blender.core.worker import checking, protocol
from da3_blender.core.worker.server import generate_job, loaded_model, rebuild_job
from disturbed_predictor import Disturbance, DisturbedPredictor
from PIL import Image

PLAIN = {"batch_mode": "ignore_batch_size", "end_frame": 2}


@pytest.fixture
def job(tmp_path):
    """Runs a request; its parts by name, its cameras by frame, its report."""
    count = 0

    def run(make):
        nonlocal count
        count += 1
        folder = tmp_path / f"job{count}"
        folder.mkdir()
        events = []
        report = make(folder, events.append)
        batches = [event for event in events if isinstance(event, protocol.BatchReady)]
        parts = [Part.open(folder, record) for batch in batches for record in batch.parts]
        cameras = [CameraRecord.from_json(record) for batch in batches for record in batch.cameras]
        return parts, {camera.frame: camera for camera in cameras}, report

    return run


@pytest.fixture
def generate(job, tmp_path):
    known = truth.load("courtyard")

    def run(**more):
        settings = Settings(**{"input": str(known.folder), "model": "da3-small", **PLAIN, **more})
        model = loaded_model.LoadedModel(
            lambda *_, **__: DisturbedPredictor(known, seed=3, disturbance=Disturbance(outliers=0.0))
        )

        def make(folder, emit):
            request = protocol.Generate(
                1,
                str(folder),
                settings.to_json(),
                str(tmp_path),
                kept_folder=str(tmp_path / "kept"),
                kept_bytes=1 << 30,
            )
            return generate_job.generate(request, model, emit, lambda: False)

        return job(make)

    return run


@pytest.fixture
def rebuild(job, tmp_path):
    def run(identifier, what="all", **more):
        settings = Settings(input="/elsewhere", **{**PLAIN, **more})

        def make(folder, emit):
            request = protocol.Rebuild(2, str(folder), settings.to_json(), str(tmp_path / "kept"), identifier, what)
            return rebuild_job.rebuild(request, emit, lambda: False)

        return job(make)

    return run


def clouds(parts):
    return np.concatenate([part.arrays.position for part in parts])


@pytest.mark.parametrize(
    "other",
    [
        {"filter_edges": False},
        {"min_confidence": 6.0},
        {"merge_points": True, "merge_voxel_size": 0.05},
        {"per_frame_geometry": True, "filter_edges": False},
        {"detect_motion": True},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_rebuilt_run_is_the_run_that_had_those_settings_from_the_start(generate, rebuild, other):
    _, cameras, report = generate()
    wanted, _, _ = generate(**other)
    found, cameras_again, again = rebuild(report["run"], **other)
    assert [part.name for part in found] == [part.name for part in wanted]
    assert cameras_again == cameras
    assert again["points"] == pytest.approx(sum(len(part.arrays) for part in wanted), rel=1e-3)
    if not other.keys() & {"merge_points", "detect_motion", "min_confidence"}:  # which stand on an edge that may round
        # Depths are kept as 16 bit logarithms: a relative error of 1e-4 at most.
        away = np.linalg.norm(clouds(found) - clouds(wanted), axis=1)
        assert away.max() < 2e-4 * np.abs(clouds(wanted)).max()


def test_where_passes_overlap_the_filters_see_what_was_blended(generate, rebuild):
    passes = {"batch_mode": "last_frame_overlap", "batch_size": 2}
    _, cameras, report = generate(**passes)
    found, cameras_again, _ = rebuild(report["run"], **passes)
    assert cameras_again == cameras and [part.name for part in found] == ["_Points", "_Points"]
    # Of a frame that two passes saw, edges are those of the blended depth here, and those of each pass in the run.
    assert len(clouds(found)) == pytest.approx(report["points"], rel=1e-2)


def test_meshes_and_a_fused_surface_are_made_of_a_kept_run(generate, rebuild):
    _, _, report = generate()
    meshes, _, _ = rebuild(report["run"], generate_meshes=True)
    assert len(meshes) == 3 and all(isinstance(part.arrays, MeshArrays) for part in meshes)
    [fused], cameras, _ = rebuild(report["run"], "fused")
    assert isinstance(fused.arrays, MeshArrays) and fused.arrays.corners.shape[1] == 3 and not cameras


def test_a_run_that_was_not_kept_is_told_as_such(rebuild, tmp_path):
    for identifier in ("20260101-000000-00000000", "", "../kept"):
        with pytest.raises(BadInput, match="not kept any more"):
            rebuild(identifier)


def test_a_broken_file_of_a_kept_run_is_told_as_such(generate, rebuild, tmp_path):
    _, _, report = generate()
    (tmp_path / "kept" / report["run"] / "0.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(BadInput, match="broken"):
        rebuild(report["run"])


def test_the_edges_of_faces_are_each_there_once():
    corners = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    edges, corner_edges = fused.edges_of(corners)
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    assert [sorted(edges[e].tolist()) for e in corner_edges[1]] == [[1, 2], [1, 3], [2, 3]]


@pytest.mark.parametrize("are_known", [False, True], ids=["cameras that err", "known cameras"])
def test_refined_splats_take_the_place_of_those_that_were(generate, rebuild, monkeypatch, tmp_path, are_known):
    pytest.importorskip("torch")
    from da3_blender.core.splats import run as refine_run

    monkeypatch.setattr(refine_run, "refine", functools.partial(refine_run.refine, steps=15))
    cameras = {}
    if are_known:
        known = truth.load("courtyard")
        size = known.depth.shape[2], known.depth.shape[1]
        all_ = zip(known.names, known.intrinsics, known.extrinsics, strict=True)
        views = [colmap.View(name, *size, intrinsics, extrinsics) for name, intrinsics, extrinsics in all_]
        colmap.write(tmp_path / "sparse" / "0", views, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
        cameras = {"known_cameras": KnownCameras.COLMAP, "known_cameras_folder": str(tmp_path)}
    _, _, report = generate(splats=True, **cameras)
    before, _, plain = rebuild(report["run"], splats=True)
    after, cameras, told = rebuild(report["run"], "refined", output_splats="ply", output_folder=str(tmp_path / "out"))
    assert [part.name for part in after] == [part.name for part in before]
    assert sorted(cameras) == [0, 1, 2] and told["points"] == plain["points"]
    old, new = clouds(before), clouds(after)
    if are_known:
        np.testing.assert_array_equal(new, old)
    else:  # brought into agreement
        assert 0 < np.median(np.linalg.norm(new - old, axis=1)) < 0.05 * np.median(np.linalg.norm(old, axis=1))
    assert any("Splats refined" in warning for warning in told["warnings"])
    (file,) = map(Path, told["files"])
    drawn = sum(int((part.arrays.scale[:, 0] > 0).sum()) for part in after)
    assert f"element vertex {drawn}\n".encode() in file.read_bytes()[:600]


def test_what_a_rebuild_sends_of_avif_is_believed_and_has_its_pictures(generate, tmp_path):
    """Blender takes files of the job's folder only: what was kept elsewhere is copied there."""
    folder = tmp_path / "courtyard"
    folder.mkdir()
    for path in sorted(truth.load("courtyard").folder.glob("*.jpg"))[:3]:
        Image.open(path).save(folder / f"{path.stem}.avif")
    _, cameras, report = generate(input=str(folder), generate_meshes=True)
    assert all(camera.copy for camera in cameras.values())
    (tmp_path / "job2").mkdir()
    events = []
    settings = Settings(input="/elsewhere", **PLAIN, generate_meshes=True)
    request = protocol.Rebuild(
        2, str(tmp_path / "job2"), settings.to_json(), str(tmp_path / "kept"), report["run"], "all"
    )
    rebuild_job.rebuild(request, events.append, lambda: False)
    batches = [event for event in events if isinstance(event, protocol.BatchReady)]
    for batch in batches:
        checking.checked(batch, request, tmp_path / "job2")
        for record in (*batch.cameras, *batch.parts):
            name = record.get("copy", record.get("image"))
            assert Image.open(tmp_path / "job2" / name).format == "PNG"
    assert batches
