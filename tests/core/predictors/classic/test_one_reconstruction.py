"""With ``classic`` the cameras of all passes come from one reconstruction: as good as all at once, and one lens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from da3_blender.core import pipeline
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import ClassicPredictor
from da3_blender.core.predictors.classic.sfm.reconstruction import SfmResult
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.streaming import pipeline as streaming
from sfm_once import sfm_once

FRAMES = 8  # of the courtyard: passes of 4 share frames


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(__file__).resolve().parents[4] / "sample_images" / "courtyard"


@pytest.fixture
def found_once() -> Iterator[dict[str, SfmResult]]:
    with sfm_once() as made:
        yield made


def cameras(mode: BatchMode, folder: Path, way: Callable = pipeline.reconstruct) -> dict[int, tuple]:
    """Extrinsics and focal length of every frame."""
    settings = Settings(batch_mode=mode, batch_size=4, process_resolution=140, model="classic")
    frames = FrameSource.open(folder, end=FRAMES - 1)
    predictor = ClassicPredictor(frames.focals, Monitor())
    found = {}
    for batch in way(frames, settings, predictor, on_progress=lambda *_: None, cancelled=lambda: False):
        if isinstance(batch, streaming.Settled):
            assert np.allclose(batch.moves, np.eye(4), atol=1e-6), "nothing moves cameras that lie in one frame"
            continue
        for row, index in enumerate(batch.indices):
            found[index] = batch.prediction.extrinsics[row], batch.prediction.intrinsics[row, 0, 0]
    assert frames.cameras_by == "sift, as given"
    return found


def test_every_batch_mode_and_streaming_give_the_cameras_of_all_at_once(folder, tmp_path, found_once):
    whole = cameras(BatchMode.IGNORE_BATCH_SIZE, folder)
    assert len(whole) == FRAMES
    others = {mode: cameras(mode, folder) for mode in (BatchMode.LAST_FRAME_OVERLAP, BatchMode.NO_OVERLAP)}
    others[BatchMode.DA3_STREAMING] = cameras(
        BatchMode.DA3_STREAMING, folder, functools.partial(streaming.reconstruct, folder=tmp_path / "chunks")
    )
    assert len(found_once) == 1, "every mode asks for the cameras of the same images"
    for mode, found in others.items():
        assert sorted(found) == sorted(whole), mode
        for index, (extrinsics, focal) in found.items():
            assert np.allclose(extrinsics, whole[index][0], atol=1e-6), f"{mode}, frame {index}"
            assert focal == whole[0][1], f"{mode}: one lens"
