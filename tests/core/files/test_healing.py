"""Stores and kept runs whose files were damaged, by chance or by a program: made again or not offered, and never a crash."""

import json
import random
import shutil

import numpy as np
import payloads
import pytest
from belongings import prediction
from da3_blender.core.errors import BadInput
from da3_blender.core.files import ownership
from da3_blender.core.output.kept_runs import KIND, KeptRun
from da3_blender.core.output.run_keeper import KeptWriter
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.settings import Settings
from da3_blender.streaming.storage.chunk_store import Store
from damaged_stores import edits

CHUNKS = [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
LOOP = {"frames": [0, 7], "chunks": [0, 2], "matrix": np.eye(4).tolist(), "information": np.eye(7).tolist()}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "streaming"
    made = Store(folder, "a")
    for number, frames in enumerate(CHUNKS):
        made.save(frames, prediction(seed=number), names={"3": "chair_3"}, batch_size=4, warnings=["w"])
    made.keep(loops=[LOOP, {"frames": [1, 6]}], metric_scale=2.0)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    writer = KeptWriter(root, 1 << 30, "room", 29.97, Settings())
    for first in (0, 4):
        records = [payloads.record(np.eye(3, 4), np.eye(3), (32, 24), frame=first + i, name=f"{i}") for i in range(4)]
        writer.add(Batch(list(range(first, first + 4)), prediction(seed=first), names={1: "person_1"}), records)
    return writer.finish([np.eye(4)] * 2).folder


def use_store(folder):
    """Open a store and go through it as a run does, then make what lacks; the warnings."""
    found = Store(folder, "a")
    assert len(found.warnings) <= 1, found.warnings
    assert found.chunks == CHUNKS[: len(found.chunks)]
    made = len(found.chunks)
    for number in range(made):
        assert found.load(number).depth.shape == (4, 24, 32)
    for number in range(made, len(CHUNKS)):
        found.save(CHUNKS[number], prediction(seed=number))
    again = Store(folder, "a")
    for number in range(len(CHUNKS)):
        np.testing.assert_allclose(again.load(number).depth, prediction(seed=number).depth, rtol=1e-3)
    return found.warnings


def use_kept(folder):
    """Whether a run is offered; what it says where it is not."""
    try:
        run = KeptRun.open(folder.parent, folder.name)
        for batch, records in run.batches():
            assert len(records) == len(batch.indices)
        assert run.settings and run.frames and run.about["name"] is not None
    except BadInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["streaming", KIND])
def test_every_edit_of_a_manifest_even_one_that_is_recorded_as_ours(store, kept, tmp_path, kind):
    whole = store if kind == "streaming" else kept
    texts = list(edits(json.loads((whole / "manifest.json").read_bytes())))
    assert len(texts) > 300
    for number, text in enumerate(random.Random(0).sample(texts, 60)):
        for recorded in (True, False):
            folder = tmp_path / f"{number}{recorded}"
            shutil.copytree(whole, folder)
            if recorded:
                ownership.find(folder, kind).write("manifest.json", text)
            else:
                (folder / "manifest.json").write_bytes(text)
            if kind == KIND:
                said = use_kept(folder)
                assert recorded or "not kept any more" in said
                continue
            Store(folder, "a")
            if not recorded:
                assert len(use_store(folder)) == 0  # it was said, and begun anew, just now


def damage(path, dice):
    """One of: a bit flipped, cut short, made longer, of zeros, another file, gone."""
    data = bytearray(path.read_bytes())
    way = dice.randrange(6)
    if way == 0 and data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif way == 1:
        data = data[: dice.randrange(max(1, len(data)))]
    elif way == 2:
        data += b"more"
    elif way == 3:
        data = bytearray(len(data) + 1)
    elif way == 4:
        data = bytearray(b"\xff\xd8 somebody's photograph")
    else:
        path.unlink()
        return
    path.write_bytes(data)


def test_damaged_files_of_a_store_are_made_again_with_one_warning(store, tmp_path):
    dice = random.Random(1)
    for number in range(60):
        folder = tmp_path / f"{number}"
        shutil.copytree(store, folder)
        path = dice.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        damage(path, dice)
        warnings = use_store(folder)
        assert len(warnings) == 1 or path.name in (".da3-streaming",), (path, warnings)


def test_damaged_files_of_a_kept_run_are_one_sentence(kept, tmp_path):
    dice = random.Random(2)
    for number in range(60):
        folder = tmp_path / f"{number}"
        shutil.copytree(kept, folder)
        path = dice.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock"))
        damage(path, dice)
        said = use_kept(folder)
        assert "generate it again" in said or path.name == ".da3-kept-run", (path, said)


def test_an_array_of_another_shape_is_a_chunk_to_make_again(store, tmp_path):
    shutil.copytree(store, tmp_path / "s")
    np.savez(tmp_path / "s" / "chunks" / "00001.npz", depth=np.zeros((4, 2, 2), np.uint16))
    assert "2 chunks" in use_store(tmp_path / "s")[0]
