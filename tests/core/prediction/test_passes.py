"""Loading goes on while the model computes; memory that runs out slows a run and does not end it."""

import time

import numpy as np
import pytest
from da3_blender.core import pipeline
from da3_blender.core.errors import BadInput, Cancelled, DA3Error, OutOfMemory
from da3_blender.core.frames.frame import Frame
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import passes
from da3_blender.core.prediction.batching import Planner
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, Settings
from PIL import Image

SIZE = (12, 8)


class Recorder:
    """Notes the passes it gets, and does to each what a test wants."""

    def __init__(self, before=lambda images: None):
        self.before = before
        self.passes = []
        self.freed = 0

    def predict(self, images, indices, settings, cameras=None):
        self.passes.append(list(indices))
        self.before(images)
        n = len(indices)
        depth = np.ones((n, *SIZE[::-1]), np.float32)
        return Prediction(depth, depth, np.zeros((n, 3, 4)), np.zeros((n, 3, 3)), np.stack(list(images)))

    def free_cache(self):
        self.freed += 1


@pytest.fixture
def folder(tmp_path):
    def make(count):
        for i in range(count):
            Image.new("RGB", SIZE, (i, 0, 0)).save(tmp_path / f"{i:03d}.png")
        return tmp_path

    return make


def run(source, predictor, size, mode=BatchMode.NO_OVERLAP, monitor=None):
    settings = Settings(batch_mode=mode, batch_size=size)
    planner = Planner(source.selected, settings, size)
    return list(passes.predictions(source, settings, predictor, planner, monitor or Monitor()))


def above(limit, error):
    def before(images):
        if len(images) > limit:
            raise error

    return before


def test_every_pass_gets_its_own_images(folder):
    source = FrameSource.open(folder(25))
    made = run(source, Recorder(), 10)
    assert [i for indices, _ in made for i in indices] == list(range(25))
    for indices, prediction in made:
        assert (prediction.images[:, 0, 0, 0] == indices).all()


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemory("Memory ran out"),
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_above_4_images_makes_passes_smaller_and_loses_no_frame(folder, error):
    source = FrameSource.open(folder(40))
    predictor = Recorder(above(4, error))
    made = run(source, predictor, 10)
    assert sorted(i for indices, _ in made for i in indices) == list(range(40))
    assert predictor.freed == 2  # 10, 5, then 2
    assert max(len(indices) for indices, _ in made) <= 4
    assert any("Memory ran out with 10 images" in w for w in source.warnings)
    for indices, prediction in made:
        assert (prediction.images[:, 0, 0, 0] == indices).all()


def test_memory_that_runs_out_in_the_middle_keeps_what_is_done(folder):
    source = FrameSource.open(folder(12))
    predictor = Recorder()
    predictor.before = lambda images: above(2, MemoryError())(images) if len(predictor.passes) == 2 else None
    made = run(source, predictor, 4)
    assert made[0][0] == [0, 1, 2, 3]
    assert sorted(i for indices, _ in made for i in indices) == list(range(12))


def test_memory_that_is_too_small_for_one_image_ends_the_run_with_advice(folder):
    source = FrameSource.open(folder(3))
    with pytest.raises(DA3Error, match="Process Resolution"):
        run(source, Recorder(above(0, MemoryError())), 3)


def test_other_failures_are_not_taken_for_a_lack_of_memory(folder):
    source = FrameSource.open(folder(3))
    with pytest.raises(RuntimeError, match="shape"):
        run(source, Recorder(above(0, RuntimeError("shape mismatch"))), 3)


def cut_off(file):
    """A picture that looks whole until it is decoded."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:6000])


@pytest.mark.parametrize("size", [4, 50])
def test_broken_files_never_reach_the_model_and_passes_stay_full(folder, size):
    path = folder(20)
    for i in (0, 5, 6, 19):
        cut_off(path / f"{i:03d}.png")
    source = FrameSource.open(path)
    predictor = Recorder()
    made = run(source, predictor, size)
    whole = [i for i in range(20) if i not in (0, 5, 6, 19)]
    assert [i for indices, _ in made for i in indices] == whole
    assert [i for indices in predictor.passes for i in indices] == whole
    for i in (0, 5, 6, 19):
        assert sum(f"{i:03d}.png was left out" in w for w in source.warnings) == 1


def test_a_folder_in_which_everything_is_cut_off_is_told_as_such(folder):
    path = folder(3)
    for file in path.iterdir():
        cut_off(file)
    with pytest.raises(BadInput, match=r"No readable image left: 000\.png"):
        run(FrameSource.open(path), Recorder(), 2)


def test_cancelling_while_images_load_stops_at_once_and_leaves_no_thread_at_work(folder, monkeypatch):
    source = FrameSource.open(folder(40))
    started = slow(source, monkeypatch, 0.2)
    with pytest.raises(Cancelled):
        run(source, Recorder(), 40, monitor=Monitor(cancelled=lambda: bool(started)))
    assert len(started) < 20  # those that were already being read, or next in line; far from all
    assert source.decoding.is_idle and not source.decoding.held


def slow(source, monkeypatch, seconds):
    """Loading that takes this long; the list of the frames whose loading has begun."""
    started = []

    def read(index, ahead=()):
        started.append(index)
        time.sleep(seconds)
        return Frame(np.full((*SIZE[::-1], 3), index, np.uint8))

    monkeypatch.setattr(source.reader, "read", read)
    return started


def soon(condition):
    """Whether it comes true within a time that no machine needs."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_the_next_pass_is_loaded_while_the_model_computes(folder, monkeypatch):
    source = FrameSource.open(folder(12))
    started = slow(source, monkeypatch, 0.01)
    predictor = Recorder(lambda images: soon(lambda: len(started) >= min(12, 4 * (len(predictor.passes) + 1))) or 1 / 0)
    made = run(source, predictor, 4)  # how much time that saves: tools/bench/speed/throughput.py
    assert [len(indices) for indices, _ in made] == [4, 4, 4]
    assert sorted(started) == list(range(12))


def test_the_first_pass_can_be_loaded_before_there_is_a_model(folder, monkeypatch):
    source = FrameSource.open(folder(4))
    started = slow(source, monkeypatch, 0.01)
    source.prefetch(source.selected)
    assert soon(lambda: len(started) == 4)
    run(source, Recorder(), 4)
    assert len(started) == 4


def test_the_whole_way_survives_a_lack_of_memory_with_all_40_frames(folder):
    """The claim of the issue, through ``reconstruct``."""

    class Wall(Recorder):
        def predict(self, images, indices, settings, cameras=None):
            above(4, OutOfMemory("Memory ran out"))(images)
            prediction = super().predict(images, indices, settings, cameras)
            n, height, width = prediction.depth.shape
            prediction.extrinsics = np.repeat(np.eye(4)[None, :3], n, axis=0)
            prediction.extrinsics[:, 0, 3] = -0.1 * np.asarray(indices)
            matrix = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
            prediction.intrinsics = np.repeat(matrix[None], n, axis=0)
            return prediction

    source = FrameSource.open(folder(40))
    settings = Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP, batch_size=10)
    run_all = pipeline.reconstruct(source, settings, Wall(), on_progress=lambda *_: None, cancelled=lambda: False)
    batches = list(run_all)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(40))
    told = source.warnings + [w for batch in batches for w in batch.warnings]
    assert any("Memory ran out" in w for w in told)
    # Progress is told by them: passes of 3 (10, then 5, then 3) share one frame, so each brings two of the other 39.
    assert {batch.passes for batch in batches if batch.passes} == {20}


@pytest.mark.parametrize("mode", [BatchMode.LAST_FRAME_OVERLAP, BatchMode.FIRST_LAST_OVERLAP])
def test_passes_that_share_images_take_two_and_say_so(folder, mode):
    source = FrameSource.open(folder(3))
    run(source, Recorder(), 1, mode)
    assert any("Batch Size is 1" in w and "they take 2" in w for w in source.warnings)


@pytest.mark.parametrize(("mode", "count"), [(BatchMode.NO_OVERLAP, 3), (BatchMode.LAST_FRAME_OVERLAP, 1)])
def test_single_images_that_share_nothing_are_no_news(folder, mode, count):
    source = FrameSource.open(folder(count))
    run(source, Recorder(), 1, mode)
    assert source.warnings == []
