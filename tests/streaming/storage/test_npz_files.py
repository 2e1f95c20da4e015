"""Packed arrays are NumPy's to read, and changing one leaves the others as they lie."""

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


def test_numpy_reads_what_is_packed():
    assert_same(read(npz_files.packed(arrays())), arrays())


@pytest.mark.parametrize("name", ["noise", "plain", "one"])
def test_one_array_is_replaced_and_the_others_keep_their_bytes(name):
    given = arrays()
    before = npz_files.packed(given)
    given[name] = np.arange(12.0)
    after = npz_files.replaced(before, name, given[name])
    assert after == npz_files.packed(given)
    assert_same(read(after), given)


def test_what_repeats_is_packed_about_as_well_as_by_numpy_and_what_would_not_get_much_smaller_lies_as_it_is():
    """NumPy searches longer: what it finds more is a hundredth of the array."""
    for name, array in arrays().items():
        by_numpy = io.BytesIO()
        np.savez_compressed(by_numpy, **{name: array})
        least, size = len(by_numpy.getvalue()), len(npz_files.packed({name: array}))
        assert size <= 1.05 * least + 0.01 * array.nbytes + 100 or 0.65 * size < least, name
    (noise,) = zipfile.ZipFile(io.BytesIO(npz_files.packed({"noise": arrays()["noise"]}))).infolist()
    assert noise.compress_type == zipfile.ZIP_STORED


def test_what_is_cut_off_is_said():
    with pytest.raises(zipfile.BadZipFile):
        npz_files.replaced(npz_files.packed(arrays())[:-30], "one", np.array(8))
