"""Arrays in a file are NumPy's to read, and changing one leaves the others as they lie."""

import io
import zipfile

import numpy as np
import pytest
from da3_blender.streaming.storage import npz_files


def arrays():
    rng = np.random.default_rng(0)
    return {
        "noise": rng.random((40, 700)).astype(np.float32),
        "plain": np.full((300, 300), 5.0, np.float32),
        "image": rng.integers(0, 255, (30, 20, 3), np.uint8),
        "turned": rng.random((3, 5)).T,
        "none": np.zeros((0, 3)),
        "one": np.array(7),
    }


def read(file):
    assert zipfile.ZipFile(io.BytesIO(file)).testzip() is None
    with np.load(io.BytesIO(file)) as found:
        return dict(found)


def assert_same(found, wanted):
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_numpy_reads_what_is_written():
    assert_same(read(npz_files.file_of(arrays())), arrays())


@pytest.mark.parametrize("name", ["noise", "plain", "one"])
def test_one_array_is_replaced_and_the_others_keep_their_bytes(name):
    given = arrays()
    before = npz_files.file_of(given)
    given[name] = np.arange(12.0)
    after = npz_files.replaced(before, name, given[name])
    assert after == npz_files.file_of(given)
    assert_same(read(after), given)


def test_packed_arrays_of_an_older_version_are_taken_over_too():
    given, out = arrays(), io.BytesIO()
    np.savez_compressed(out, **given)
    given["one"] = np.array(8)
    assert_same(read(npz_files.replaced(out.getvalue(), "one", given["one"])), given)


def test_what_is_cut_off_is_said():
    with pytest.raises(zipfile.BadZipFile):
        npz_files.replaced(npz_files.file_of(arrays())[:-30], "one", np.array(8))
