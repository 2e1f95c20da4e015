"""Passes on Ray's actors, in real processes on this machine: the same numbers, and what becomes of actors that die."""

import json
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from da3_blender.core import pipeline
from da3_blender.core.cluster import connection, host, pool
from da3_blender.core.errors import Cancelled, DA3Error
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.monitor import Monitor
from da3_blender.core.prediction import passes
from da3_blender.core.prediction.batching import Planner
from da3_blender.core.settings import BatchMode, Settings
from da3_blender.streaming import pipeline as streaming
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = f"{ROOT / 'tests' / 'support' / 'fixed_delay.py'}:open_predictor"
COUNT, ACTORS = 24, 2


@pytest.fixture(scope="module", autouse=True)
def ray(tmp_path_factory):
    """Ray, in a session of its own; the first pool starts it, and all tests of this file share it."""
    sys.path.insert(0, str(ROOT / "tools"))
    folder = runpy.run_path(str(ROOT / "tools" / "paths.py"))["ray_packages"]()
    sys.path.remove(str(ROOT / "tools"))
    if not (folder / "ray").is_dir():
        pytest.skip(f"RAY IS NOT TESTED: '{folder}' is not there; `make python` sets it up")
    before = {name: os.environ.get(name) for name in ("DA3_RAY", "PYTHONPATH")}
    os.environ["DA3_RAY"] = str(folder)
    yield connection.load()
    connection.load().shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((84, 56)).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Where the stand-in's actors look what to do; each tells its process by a file."""
    models = tmp_path_factory.mktemp("models")
    (models / "pids").mkdir()
    (models / "stand_in.json").write_text(json.dumps({"delay": 0.05, "pids": str(models / "pids")}))
    return models


@pytest.fixture(scope="module")
def actors(folder, models):
    """Two actors, for all tests of this file but one."""
    predictor = pool.RayPredictor(opening(models), FrameSource.open(folder), Monitor(), "local", ACTORS)
    yield predictor
    predictor.unload()


def opening(models):
    return host.Opening("da3-small", str(models), False, None, STAND_IN)


def here():
    return host.opener(STAND_IN)("da3-small", Path("nowhere"), None, Monitor())


def run(folder, predictor, mode=BatchMode.LAST_FRAME_OVERLAP, size=4, monitor=None):
    source, settings = FrameSource.open(folder), Settings(batch_mode=mode, batch_size=size)
    if isinstance(predictor, pool.RayPredictor):
        predictor.attach(source, monitor or Monitor())
    planner = Planner(source.selected, settings, size)
    return list(passes.predictions(source, settings, predictor, planner, monitor or Monitor())), source


def assert_same(a, b):
    assert [indices for indices, _ in a] == [indices for indices, _ in b]
    for (_, one), (_, other) in zip(a, b, strict=True):
        for name in ("depth", "conf", "extrinsics", "intrinsics", "images"):
            assert (getattr(one, name) == getattr(other, name)).all()


@pytest.mark.parametrize("mode", [BatchMode.LAST_FRAME_OVERLAP, BatchMode.FIRST_LAST_OVERLAP])
def test_two_actors_give_what_this_process_gives_to_the_last_digit(folder, actors, mode):
    made, source = run(folder, actors, mode)
    assert_same(made, run(folder, here(), mode)[0])
    assert source.warnings == []
    made[0][1].depth[:] = 0.0  # Ray's own memory could not be written to


def test_streaming_too_and_goes_on_from_chunks_of_another_way(folder, actors, tmp_path):
    settings = Settings(batch_mode=BatchMode.DA3_STREAMING, batch_size=8, save_debug=True, input=str(folder))

    def batches(predictor, store):
        source = FrameSource.open(folder)
        if predictor is actors:
            actors.attach(source, Monitor())
        quiet = {"on_progress": lambda *_: None, "cancelled": lambda: False}
        *given, settled = streaming.reconstruct(source, settings, predictor, folder=tmp_path / store, **quiet)
        return given, settled

    (ahead, there) = batches(actors, "a")
    (one, end) = batches(here(), "b")
    assert [b.indices for b in ahead] == [b.indices for b in one]
    for x, y in zip(ahead, one, strict=True):
        assert (x.prediction.depth == y.prediction.depth).all() and (
            x.prediction.extrinsics == y.prediction.extrinsics
        ).all()
    assert (there.moves == end.moves).all()
    (again, _) = batches(actors, "b")  # its chunks are whole: no pass is made
    assert [b.indices for b in again] == [b.indices for b in one]


def test_files_that_the_actors_do_not_see_are_sent(folder, actors, monkeypatch):
    monkeypatch.setattr(host.Input, "of", classmethod(lambda cls, frames: cls(None, "/not/there")))
    made, _ = run(folder, actors)
    assert_same(made, run(folder, here())[0])


def test_killed_actors_are_replaced_and_their_passes_made_again(folder, actors, models):
    pids, done, killed = models / "pids", threading.Event(), []

    def kill():
        random = np.random.default_rng(0)
        while not done.wait(random.uniform(0.1, 0.3)) and len(killed) < 2:
            for file in [f for f in pids.iterdir() if f.name not in killed][-1:]:
                file.unlink()
                killed.append(file.name)
                try:
                    os.kill(int(file.name), signal.SIGKILL)
                except ProcessLookupError:
                    killed.pop()

    for file in pids.iterdir():
        file.unlink()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        made, source = run(folder, actors, size=2)
    finally:
        done.set()
        thread.join()
    assert killed
    assert any("died; its passes are computed again" in w for w in source.warnings)
    assert_same(made, run(folder, here(), size=2)[0])


def test_cancelling_ends_the_actors_at_once_and_the_next_job_gets_new_ones(folder, actors):
    started = time.monotonic()
    stop = Monitor(cancelled=lambda: time.monotonic() > started + 0.5)
    with pytest.raises(Cancelled):
        run(folder, actors, size=2, monitor=stop)
    assert actors._actors == []
    made, _ = run(folder, actors, size=12)
    assert [i for indices, _ in made for i in indices[1:]] == list(range(1, COUNT))


def test_a_worker_with_another_file_of_the_model_is_refused(folder, actors, monkeypatch):
    monkeypatch.setattr(host, "digest_of", lambda opening: "0" * 64)
    with pytest.raises(DA3Error, match="another file of DA3 Small"):
        actors._check(actors._actors)


def test_a_worker_with_other_packages_is_refused(folder, actors, monkeypatch):
    monkeypatch.setattr(host, "versions", lambda: {"torch": "0.1"})
    with pytest.raises(DA3Error, match=r"other packages \(torch .* instead of 0\.1\)"):
        actors._check(actors._actors)


def test_what_one_actor_has_no_memory_for_another_computes(folder, tmp_path, ray):
    (tmp_path / "stand_in.json").write_text('{"limit": 3, "delay": 0.1}')
    predictor = pool.RayPredictor(opening(tmp_path), FrameSource.open(folder), Monitor(), "local", ACTORS)
    made, source = run(folder, predictor, size=6)
    predictor.unload()
    assert {len(indices) for indices, _ in made} >= {3, 6}
    assert sorted({i for indices, _ in made for i in indices}) == list(range(COUNT))
    assert any("its passes now have at most 3" in w for w in source.warnings)


def test_the_whole_way_with_ray_is_the_whole_way_without(folder, actors):
    settings = Settings(batch_mode=BatchMode.LAST_FRAME_OVERLAP, batch_size=6)
    quiet = {"on_progress": lambda *_: None, "cancelled": lambda: False}
    source = FrameSource.open(folder)
    actors.attach(source, Monitor())
    ahead = list(pipeline.reconstruct(source, settings, actors, **quiet))
    one = list(pipeline.reconstruct(FrameSource.open(folder), settings, here(), **quiet))
    assert [b.indices for b in ahead] == [b.indices for b in one]
    assert all((a.prediction.depth == b.prediction.depth).all() for a, b in zip(ahead, one, strict=True))
