"""Recognising, moving and removing models, with a failure at every step of a move."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
from da3_blender.core.errors import BadInput, Cancelled, DA3Error, MissingModel
from da3_blender.core.models import catalogue, files
from da3_blender.core.models import folder as model_folder
from da3_blender.core.models.files import Outcome, move_models, recognise, remove
from hub import safetensors

ROOT = Path(__file__).resolve().parents[3]
SMALL, BASE = catalogue.find("da3-small"), catalogue.find("da3-base")
CONTENTS = {SMALL.file_name: safetensors(300_000, 1), BASE.file_name: safetensors(500_000, 2)}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "models"


@pytest.fixture
def another_disk(monkeypatch):
    """Renaming between folders fails as it does between disks; naming a finished copy still works."""

    def refuse(self, new):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(files, "_BLOCK", 64 << 10)  # bytes; so that a small file has several steps


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} if folder.exists() else {}


def leftovers(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.glob(f"{model_folder.HIDDEN}/*")]


# -------------------------------------------------------------------------------------------------------- recognising


def test_a_folder_of_the_original_add_on_is_recognised(source):
    (source / "da3-giant.safetensors").write_bytes(safetensors(10_000)[:7000])
    (source / "something.safetensors").write_bytes(safetensors(1000))
    (source / "yolo11n-seg.pt").touch()
    (source / model_folder.HIDDEN).mkdir()
    (source / model_folder.HIDDEN / "da3-large.0.part").write_bytes(b"1")
    found = recognise(source)
    assert found.models == (SMALL, BASE)
    assert [file.name for file in found.broken] == ["da3-giant.safetensors"]
    assert [file.name for file in found.unknown] == ["something.safetensors"]


def test_an_empty_and_a_missing_folder_hold_nothing(tmp_path):
    assert recognise(tmp_path) == recognise(tmp_path / "nowhere") == files.Contents((), (), ())


@pytest.mark.parametrize(
    "content",
    [
        b"", b"1234567", bytes(8), bytes(2000), b"<html>" * 100, safetensors(1000)[:-1], safetensors(1000) + b"1",
        (2).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]", b"\xff" * 100,
        (5000).to_bytes(8, "little") + b"[" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_whole_safetensors_file_is_seen(tmp_path, content):
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    assert not model_folder.is_whole(file)


def test_a_file_that_safetensors_itself_wrote_is_whole(tmp_path):
    np = pytest.importorskip("numpy")
    writer = pytest.importorskip("safetensors.numpy", reason="safetensors is in the worker's environment only")
    tensors = {"a": np.zeros((3, 4), np.float32), "b": np.ones(5, np.float16)}
    writer.save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert model_folder.is_whole(tmp_path / "x.safetensors")


# ----------------------------------------------------------------------------------------------------------- removing


def test_removing_takes_the_model_and_its_leftovers_and_nothing_else(source):
    hidden = source / model_folder.HIDDEN
    hidden.mkdir()
    (hidden / f"{SMALL.name}.0.part").write_bytes(bytes(100))
    (hidden / f"{BASE.name}.0.part").write_bytes(b"1")
    assert remove(SMALL.name, source) == 300_100
    assert contents(source) == {BASE.file_name: CONTENTS[BASE.file_name]}
    assert [path.name for path in leftovers(source)] == [f"{BASE.name}.0.part"]


def test_removing_what_is_not_there_says_so_and_makes_no_folder(tmp_path):
    with pytest.raises(MissingModel, match="DA3 Small is not installed"):
        remove(SMALL.name, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(MissingModel, match="no file"):
        remove("classic", tmp_path)


def test_a_model_that_is_being_downloaded_is_not_removed(source):
    with (
        model_folder.locked(source, SMALL.name, lambda: None),
        pytest.raises(DA3Error, match="being downloaded or moved"),
    ):
        remove(SMALL.name, source)
    assert contents(source) == CONTENTS


# ------------------------------------------------------------------------------------------------------------- moving


def test_moving_on_one_disk_renames(source, target):
    number = (source / SMALL.file_name).stat().st_ino
    assert move_models(source, target) == [
        files.Moved(SMALL, Outcome.MOVED), files.Moved(BASE, Outcome.MOVED),
    ]  # fmt: skip
    assert contents(target) == CONTENTS
    assert contents(source) == {}
    assert (target / SMALL.file_name).stat().st_ino == number
    assert leftovers(source, target) == []


def test_moving_to_another_disk_copies_checks_and_deletes(source, target, another_disk):
    told = []
    results = move_models(source, target, on_progress=lambda stage, fraction: told.append((stage, fraction)))
    assert [result.outcome for result in results] == [Outcome.MOVED] * 2
    assert contents(target) == CONTENTS
    assert contents(source) == {}
    assert not (target / model_folder.HIDDEN).exists() and not (source / model_folder.HIDDEN).exists()
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    assert [stage for stage, _ in told[:1] + told[-1:]] == [SMALL.label, BASE.label]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system is known here")
def test_moving_to_a_real_other_file_system(source, tmp_path):
    target = Path("/dev/shm") / f"da3-test-{os.getpid()}"
    if Path("/dev/shm").stat().st_dev == source.stat().st_dev:
        pytest.skip("/dev/shm is on the same file system")
    try:
        move_models(source, target)
        assert contents(target) == CONTENTS
        assert contents(source) == {}
    finally:
        subprocess.run(["rm", "-r", str(target)], check=True)


def test_files_that_are_no_models_stay_untouched(source, target):
    (source / "other.safetensors").write_bytes(b"1")
    (source / "notes.txt").write_bytes(b"2")
    half = CONTENTS[SMALL.file_name][:1000]
    (source / SMALL.file_name).write_bytes(half)
    results = {str(result) for result in move_models(source, target)}
    assert results == {
        "DA3 Small is not a whole file and was left where it is", "DA3 Base was moved",
    }  # fmt: skip
    assert contents(source) == {"other.safetensors": b"1", "notes.txt": b"2", SMALL.file_name: half}


def test_an_equal_file_in_the_target_replaces_the_old_one_and_a_different_one_is_kept_beside_it(source, target):
    target.mkdir(parents=True)
    (target / SMALL.file_name).write_bytes(CONTENTS[SMALL.file_name])
    other = safetensors(len(CONTENTS[BASE.file_name]), 3)  # of the same size
    (target / BASE.file_name).write_bytes(other)
    assert [result.outcome for result in move_models(source, target)] == [Outcome.WAS_THERE, Outcome.DIFFERENT]
    assert contents(source) == {BASE.file_name: CONTENTS[BASE.file_name]}
    assert contents(target) == {SMALL.file_name: CONTENTS[SMALL.file_name], BASE.file_name: other}


def test_a_link_in_the_target_to_the_old_file_does_not_count_as_a_copy(source, target):
    target.mkdir(parents=True)
    (target / SMALL.file_name).symlink_to(source / SMALL.file_name)
    move_models(source, target)
    assert not (target / SMALL.file_name).is_symlink()
    assert contents(target) == CONTENTS


def test_a_linked_model_is_copied_and_the_file_it_leads_to_stays(source, target, tmp_path):
    elsewhere = tmp_path / "cache"
    (source / SMALL.file_name).rename(elsewhere)
    (source / SMALL.file_name).symlink_to("../cache")
    move_models(source, target)
    assert contents(target) == CONTENTS
    assert contents(source) == {} and elsewhere.read_bytes() == CONTENTS[SMALL.file_name]


def test_a_model_that_is_being_downloaded_is_left_and_the_others_go(source, target):
    with model_folder.locked(target, SMALL.name, lambda: None):
        results = move_models(source, target)
    assert [result.outcome for result in results] == [Outcome.BUSY, Outcome.MOVED]
    assert contents(source) == {SMALL.file_name: CONTENTS[SMALL.file_name]}


def test_the_same_folder_and_a_missing_one_are_named(source, tmp_path):
    with pytest.raises(BadInput, match="already"):
        move_models(source, source / ".." / "old")
    with pytest.raises(BadInput, match="no folder"):
        move_models(tmp_path / "nowhere", source)
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file.* cannot be used"):
        move_models(source, tmp_path / "file" / "models")
    assert contents(source) == CONTENTS


# -------------------------------------------------------------------------------------------- failing at every step


def test_too_little_space_is_said_before_anything_is_written(source, target, another_disk, monkeypatch):
    monkeypatch.setattr(model_folder.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=400_000))
    with pytest.raises(DA3Error, match="DA3 Base: 500 KB needed, 400 KB free.*1 of 2 models were moved"):
        move_models(source, target)
    assert contents(source) | contents(target) == CONTENTS
    assert leftovers(source, target) == []


class Fault:
    """Makes one call of a function fail, counted from the first; or does something to the world there."""

    def __init__(self, monkeypatch, owner, name: str, at: int, error: Exception):
        self._real, self._at, self._error = getattr(owner, name), at, error
        self.calls = 0
        monkeypatch.setattr(owner, name, lambda *args, **options: self(*args, **options))

    def __call__(self, *args, **options):
        self.calls += 1
        if self.calls == self._at:
            raise self._error
        return self._real(*args, **options)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("step", ["sync", "sync_folder", "_forget_cached", "need_space"])
@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["full", "broken"])
def test_a_move_that_fails_at_any_step_has_lost_nothing_and_can_be_repeated(
    source, target, another_disk, monkeypatch, step, call, error
):
    with monkeypatch.context() as patch:
        fault = Fault(patch, files, step, call, error)
        try:
            move_models(source, target)
        except DA3Error as caught:
            assert "models were moved, the rest are where they were" in str(caught)
        else:
            assert fault.calls < call
    whole = contents(source) | contents(target)
    assert whole == CONTENTS
    assert all(content == CONTENTS[name] for name, content in contents(target).items())
    assert leftovers(source, target) == []
    move_models(source, target)
    assert contents(target) == CONTENTS


@pytest.mark.parametrize("bytes_before", [0, 1, 100_000, 299_999, 300_000, 700_000])
def test_a_disk_that_gets_full_while_copying_loses_nothing(source, target, another_disk, monkeypatch, bytes_before):
    left = bytes_before

    class Filling:
        def __init__(self, real):
            self._real = real

        def __enter__(self):
            self._real.__enter__()
            return self

        def __exit__(self, *args):
            return self._real.__exit__(*args)

        def fileno(self):
            return self._real.fileno()

        def write(self, data):
            nonlocal left
            if left == 0:
                raise FULL
            taken = self._real.write(data[:left])
            left -= taken
            return taken

    real = Path.open

    def open_filling(self, mode="r", **options):
        opened = real(self, mode, **options)
        return Filling(opened) if mode == "wb" else opened

    monkeypatch.setattr(Path, "open", open_filling)
    with pytest.raises(DA3Error, match="full: free some space.*the rest are where they were"):
        move_models(source, target)
    monkeypatch.undo()
    assert contents(source) | contents(target) == CONTENTS
    assert set(contents(source)) | set(contents(target)) == set(CONTENTS)
    assert set(contents(target)) == ({SMALL.file_name} if bytes_before >= 300_000 else set())
    assert leftovers(source, target) == []


def test_a_copy_that_reads_back_differently_is_not_taken(source, target, another_disk, monkeypatch):
    real = files._forget_cached

    def spoil(handle):
        os.pwrite(handle, b"spoilt", 5000)
        real(handle)

    monkeypatch.setattr(files, "_forget_cached", spoil)
    with pytest.raises(DA3Error, match="differs from what was written"):
        move_models(source, target)
    assert contents(source) == CONTENTS
    assert contents(target) == {}
    assert leftovers(source, target) == []


def test_an_old_file_that_cannot_be_deleted_is_said_so(source, target, another_disk, monkeypatch):
    monkeypatch.setattr(files, "_unlink", lambda _: False)
    assert [result.outcome for result in move_models(source, target)] == [Outcome.KEPT_OLD] * 2
    assert contents(source) == contents(target) == CONTENTS


@pytest.mark.parametrize("after", [0, 1, 2, 5, 9, 11, 15, 20, 26])
def test_a_move_cancelled_at_any_moment_loses_nothing(source, target, another_disk, after):
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        move_models(source, target, cancelled=lambda: next(asked) >= after)
    assert contents(source) | contents(target) == CONTENTS
    assert all(content == CONTENTS[name] for name, content in contents(target).items())
    assert leftovers(source, target) == []


KILLED = textwrap.dedent("""
    import errno, os, runpy, signal, sys
    from pathlib import Path
    root, source, target, kill_at = sys.argv[1:]
    runpy.run_path(str(Path(root) / "core" / "package.py"))["make_importable"]()
    from da3_blender.core import model_files
    model_files._BLOCK = 64 << 10
    def refuse(self, new):
        raise OSError(errno.EXDEV, "another disk")
    Path.rename = refuse
    seen = 0
    def trace(event, arguments):  # every file that is opened, renamed, removed
        global seen
        if event in ("open", "os.rename", "os.remove") and target.rpartition("/")[0] in str(arguments[0]):
            seen += 1
            if seen == int(kill_at):
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(trace)
    def progress(stage, fraction):
        trace("open", (target,))
    model_files.move_models(Path(source), Path(target), progress)
""")


@pytest.mark.skipif(sys.platform == "win32", reason="no such kill on Windows")
def test_a_move_killed_at_any_step_loses_nothing_and_can_be_repeated(source, target, tmp_path):
    kills = 0
    for kill_at in range(1, 100, 3):
        command = [sys.executable, "-c", KILLED, str(ROOT), str(source), str(target), str(kill_at)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        assert contents(source) | contents(target) == CONTENTS
        assert all(content == CONTENTS[name] for name, content in contents(target).items())
        if ended.returncode == 0:
            break
        kills += 1
        for name in contents(target):  # back, so that each round begins alike
            (target / name).replace(source / name)
    assert kills >= 10
    assert contents(target) == CONTENTS
    assert contents(source) == {}
    assert leftovers(source, target) == []
