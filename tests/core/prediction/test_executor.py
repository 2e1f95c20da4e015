"""Passes that others compute ahead, or that a thread does, give what passes one after another give, in the same order."""

import threading
import time

import numpy as np
import pytest
from da3_blender.core.errors import Cancelled, DA3Error, OutOfMemory
from da3_blender.core.frames.decoding import Reduced
from da3_blender.core.frames.resizing import place
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


class Card(Here):
    """Computes while the caller works; the threads and times of its passes are noted."""

    computes_beside = True

    def __init__(self, most=ANY, monitor=None):
        super().__init__(most)
        self.monitor = monitor or Monitor()
        self.threads = []
        self.stopped = 0

    def predict(self, images, indices, settings, cameras=None):
        self.threads.append(threading.get_ident())
        try:
            self.monitor.progress("model", 0.5)
            return super().predict(images, indices, settings)
        except Cancelled:
            self.stopped += 1
            raise


def soon(condition):
    """Whether it comes true within a time that no machine needs."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.mark.parametrize("mode", SEVERAL)
def test_passes_of_a_card_are_the_same_in_the_same_order(frames, mode):
    card, here = Card(), Here()
    assert_same(run(frames(), card, mode), run(frames(), here, mode))
    assert card.passes == here.passes
    assert threading.get_ident() not in card.threads


def test_a_card_s_chunks_too(frames):
    assert_same(
        run(frames(), Card(), planner=ChunkPlanner, size=6), run(frames(), Here(), planner=ChunkPlanner, size=6)
    )


def begun(source, card, monitor=None, size=5):
    settings = Settings(batch_mode=BatchMode.NO_OVERLAP, batch_size=size)
    planner = Planner(source.selected, settings, size)
    return passes.predictions(source, settings, card, planner, monitor or Monitor())


def test_one_pass_and_no_more_is_computed_while_the_caller_works(frames):
    card = Card()
    coming = begun(frames(), card)
    next(coming)
    assert soon(lambda: len(card.passes) == 2)
    time.sleep(0.1)  # a third one would come by now
    assert len(card.passes) == 2
    coming.close()


def test_a_card_that_a_second_model_wants_computes_when_it_is_asked(frames):
    card, settings = Card(), Settings(batch_mode=BatchMode.NO_OVERLAP, batch_size=5)
    source = frames()
    planner = Planner(source.selected, settings, 5)
    coming = passes.predictions(source, settings, card, planner, Monitor(), beside=False)
    next(coming)
    time.sleep(0.1)
    assert len(card.passes) == 1 and card.threads == [threading.get_ident()]


def test_frames_that_cannot_be_read_are_named_when_their_pass_is_due(frames, tmp_path):
    card, here = frames(), frames()
    (tmp_path / "017.png").write_bytes((tmp_path / "017.png").read_bytes()[:40])
    coming = begun(card, Card())
    next(coming)
    time.sleep(0.1)
    assert card.warnings == []
    coming.close()
    assert_same(run(card, Card()), run(here, Here()))
    assert len(card.warnings) == 1 and card.warnings == here.warnings


def test_memory_of_a_card_that_runs_out_halves_as_everywhere(frames):
    card, here = frames(), frames()
    assert_same(run(card, Card(3), size=6), run(here, Here(3), size=6))
    assert card.warnings == here.warnings and card.warnings


def test_what_goes_wrong_ahead_is_raised_where_the_pass_is_asked_for(frames):
    card = Card()
    answer = card.predict

    def third(images, indices, *rest):
        if len(card.passes) == 2:
            raise DA3Error("not a number")
        return answer(images, indices, *rest)

    card.predict = third
    coming = begun(frames(), card)
    assert next(coming)[0] == [0, 1, 2, 3, 4]
    assert next(coming)[0] == [5, 6, 7, 8, 9]
    with pytest.raises(DA3Error, match="not a number"):
        next(coming)


def test_progress_is_told_on_the_caller_s_thread_and_in_the_passes_order(frames):
    told, heard_on = [], set()

    def hear(stage, fraction):
        told.append((stage, fraction))
        heard_on.add(threading.get_ident())

    monitor = Monitor(hear)
    for _ in begun(frames(), Card(monitor=monitor), monitor):
        told.append("points")
    assert heard_on == {threading.get_ident()}
    stages = [one if isinstance(one, str) else one[0] for one in told]
    assert [s for n, s in enumerate(stages) if n == 0 or stages[n - 1] != s] == ["images", "model", "points"] * 5


class Endless(Card):
    """From the second pass on it computes until somebody stops it."""

    def predict(self, images, indices, settings, cameras=None):
        made = super().predict(images, indices, settings)
        try:
            while len(self.passes) > 1:
                self.monitor.check()
                time.sleep(0.001)
        except Cancelled:
            self.stopped += 1
            raise
        return made


def test_cancelling_while_the_caller_waits_stops_the_pass_and_its_thread(frames):
    wish = threading.Event()
    monitor = Monitor(cancelled=wish.is_set)
    card = Endless(monitor=monitor)
    coming = begun(frames(), card, monitor)
    next(coming)
    threading.Timer(0.2, wish.set).start()
    with pytest.raises(Cancelled):
        next(coming)
    assert card.stopped == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "passes"]


def test_a_caller_that_leaves_stops_what_was_begun(frames):
    source, card = frames(), Endless()
    coming = begun(source, card)
    next(coming)
    assert soon(lambda: len(card.passes) == 2)
    coming.close()
    assert card.stopped == 1
    assert source.decoding.is_idle and not source.decoding.held
    assert not [thread for thread in threading.enumerate() if thread.name == "passes"]


def test_the_frames_of_the_pass_that_the_caller_works_on_stay_decoded(frames):
    source = frames()
    asked, read = [], source.reader.read
    source.reader.read = lambda i, ahead=(): asked.append(i) or read(i, ahead)
    for indices, _ in begun(source, Card()):
        assert set(indices) <= set(source.decoding.held)
        for i in indices:
            source.load(i)
    assert sorted(asked) == list(range(23))


class OfASize(Card):
    """Takes images in its own size, and no originals."""

    takes_reduced = True

    def predict(self, images, indices, settings, cameras=None):
        canvas, _, _ = place(images, settings.resolution, settings.resize_method)
        return super().predict(canvas[:, : SIZE[1], : SIZE[0]], indices, settings)


@pytest.mark.parametrize("beside", [True, False])
def test_images_for_a_model_of_one_size_are_reduced_from_the_first_pass_on(frames, monkeypatch, beside):
    source, settings = frames(), Settings(batch_mode=BatchMode.NO_OVERLAP, batch_size=5, process_resolution=28)
    asked, read = [], source.reader.read
    monkeypatch.setattr(source.reader, "read", lambda i, ahead=(): asked.append(i) or read(i, ahead))
    planner = Planner(source.selected, settings, 5)
    for _ in passes.predictions(source, settings, OfASize(), planner, Monitor(), beside=beside):
        assert all(isinstance(source.decoding.get(i), Reduced) for i in source.decoding.held)
    assert sorted(asked) == list(range(23))
