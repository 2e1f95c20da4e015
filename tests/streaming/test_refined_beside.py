"""Where a card computes, a chunk is made better on a thread beside the chunk before it: the result is the same."""

import threading
from types import SimpleNamespace

import long_walk
import numpy as np
import pytest
from da3_blender.core.errors import Cancelled
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.streaming.pipeline import Settled, reconstruct
from disturbed_predictor import DisturbedPredictor

SETTINGS = Settings(
    batch_mode=BatchMode.DA3_STREAMING, batch_size=8, process_resolution=98, model="classic", loop_closure=False
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    made = long_walk.make(20, size=2)
    return SimpleNamespace(truth=made, folder=made.save(tmp_path_factory.mktemp("frames")))


class OnCard(DisturbedPredictor):
    """Says that it leaves the processor alone."""

    computes_beside = True


def way(scene, kind, folder, cancelled=lambda: False):
    frames = FrameSource.open(scene.folder)
    return reconstruct(
        frames, SETTINGS, kind(scene.truth), on_progress=lambda *_: None, cancelled=cancelled, folder=folder
    )


def test_chunks_made_better_beside_each_other_are_the_same(scene, tmp_path):
    here, beside = (list(way(scene, kind, tmp_path / kind.__name__)) for kind in (DisturbedPredictor, OnCard))
    assert len(here) == len(beside) > 3
    for one, other in zip(here, beside, strict=True):
        if isinstance(one, Settled):
            np.testing.assert_array_equal(one.moves, other.moves)
            continue
        assert one.indices == other.indices
        np.testing.assert_array_equal(one.prediction.extrinsics, other.prediction.extrinsics)
        np.testing.assert_array_equal(one.prediction.depth, other.prediction.depth)


def test_nothing_goes_on_once_a_run_is_stopped(scene, tmp_path):
    stopped = threading.Event()
    run = way(scene, OnCard, tmp_path / "run", stopped.is_set)
    next(run)
    stopped.set()
    with pytest.raises(Cancelled):
        list(run)
    assert not [thread for thread in threading.enumerate() if thread.name in ("refinement", "passes")]
