"""Passes that others compute ahead give what passes one after another give, in the same order."""

import numpy as np
import pytest
from da3_blender.core.errors import OutOfMemory
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import passes
from da3_blender.core.prediction.batching import Planner
from da3_blender.core.prediction.executor import ANY, Listed
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.streaming.chunk_plan import ChunkPlanner
from PIL import Image

SIZE = (12, 8)
SEVERAL = [m for m in BatchMode if m is not BatchMode.DA3_STREAMING]


class Here:
    """Depth that depends on which frames share a pass."""

    def __init__(self, most=ANY):
        self.most = most
        self.passes = []

    def predict(self, images, indices, settings, cameras=None):
        self.passes.append(list(indices))
        if len(indices) > self.most:
            raise OutOfMemory("Memory ran out")
        n = len(indices)
        depth = np.full((n, *SIZE[::-1]), 1.0 + sum(indices) / 1000, np.float32)
        return Prediction(depth, depth, np.zeros((n, 3, 4)), np.zeros((n, 3, 3)), np.stack(list(images)))


class Elsewhere:
    """Pretends to have others that compute: ``sizes`` are what each of them can take."""

    computes_ahead = True

    def __init__(self, frames, sizes=(ANY, ANY), broken=()):
        self.frames, self.sizes, self.broken = frames, list(sizes), broken
        self.under_way = {}
        self.most_under_way = self.forgotten = 0

    def begin(self, indices, settings, cameras=None):
        self.under_way.setdefault(tuple(indices), Here(self.sizes[len(self.under_way) % len(self.sizes)]))
        self.most_under_way = max(self.most_under_way, len(self.under_way))

    def room(self):
        return 0 if len(self.under_way) >= 2 * len(self.sizes) else self.sizes[len(self.under_way) % len(self.sizes)]

    def unreadable(self, indices):
        return {i: "its file is broken" for i in indices if i in self.broken}

    def predict(self, images, indices, settings, cameras=None):
        return self.under_way.pop(tuple(indices)).predict(images, indices, settings)

    def forget(self):
        self.under_way.clear()
        self.forgotten += 1


@pytest.fixture
def frames(tmp_path):
    for i in range(23):
        Image.new("RGB", SIZE, (i, 0, 0)).save(tmp_path / f"{i:03d}.png")
    return lambda: FrameSource.open(tmp_path)


def run(source, predictor, mode=BatchMode.LAST_FRAME_OVERLAP, size=5, planner=Planner):
    settings = Settings(batch_mode=mode, batch_size=size)
    return list(passes.predictions(source, settings, predictor, planner(source.selected, settings, size), Monitor()))


def assert_same(a, b):
    assert [indices for indices, _ in a] == [indices for indices, _ in b]
    for (_, one), (_, other) in zip(a, b, strict=True):
        assert (one.depth == other.depth).all()
        assert (one.images == other.images).all()


@pytest.mark.parametrize("mode", SEVERAL)
def test_passes_computed_ahead_are_the_same_in_the_same_order(frames, mode):
    assert_same(run(frames(), Elsewhere(frames()), mode), run(frames(), Here(), mode))


def test_chunks_too(frames):
    ahead = run(frames(), Elsewhere(frames()), planner=ChunkPlanner, size=6)
    assert_same(ahead, run(frames(), Here(), planner=ChunkPlanner, size=6))


def test_as_many_are_under_way_as_there_is_room_for(frames):
    elsewhere = Elsewhere(frames())
    run(frames(), elsewhere)
    assert elsewhere.most_under_way == 4


def test_frames_that_the_others_cannot_read_are_named_and_the_plan_is_the_same(frames, tmp_path):
    ahead, here = frames(), frames()
    (tmp_path / "007.png").write_bytes((tmp_path / "007.png").read_bytes()[:40])
    assert_same(run(ahead, Elsewhere(frames(), broken=[7])), run(here, Here()))
    assert ahead.warnings == ["007.png was left out: its file is broken"]


def test_whoever_has_less_memory_gets_smaller_passes_and_the_others_do_not(frames):
    made = run(frames(), Elsewhere(frames(), sizes=(6, 3)), size=6)
    sizes = {len(indices) for indices, _ in made}
    assert {3, 6} <= sizes
    assert sorted({i for indices, _ in made for i in indices}) == list(range(23))
    for (before, _), (after, _) in zip(made, made[1:], strict=False):
        assert before[-1] == after[0]  # they still share a frame


def test_memory_that_runs_out_with_all_of_them_makes_the_plan_smaller(frames):
    source, elsewhere = frames(), Elsewhere(frames())
    elsewhere.begin = lambda indices, *_: elsewhere.under_way.setdefault(tuple(indices), Here(3))
    made = run(source, elsewhere, size=6)
    assert elsewhere.forgotten == 1
    assert_same(made, run(frames(), Here(3), size=6))
    assert any("goes on with 3" in w for w in source.warnings)


def test_listed_passes_wait_for_room():
    plan = Listed([[1, 2], [3, 4, 5]])
    assert plan.reserve(2) == [1, 2]
    assert plan.reserve(2) is None
    assert plan.take() == [1, 2]
    assert plan.peek() == [3, 4, 5]
    assert plan.reserve(3) == [3, 4, 5]
    assert plan.reserve(3) is None
