"""What a long run does beside finding its way: people and things, going on after a break, and clear ends."""

import errno
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import long_walk
import numpy as np
import pytest
import tiny_da3
from da3_blender.core.errors import DA3Error, OutOfMemory
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.segmentation.segmenter import Segmenter, SegmentingPredictor, Thing
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.streaming import emission
from da3_blender.streaming.chunk_alignment import moved_camera
from da3_blender.streaming.chunk_plan import ChunkPlanner
from da3_blender.streaming.loop_closure import LoopCloser
from da3_blender.streaming.pipeline import Settled, reconstruct
from da3_blender.streaming.storage import chunk_store
from da3_blender.streaming.storage import run_folder as folder
from disturbed_predictor import DisturbedPredictor

COUNT = 36
BASE = Settings(batch_mode=BatchMode.DA3_STREAMING, batch_size=10, process_resolution=98, model="classic")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    made = long_walk.make(COUNT, size=2)
    return SimpleNamespace(truth=made, folder=made.save(tmp_path_factory.mktemp("frames")))


@pytest.fixture
def frames(scene):
    return FrameSource.open(scene.folder)


class Model:
    """A model that errs, and dies at a given pass."""

    def __init__(self, scene, lives=100, change=lambda made, indices: None):
        self.inner, self.lives, self.change = DisturbedPredictor(scene.truth), lives, change
        self.passes = []

    def predict(self, images, indices, settings, cameras=None):
        if self.lives == 0:
            raise Dies
        self.lives -= 1
        self.passes.append(list(indices))
        made = self.inner.predict(images, indices, settings, cameras)
        self.change(made, list(indices))
        return made


class Dies(Exception):
    """The process ends here."""


def run(frames, model, folder, settings=BASE, cancelled=lambda: False):
    """Batches, and the final cameras to world, (N, 3, 4)."""
    way = reconstruct(frames, settings, model, on_progress=lambda *_: None, cancelled=cancelled, folder=folder)
    *batches, settled = way
    assert isinstance(settled, Settled)
    poses = {}
    for batch, move in zip(batches, settled.moves, strict=True):
        poses |= dict(zip(batch.indices, _cameras(batch, move), strict=True))
    return batches, np.stack([poses[i] for i in sorted(poses)])


def _cameras(batch, move):
    return [moved_camera(camera, move) for camera in emission.invert_rigid(batch.prediction.extrinsics)]


def crowd(index, shape=(72, 96)):
    """Somebody who walks through the picture."""
    mask = np.zeros(shape, bool)
    left = 3 * index % 60
    mask[20:70, left : left + 30] = True
    return mask


def in_the_way(made, indices):
    """A third of each picture is a person whose depth differs from pass to pass."""
    for row, index in enumerate(indices):
        made.depth[row, crowd(index)] *= 1.0 + 0.3 * (sum(indices) % 7)


def marked(made, indices):
    in_the_way(made, indices)
    made.people = np.stack([crowd(i) for i in indices])


def hidden(made, indices):
    in_the_way(made, indices)
    made.conf[np.stack([crowd(i) for i in indices])] = 0.0


@pytest.mark.parametrize("size", [2, 3, 7, 10, 50])
def test_what_is_left_of_a_plan_is_known_without_making_it(size):
    planner = ChunkPlanner(range(43), BASE, size)
    while True:
        rest = planner.rest()
        assert planner.left == (len(rest), sum(map(len, rest)))
        if planner.next() is None:
            break


def test_people_have_no_part_in_any_fit_and_stay_in_the_scene(scene, frames, tmp_path):
    chosen = replace(BASE, filter_edges=False, depth_threshold=1e6)
    batches, poses = run(frames, Model(scene, change=marked), tmp_path / "a", chosen)
    blind = run(FrameSource.open(scene.folder), Model(scene, change=hidden), tmp_path / "b", chosen)[1]
    # As if their pixels did not exist; confidences are kept in 16 bits of another range, which weighs the rest anew.
    np.testing.assert_allclose(poses, blind, atol=2e-3)
    bent = run(FrameSource.open(scene.folder), Model(scene, change=in_the_way), tmp_path / "c", chosen)[1]
    assert np.abs(bent - blind).max() > 0.05
    for batch in batches:
        people, conf = np.stack([crowd(i) for i in batch.indices]), batch.prediction.conf
        assert (conf[people] == 1.0).all()
        assert np.median(conf[~people]) > 3.0


class Follower:
    """Sees the one who walks, and calls it the first thing there is: it knows nothing of before a break."""

    def __init__(self, scene):
        self.pictures = scene.truth.pictures

    def detect(self, image):
        index = next(i for i, picture in enumerate(self.pictures) if np.array_equal(picture, image))
        return [Thing(crowd(index), "person", 0.9, 1)]


def test_a_thing_keeps_its_number_and_name_over_a_break(scene, tmp_path):
    def life(lives):
        frames = FrameSource.open(scene.folder)
        segmenter = Segmenter(Follower(scene), frames, BASE, Monitor())
        return run(frames, SegmentingPredictor(Model(scene, lives), segmenter), tmp_path)[0], segmenter

    with pytest.raises(Dies):
        life(3)
    batches, segmenter = life(100)
    for batch in batches:
        expected = np.stack([crowd(i) for i in batch.indices]).astype(int)
        np.testing.assert_array_equal(batch.prediction.object_id, expected)
        assert batch.names == segmenter.names_in(batch.prediction) == {1: "person_1"}


def test_a_run_with_an_automatic_batch_size_goes_on_with_the_size_it_began_with(scene, frames, tmp_path, monkeypatch):
    automatic = replace(BASE, batch_size=0)
    room = {"images": 12}
    monkeypatch.setattr("da3_blender.streaming.run.images_per_pass", lambda *_: room["images"])
    first = Model(scene, 2)
    with pytest.raises(Dies):
        run(frames, first, tmp_path, automatic)
    room["images"] = 7  # another program has taken some of the memory
    again = Model(scene)
    run(FrameSource.open(scene.folder), again, tmp_path, automatic)
    assert first.passes == [list(range(12)), list(range(6, 18))]
    assert again.passes[0] == list(range(12, 24))


def test_a_run_goes_on_with_smaller_chunks_where_memory_ran_out_before(scene, frames, tmp_path):
    def above_six(_made, indices):
        if len(indices) > 6:
            raise OutOfMemory("Memory ran out")

    with pytest.raises(Dies):
        run(frames, Model(scene, 4, above_six), tmp_path)
    again = Model(scene, 100, above_six)
    batches = run(FrameSource.open(scene.folder), again, tmp_path)[0]
    assert max(map(len, again.passes)) <= 6
    assert sorted(i for batch in batches for i in batch.indices) == list(range(COUNT))


def test_what_is_shown_and_written_may_change_from_run_to_run(scene, frames, tmp_path):
    with pytest.raises(Dies):
        run(frames, Model(scene, 3), tmp_path)
    again = Model(scene)
    chosen = replace(
        BASE, min_confidence=2.0, generate_meshes=True, point_scale=3.0, output_folder=str(tmp_path / "out")
    )
    run(FrameSource.open(scene.folder), again, tmp_path, chosen)
    assert list(range(10)) not in again.passes


def test_da3_finds_its_loops_by_its_own_features(scene, frames, tmp_path, monkeypatch):
    pytest.importorskip("depth_anything_3.registry")
    from da3_blender.core.predictors.da3 import DA3Predictor

    monkeypatch.setattr(emission.frame_descriptors, "describe", None)  # nobody asks for it
    tiny = tiny_da3.any_view(tmp_path)
    model = DA3Predictor(tiny.info, tiny.file, device="cpu")
    frames.selected = frames.selected[:16]
    batches = run(frames, model, tmp_path / "s", replace(BASE, batch_size=8))[0]
    assert sorted(i for batch in batches for i in batch.indices) == list(range(16))


def full(*_arguments, **_arrays):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["chunk", "image", "manifest"])
def test_a_disk_that_is_full_while_storing_ends_the_run_early_with_all_that_was_made(
    scene, frames, tmp_path, monkeypatch, place
):
    writes = {
        "chunk": (chunk_store.npz_files, "file_of"),
        "image": (chunk_store, "encoded"),
        "manifest": (chunk_store.Store, "_commit"),
    }
    model, given = Model(scene), []

    def fill(_made, indices):
        if len(model.passes) == 3:
            monkeypatch.setattr(*writes[place], full)

    model.change = fill
    way = reconstruct(frames, BASE, model, on_progress=lambda *_: None, cancelled=lambda: False, folder=tmp_path)
    given.extend(way)
    (failure,) = given.pop().failures
    assert re.search(
        r"No space left on device.*not in the scene.*Free some space.*go on from the last whole chunk", failure
    )
    made = sorted({i for indices in model.passes for i in indices})
    assert sorted(i for batch in given for i in batch.indices) == made  # the chunk that was at hand, too
    assert len(made) == 20
    monkeypatch.undo()
    again = Model(scene)
    run(FrameSource.open(scene.folder), again, tmp_path)
    assert again.passes[0] == model.passes[2]


@pytest.mark.parametrize(("again", "expected"), [(1000, 0.0), (60, 1.0)])
def test_joint_passes_to_come_are_guessed_from_the_path_so_far(again, expected):
    """Frames that look like no other, and those of a way that is gone around every ``again`` frames."""
    descriptors = np.random.default_rng(0).normal(size=(again, 64)).astype(np.float32)
    known = {
        i: SimpleNamespace(descriptors=descriptors[i % again] / np.linalg.norm(descriptors[i % again]))
        for i in range(200)
    }
    run = SimpleNamespace(settings=BASE, planner=SimpleNamespace(batch_size=10), loops_seen=0.5)
    LoopCloser(run, SimpleNamespace(poses=[None] * 40, path=[])).foresee(known)
    assert run.loops_seen == expected


def test_two_runs_at_once_do_not_share_a_folder(scene, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PATIENCE", 0.0)
    place = tmp_path / "s"
    first = reconstruct(frames, BASE, Model(scene), on_progress=lambda *_: None, cancelled=lambda: False, folder=place)
    next(first)
    with pytest.raises(DA3Error, match="Another run is at work"):
        run(FrameSource.open(scene.folder), Model(scene), place)
    first.close()
    run(FrameSource.open(scene.folder), Model(scene), place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["chunks", "images", "."])
def test_a_folder_that_is_deleted_while_a_run_goes_on_ends_it_early_with_all_that_was_made(
    scene, frames, tmp_path, where
):
    model, given = Model(scene), []

    def delete(_made, _indices):
        if len(model.passes) == 3:
            shutil.rmtree(tmp_path / "s" / where)

    model.change = delete
    way = reconstruct(frames, BASE, model, on_progress=lambda *_: None, cancelled=lambda: False, folder=tmp_path / "s")
    given.extend(way)
    (failure,) = given.pop().failures
    assert "could not be written" in failure
    assert sorted(i for batch in given for i in batch.indices) == sorted(
        {i for indices in model.passes for i in indices}
    )
    again = Model(scene)  # what is left is of no use, or of some; the next run finds its way either way
    batches = run(FrameSource.open(scene.folder), again, tmp_path / "s")[0]
    assert sorted(i for batch in batches for i in batch.indices) == list(range(COUNT))


def test_frames_that_vanish_while_a_run_waited_are_left_out_of_what_is_left(scene, tmp_path):
    folder = tmp_path / "frames"
    shutil.copytree(scene.folder, folder)
    model = Model(scene)

    def vanish(_made, _indices):
        if len(model.passes) == 2:
            for path in sorted(folder.iterdir())[20:]:
                path.unlink()

    model.change = vanish
    frames = FrameSource.open(folder)
    batches = run(frames, model, tmp_path / "s")[0]
    # Those that were decoded ahead may still come.
    given = sorted(i for batch in batches for i in batch.indices)
    assert given == list(range(len(given))) and 15 <= len(given) < COUNT
    assert any("00035.png was left out" in warning for warning in frames.warnings)
