"""Loops as machine code."""

import errno
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

caching = pytest.importorskip("numba.core.caching")

from da3_blender.core.devices import compiled as module  # noqa: E402
from da3_blender.core.devices.compiled import compiled  # noqa: E402
from da3_blender.core.errors import MissingEnvironment  # noqa: E402


def running_sum(values):
    total = 0.0
    for value in values:
        total += value
    return total


@pytest.mark.parametrize("closed", [False, True])
def test_it_computes_the_same_and_is_kept_where_that_may_be(monkeypatch, tmp_path, closed):
    folder = tmp_path / "compiled"
    monkeypatch.setattr(module, "_folder", lambda: folder)
    if closed:  # an environment that several people use
        monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    values = np.arange(10.0)
    assert compiled(running_sum)(values) == running_sum(values)
    assert bool(list(folder.rglob("*.nbi"))) is not closed


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_of_what_is_kept_is_no_harm(monkeypatch, tmp_path, kind):
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    compiled(running_sum)(np.arange(3.0))
    (file,) = tmp_path.rglob(f"*.{kind}")
    file.write_bytes(file.read_bytes()[:100])
    assert compiled(running_sum)(np.arange(4.0)) == 6.0


def test_a_full_disk_is_no_harm(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert compiled(running_sum)(np.arange(4.0)) == 6.0


def test_threads_that_call_it_first_at_once_all_get_the_result(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    function, found = compiled(running_sum), []
    threads = [threading.Thread(target=lambda: found.append(function(np.arange(4.0)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [6.0] * 4


def test_an_environment_of_before_says_what_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingEnvironment, match="numba.*install the dependencies again"):
        compiled(running_sum)(np.arange(2.0))


def test_it_is_kept_in_the_environment_and_goes_with_it():
    assert Path(sys.prefix) in module._folder().parents
