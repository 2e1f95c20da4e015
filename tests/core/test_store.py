"""Chunks on disk: whole or not there, small, and only of this run."""

import errno

import numpy as np
import pytest
from da3_blender.core.errors import BadInput, DA3Error
from da3_blender.core.prediction import Prediction
from da3_blender.streaming import store as stores
from da3_blender.streaming.store import Store


def prediction(count=4, seed=0):
    random = np.random.default_rng(seed)
    shape = (count, 24, 32)
    depth = np.exp(random.uniform(-2, 4, shape)).astype(np.float32)
    depth[:, 0] = 0
    conf = random.uniform(1, 30, shape).astype(np.float32)
    conf[:, :, 0] = 0
    extrinsics, intrinsics = random.normal(size=(count, 3, 4)), random.normal(size=(count, 3, 3))
    images = np.repeat(np.arange(0, 200, 50, dtype=np.uint8)[:count, None, None, None], 24, axis=1)
    images = np.ascontiguousarray(np.broadcast_to(images, (count, 24, 32, 3)))
    return Prediction(depth, conf, extrinsics, intrinsics, images, random.random(shape) < 0.3)


def test_a_chunk_comes_back_as_it_went(tmp_path):
    made = prediction()
    store = Store(tmp_path / "s", "a")
    store.save([3, 4, 5, 6], made)
    back = Store(tmp_path / "s", "a").load(0)
    # 16 bits over six units of the logarithm: half a step is 5e-5.
    np.testing.assert_allclose(back.depth, made.depth, rtol=6e-5)
    np.testing.assert_allclose(back.conf, made.conf, rtol=6e-5)
    np.testing.assert_array_equal(back.extrinsics, made.extrinsics)
    np.testing.assert_array_equal(back.intrinsics, made.intrinsics)
    np.testing.assert_array_equal(back.sky, made.sky)
    assert np.abs(back.images.astype(int) - made.images).max() <= 3  # JPEG, flat colours


def test_an_image_is_there_once(tmp_path):
    store = Store(tmp_path, "a")
    store.save([0, 1, 2, 3], prediction())
    store.save([2, 3, 4, 5], prediction())
    assert len(list((tmp_path / "images").iterdir())) == 6


def test_another_run_starts_fresh_and_the_same_goes_on(tmp_path):
    Store(tmp_path, "a").save([0, 1, 2, 3], prediction())
    assert Store(tmp_path, "a").chunks == [[0, 1, 2, 3]]
    assert Store(tmp_path, "b").chunks == []
    assert not list((tmp_path / "chunks").iterdir())


def test_a_chunk_that_was_cut_off_does_not_count(tmp_path, monkeypatch):
    store = Store(tmp_path, "a")
    store.save([0, 1, 2, 3], prediction())

    def full(*_arguments, **_arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stores.np, "savez", full)
    with pytest.raises(DA3Error, match="No space left on device.*go on from the last whole chunk"):
        store.save([2, 3, 4, 5], prediction())
    assert Store(tmp_path, "a").chunks == [[0, 1, 2, 3]]


def test_a_broken_manifest_is_another_run(tmp_path):
    Store(tmp_path, "a").save([0, 1, 2, 3], prediction())
    (tmp_path / stores.MANIFEST).write_text('{"fingerpr')
    assert Store(tmp_path, "a").chunks == []


def test_files_of_others_stay_when_it_is_removed(tmp_path):
    store = Store(tmp_path / "s", "a")
    store.save([0, 1, 2, 3], prediction())
    (tmp_path / "s" / "notes.txt").write_text("mine")
    store.remove()
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["notes.txt"]


def test_too_small_a_disk_is_told_before_the_long_work(tmp_path):
    with pytest.raises(BadInput, match="GB.*are free"):
        Store(tmp_path, "a").require_space(10**9, 10**6)
