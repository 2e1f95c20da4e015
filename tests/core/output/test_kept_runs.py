"""Runs on disk: what is read back is what was built, and the folder never grows beyond its limit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import payloads
import pytest
from da3_blender.core.errors import BadInput
from da3_blender.core.files.owned_folder import marker_of
from da3_blender.core.geometry.projection import cameras_to_blender, points_to_blender, unproject
from da3_blender.core.output.kept_runs import KIND, MANIFEST, KeptRun
from da3_blender.core.output.run_keeper import KeptWriter
from da3_blender.core.prediction import filters
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings

MOUNT = Path(__file__).resolve().parents[3] / "core" / "package.py"
PLENTY = 1 << 30


def batch(first=0, frames=3, size=(20, 30), seed=0):
    """A batch with everything that one can have, and its cameras."""
    random = np.random.default_rng([seed, first])
    shape = (frames, *size)
    conf = random.uniform(1.0, 9.0, shape).astype(np.float32)
    prediction = Prediction(
        depth=np.where(random.random(shape) < 0.1, 0.0, random.uniform(0.5, 80.0, shape)).astype(np.float32),
        conf=np.where(random.random(shape) < 0.3, 0.0, conf).astype(np.float32),
        extrinsics=np.stack([payloads.random_pose(random) for _ in range(frames)]),
        intrinsics=np.repeat(np.array([[40.0, 0, 15], [0, 40, 10], [0, 0, 1]])[None], frames, axis=0),
        images=random.integers(0, 256, (*shape, 3), np.uint8),
        sky=random.random(shape) < 0.2,
        object_id=random.integers(0, 4, shape, np.int32),
        people=random.random(shape) < 0.1,
        is_metric=True,
    )
    prediction.unfiltered = conf
    indices = list(range(first, first + frames))
    records = [
        payloads.record(e, k, size[::-1], frame=i, name=f"{i:03d}")
        for i, e, k in zip(indices, prediction.extrinsics, prediction.intrinsics, strict=True)
    ]
    return Batch(
        indices, prediction, motion=random.random(shape).astype(np.float32), moving=random.random(shape) < 0.2,
        names={1: "person_1", 3: "chair_3"},
    ), records  # fmt: skip


def keep(root, batches, limit=PLENTY, moves=(), name="courtyard"):
    writer = KeptWriter(root, limit, name, 29.97, Settings(model="classic", min_confidence=1.5))
    for one, records in batches:
        writer.add(one, records)
    return writer.finish(moves), writer


def test_what_is_read_back_is_what_was_kept_batch_by_batch_and_again(tmp_path):
    given = [batch(0), batch(3, frames=2)]
    kept, writer = keep(tmp_path, given)
    assert writer.warnings == []
    run = KeptRun.open(tmp_path, kept.id)
    assert run.settings == Settings(model="classic", min_confidence=1.5)
    assert (run.about["name"], run.about["frame_rate"], run.frames, len(run)) == ("courtyard", 29.97, 5, 2)
    for _ in range(2):
        for (found, cameras), (wanted, records) in zip(run.batches(), given, strict=True):
            new, old = found.prediction, wanted.prediction
            # 16 bit logarithms between 0.5 and 80 are a step of 8e-5, half of which is the rounding's error.
            np.testing.assert_allclose(new.depth, old.depth, rtol=5e-5)
            np.testing.assert_allclose(new.conf, old.unfiltered, rtol=5e-5)
            np.testing.assert_array_equal(new.unfiltered, new.conf)
            for name in ("images", "sky", "object_id", "people", "extrinsics", "intrinsics"):
                np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
            assert new.is_metric and not new.cameras_known
            np.testing.assert_allclose(found.motion, wanted.motion, atol=0.5 / 255 + 1e-6)
            np.testing.assert_array_equal(found.moving, wanted.moving)
            assert (found.indices, found.names, cameras) == (wanted.indices, wanted.names, records)


def test_filtered_anew_it_is_as_filtered_the_first_time(tmp_path):
    one, records = batch()
    one.prediction.depth[:, :, :15], one.prediction.depth[:, :, 15:] = 2.0, 5.0  # a step, which is an edge
    one.prediction.conf, one.prediction.unfiltered = one.prediction.unfiltered.copy(), None
    filters.apply(one.prediction, Settings(filter_edges=True, drop_sky=False))
    kept, _ = keep(tmp_path, [(one, records)])
    for wanted in (True, False):
        ((found, _),) = KeptRun.open(tmp_path, kept.id).batches()
        filters.apply_anew(found.prediction, Settings(filter_edges=wanted, drop_sky=False))
        expected = one.prediction.conf if wanted else one.prediction.unfiltered
        np.testing.assert_array_equal(found.prediction.conf == 0, expected == 0)
        assert (found.prediction.conf == 0).any() == wanted


def test_the_batches_of_a_long_way_come_back_at_their_final_place(tmp_path):
    one, records = batch()
    angle = 0.7
    move = np.array([
        [2.0 * np.cos(angle), -2.0 * np.sin(angle), 0, 1], [2.0 * np.sin(angle), 2.0 * np.cos(angle), 0, 2],
        [0, 0, 2.0, 3], [0, 0, 0, 1],
    ])  # fmt: skip
    kept, _ = keep(tmp_path, [(one, records)], moves=[move])
    ((found, cameras),) = KeptRun.open(tmp_path, kept.id).batches()
    before = points_to_blender(unproject(one.prediction.depth, one.prediction.intrinsics, one.prediction.extrinsics))
    new = found.prediction
    after = points_to_blender(unproject(new.depth, new.intrinsics, new.extrinsics))
    np.testing.assert_allclose(after, before @ move[:3, :3].T + move[:3, 3], atol=0.03)  # 5e-5 of up to 200 units
    matrices = [np.reshape(camera.camera_to_world, (4, 4)) for camera in cameras]
    np.testing.assert_allclose(matrices, cameras_to_blender(new.extrinsics), atol=1e-9)


def test_the_oldest_go_first_when_there_is_no_room(tmp_path):
    sizes, ids = [], []
    for number in range(3):
        kept, _ = keep(tmp_path, [batch(seed=number)])
        ids.append(kept.id)
        sizes.append(sum(file.stat().st_size for file in (tmp_path / kept.id).iterdir()))
        for file in (tmp_path / kept.id).iterdir():
            os.utime(file, (1e9 + number, 1e9 + number))
    kept, _ = keep(tmp_path, [batch(seed=9)], limit=int(2.5 * max(sizes)))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ids[2], kept.id])


def test_a_run_that_alone_is_too_large_is_not_kept_and_says_so(tmp_path):
    kept, writer = keep(tmp_path, [batch()], limit=1000)
    assert kept is None and list(tmp_path.iterdir()) == []
    assert len(writer.warnings) == 1 and "could not be kept" in writer.warnings[0]


def test_a_full_or_forbidden_disk_costs_the_run_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    kept, writer = keep(blocked, [batch()])
    assert kept is None and len(writer.failures) == 1
    writer = KeptWriter(tmp_path / "there", PLENTY, "courtyard", None, Settings())
    writer.add(*batch())
    for file in writer.run.folder.iterdir():
        file.unlink()
    writer.run.folder.rmdir()  # somebody cleared the cache meanwhile
    writer.add(*batch(3))
    assert writer.finish() is None and len(writer.failures) == 1


def test_what_a_run_writes_grows_with_its_batches_only(tmp_path):
    """The manifest is written when a run begins and when it ends: once a batch would be their square."""
    kept, _ = keep(tmp_path, [batch(3 * k) for k in range(4)])
    lines = [json.loads(line) for line in marker_of(kept.folder, KIND).read_text("utf-8").splitlines()]
    assert [line.get("name") for line in lines].count(MANIFEST) == 2
    assert len(KeptRun.open(tmp_path, kept.id)) == 4


def test_a_run_without_an_end_is_not_there_and_is_swept_when_its_process_is_gone(tmp_path):
    half = KeptWriter(tmp_path, PLENTY, "courtyard", None, Settings())
    half.add(*batch())
    folder = half.run.folder
    with pytest.raises(BadInput, match="not kept any more"):
        KeptRun.open(tmp_path, folder.name)
    keep(tmp_path, [batch()])
    assert folder.is_dir()  # somebody is still at it
    half.discard()
    assert not folder.exists()

    program = (
        f"import runpy, os, sys; runpy.run_path({str(MOUNT)!r})['make_importable']();"
        "from pathlib import Path;"
        "from da3_blender.core.output.run_keeper import KeptWriter; from da3_blender.core.settings import Settings;"
        f"writer = KeptWriter(Path({str(tmp_path)!r}), 1 << 30, 'x', None, Settings());"
        "print(writer.run.id, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        name = other.stdout.readline().strip()
        keep(tmp_path, [batch()])
        assert (tmp_path / name).is_dir()
        other.send_signal(signal.SIGKILL)
    keep(tmp_path, [batch()])
    assert not (tmp_path / name).exists()


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_bytes(b"x" * 100)
    keep(tmp_path, [batch()], limit=200_000)
    assert (tmp_path / "holiday" / "photo.jpg").is_file()


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "0.npz").write_bytes((folder / "0.npz").read_bytes()[:500]),
        lambda folder: (folder / "0.npz").unlink(),
        lambda folder: (folder / "000001.png").write_bytes(b"no picture"),
        lambda folder: (folder / "000001.png").unlink(),
    ],
)
def test_broken_files_are_told_in_one_sentence(tmp_path, harm):
    kept, _ = keep(tmp_path, [batch()])
    harm(kept.folder)
    with pytest.raises(BadInput, match="generate it again"):
        list(KeptRun.open(tmp_path, kept.id).batches())


@pytest.mark.parametrize("text", ["", "[]", "{", '{"done": true}', '{"done": true, "version": 99}', "null"])
def test_a_broken_manifest_is_a_run_that_is_not_there(tmp_path, text):
    kept, _ = keep(tmp_path, [batch()])
    (kept.folder / MANIFEST).write_text(text)
    with pytest.raises(BadInput, match="not kept any more"):
        KeptRun.open(tmp_path, kept.id)


@pytest.mark.parametrize("name", ["", "..", ".", "../other", "a/b", "nobody"])
def test_an_id_names_a_run_of_the_folder_and_nothing_else(tmp_path, name):
    kept, _ = keep(tmp_path / "other", [batch()])
    assert json.loads((kept.folder / MANIFEST).read_text())["done"]
    with pytest.raises(BadInput, match="not kept any more"):
        KeptRun.open(tmp_path / "runs", name)
