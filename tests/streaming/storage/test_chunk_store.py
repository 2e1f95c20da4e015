"""Chunks on disk: whole or not there, small, and only of this run."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from da3_blender.core.alignment.known_cameras import ConditionedPredictor, Known
from da3_blender.core.errors import BadInput, DA3Error
from da3_blender.core.files import ownership
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Choice, Settings, options
from da3_blender.streaming.storage import chunk_store as stores
from da3_blender.streaming.storage.chunk_store import Store
from da3_blender.streaming.storage.run_folder import fingerprint
from PIL import Image


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


def test_what_was_written_last_is_as_it_is_read_back(tmp_path):
    store = Store(tmp_path / "s", "a")
    for start in (0, 2):
        store.save(range(start, start + 4), replace(prediction(seed=start), descriptors=np.ones((4, 3))))
    at_hand, again = (one.load(1) for one in (store, Store(tmp_path / "s", "a")))
    for name in ("depth", "conf", "extrinsics", "intrinsics", "images", "sky", "descriptors"):
        np.testing.assert_array_equal(getattr(at_hand, name), getattr(again, name), err_msg=name)
        getattr(at_hand, name)[:] = 0  # each reader may change its own
        np.testing.assert_array_equal(getattr(store.load(1), name), getattr(again, name), err_msg=name)


@pytest.mark.parametrize("full", [False, True], ids=["on disk", "held in memory as the disk is full"])
def test_some_frames_of_a_chunk_are_those_of_the_whole(tmp_path, monkeypatch, full):
    made = prediction()
    made.people = made.depth > 5.0
    made.object_id = made.people.astype(np.int32)
    made.descriptors = np.random.default_rng(1).normal(size=(4, 20)).astype(np.float32)
    store = Store(tmp_path / "s", "a")
    if full:
        monkeypatch.setattr(store, "failure", "full")
    store.save([3, 4, 5, 6], made)
    whole, some = store.load(0), store.load(0, [6, 4])
    for name in ("depth", "conf", "extrinsics", "intrinsics", "sky", "people", "object_id", "descriptors"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[[3, 1]], err_msg=name)
    assert some.images.shape == (2, 24, 32, 3)


def test_what_is_changed_while_the_run_goes_on_is_noticed(tmp_path):
    store = Store(tmp_path / "s", "a")
    for start in (3, 5):  # the last one is at hand
        store.save(range(start, start + 4), prediction())
    file = tmp_path / "s" / "chunks" / "00000.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DA3Error, match="is not as it was written"):
        store.load(0)


def test_people_things_and_descriptors_come_back_and_take_little_room(tmp_path):
    made = prediction()
    store = Store(tmp_path / "plain", "a")
    store.save([0, 1, 2, 3], made)
    plain = (tmp_path / "plain" / "chunks" / "00000.npz").stat().st_size
    made.people = np.zeros(made.depth.shape, bool)
    made.people[:, 5:20, 8:16] = True
    made.object_id = np.where(made.people, 70_000, 0).astype(np.int32)
    made.descriptors = np.random.default_rng(1).normal(size=(4, 20)).astype(np.float32)
    store = Store(tmp_path / "s", "a")
    store.save([0, 1, 2, 3], made, names={"70000": "person_3"})
    again = Store(tmp_path / "s", "a")
    back = again.load(0)
    np.testing.assert_array_equal(back.people, made.people)
    np.testing.assert_array_equal(back.object_id, made.object_id)
    np.testing.assert_allclose(back.descriptors, made.descriptors, rtol=1e-3)  # 16 bit: eleven of them for the digits
    assert again.notes["names"] == {"70000": "person_3"}
    # Half a byte a pixel and the names of three more arrays; as they are they would take five bytes a pixel.
    assert (tmp_path / "s" / "chunks" / "00000.npz").stat().st_size < plain + 0.5 * made.depth.size + 1000


def test_what_a_pass_does_not_tell_is_not_there(tmp_path):
    store = Store(tmp_path, "a")
    made = prediction()
    made.sky = None
    store.save([0, 1, 2, 3], made)
    back = store.load(0)
    assert back.sky is back.people is back.object_id is back.descriptors is None


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

    monkeypatch.setattr(stores.npz_files, "file_of", full)
    lost = prediction()
    store.save([2, 3, 4, 5], lost)
    assert store.failure == "No space left on device"
    assert np.array_equal(store.load(1).depth, lost.depth)  # this run has it still, in memory
    assert store.load(1).depth is not store.load(1).depth  # each reader filters its own
    assert Store(tmp_path, "a").chunks == [[0, 1, 2, 3]]


def test_a_note_that_cannot_be_written_is_known_to_this_run_alone(tmp_path, monkeypatch):
    store = Store(tmp_path, "a")
    store.keep(loops=[{"frames": [0, 7]}])

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ownership.os, "fsync", full)
    store.keep(loops=[{"frames": [0, 7]}, {"frames": [1, 6]}])
    monkeypatch.undo()
    assert store.failure and store.notes["loops"] == [{"frames": [0, 7]}, {"frames": [1, 6]}]
    assert Store(tmp_path, "a").notes["loops"] == [{"frames": [0, 7]}]


def test_a_chunk_that_was_cut_short_on_disk_is_told(tmp_path):
    store = Store(tmp_path, "a")
    for start in (0, 2):  # the last one is at hand
        store.save(range(start, start + 4), prediction())
    file = tmp_path / "chunks" / "00000.npz"
    for size in (0, 10, 1000, file.stat().st_size - 30):
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(DA3Error, match="Chunk 0 .* cannot be read"):
            store.load(0)


@pytest.mark.parametrize("lost", ["chunks/00001.npz", "images/000004.jpg"])
def test_chunks_from_one_that_lost_a_file_on_are_made_again(tmp_path, lost):
    store = Store(tmp_path, "a")
    for start in (0, 2, 4):
        store.save(range(start, start + 4), prediction())
    store.keep(loops=[{"frames": [0, 7]}])
    (tmp_path / lost).write_bytes(b"")
    again = Store(tmp_path, "a")
    assert again.chunks == [[0, 1, 2, 3]]
    assert again.notes["loops"] == []


@pytest.fixture
def frames(tmp_path):
    for i in range(4):
        Image.new("RGB", (64, 48), (i, 0, 0)).save(tmp_path / f"{i}.png")
    return FrameSource.open(tmp_path)


# A setting that is new matters until somebody has said that it does not.
FREE_NOW = {
    "input", "start_frame", "end_frame", "frame_stride", "use_metric", "metric_mode", "metric_source", "field_of_view",
    "min_confidence", "merge_points", "merge_voxel_size", "detect_motion", "motion_threshold", "seg_model", "seg_confidence",
    "generate_meshes", "mesh_edge_length", "fuse_frames", "fuse_voxel_size", "fuse_faces", "fuse_texture", "splats",
    "point_scale", "output_folder", "output_point_cloud", "output_splats", "output_cameras", "output_colmap", "output_depth",
    "output_straightened", "ray", "ray_workers",
    "output_debug_images", "debug_beside_input", "animate_sequence", "smooth_path",
    "keep_individual_cameras", "per_frame_geometry", "loop_closure", "alignment_library", "depth_threshold",
    "conf_threshold_coef", "separate_chunk_collections", "save_debug",
}  # fmt: skip


def other(option):
    """A value that is not the default."""
    if issubclass(option.type, Choice):
        return next(choice for choice in option.type if choice is not option.default)
    if option.type is bool:
        return not option.default
    return option.default + ("x" if option.type is str else 1)


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_settings_that_chunks_do_not_depend_on_may_change(frames, option):
    changed = Settings(**{option.name: other(option)})
    same = fingerprint(frames, changed) == fingerprint(frames, Settings())
    assert same == (option.name in FREE_NOW)


def test_with_segmentation_its_settings_matter(frames):
    on = Settings(use_segmentation=True)
    assert fingerprint(frames, on) != fingerprint(frames, replace(on, seg_model="yolo11n-seg"))


def test_other_files_frames_and_known_cameras_are_another_run(frames, tmp_path):
    plain = fingerprint(frames, Settings())
    cameras = [np.eye(4)[:3] + shift for shift in (0.0, 1e-6)]
    given = [
        fingerprint(frames, Settings(), ConditionedPredictor(None, Known({1: c}, {1: np.eye(3)}), frames))
        for c in cameras
    ]
    assert len({plain, *given}) == 3
    fewer = FrameSource.open(tmp_path, 0, 2)
    assert fingerprint(fewer, Settings()) != plain
    Image.new("RGB", (64, 48), (9, 9, 0)).save(tmp_path / "2.png")
    os.utime(tmp_path / "2.png", (1, 1))
    assert fingerprint(frames, Settings()) != plain


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
