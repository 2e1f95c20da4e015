"""Whatever a person has stays, byte for byte: only what we wrote is ever deleted or replaced."""

import ast
from pathlib import Path

import numpy as np
import payloads
import pytest
from belongings import CASES, PHOTOS, batch, photographs, prediction, state, theirs
from da3_blender.core.errors import BadInput, DA3Error
from da3_blender.core.files import ownership
from da3_blender.core.files.ply import PlyWriter
from da3_blender.core.installer import environment as environments
from da3_blender.core.installer import trash
from da3_blender.core.output import result_files
from da3_blender.core.output.kept_runs import KeptRun
from da3_blender.core.output.run_keeper import KeptWriter
from da3_blender.core.settings import ColmapExport, Settings
from da3_blender.streaming.storage import run_folder as folders
from da3_blender.streaming.storage.chunk_store import Store
from da3_blender.streaming.storage.point_clouds import StreamingFiles

ROOT = Path(__file__).resolve().parents[3]


def stream(output):
    """A streaming run into an output folder from its begin to its end, as ``pipeline`` does it; then another one."""
    for fingerprint in "ab":
        with folders.alone(output / "streaming"):
            store = Store(output / "streaming", fingerprint)
            files = StreamingFiles(output, 1.0)
            store.save([0, 1, 2, 3], prediction())
            store.save([2, 3, 4, 5], prediction())
            again = Store(output / "streaming", fingerprint)
            assert again.chunks == [[0, 1, 2, 3], [2, 3, 4, 5]]
            files.add(again.load(1), [2, 3, 4, 5])
            files.finish(np.eye(4)[None], np.eye(4)[None, :3], np.eye(3)[None])
            if fingerprint == "b":
                again.remove()


def keep(root):
    """Three runs kept in a folder with room for one."""
    for seed in range(3):
        writer = KeptWriter(root, 40_000, "room", None, Settings())
        writer.add(*batch(seed=seed))
        run = writer.finish()
        assert run is not None and writer.warnings == [], writer.warnings
    assert sum(ownership.find(folder, "kept-run") is not None for folder in root.iterdir()) <= 2
    assert len(KeptRun.open(root, run.id)) == 1


def export(output):
    """Result files in each form, twice."""
    for form in (ColmapExport.TEXT, ColmapExport.BINARY):
        settings = Settings(output_folder=str(output), output_point_cloud=True, output_colmap=form)
        with result_files.ResultFiles(settings, "room") as files:
            record = payloads.record(np.eye(3, 4), np.diag([500.0, 500.0, 1.0]), (64, 48))
            files.add([payloads.random_cloud(5)], [record], [(64, 48)])
            written = files.finish()
        assert written and all(path.is_file() for path in written)


def install(folder):
    """An environment made, swept and removed where a person has files."""
    environment = environments.Environment(folder)
    for work in (environment.sweep, environment.install, environment.remove):
        try:
            work()
        except DA3Error as error:
            assert "holds other files" in str(error) or "not installed" in str(error), error


RUNS = {"stream": stream, "keep": keep, "export": export, "install": install}


@pytest.mark.parametrize("case", CASES)
def test_every_byte_of_a_persons_is_still_there(tmp_path, case):
    put, run = CASES[case]
    top = tmp_path / ("worker" if run == "install" else "P")
    top.mkdir()
    put(top)
    before = theirs(tmp_path)
    assert before
    RUNS[run](top)
    after = state(tmp_path)
    assert {path: after.get(path) for path in before} == before


def test_a_run_of_ours_leaves_nothing_behind(tmp_path):
    stream(tmp_path)
    assert not list(tmp_path.glob("*streaming*"))
    export(tmp_path)
    export(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if "-2" in path.name or path.name.endswith(ownership.PART)]


def test_two_clouds_of_one_name_at_once_are_both_whole(tmp_path):
    one, other = (PlyWriter(tmp_path / "room.ply", "DA3") for _ in range(2))
    for writer in (one, other):
        with writer:
            writer.add(np.zeros((5, 3)), np.zeros((5, 3), np.uint8), np.ones(5))
            writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["room.ply"]


def test_a_folder_of_an_environment_that_only_we_filled_goes_and_a_link_to_one_does_not(tmp_path):
    ownership.claim(tmp_path / "a", trash.KIND, ["lib"])
    photographs(tmp_path / "theirs")
    (tmp_path / "a" / "lib" / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert not ownership.remove(tmp_path / "b", trash.KIND)
    assert ownership.remove(tmp_path / "a", trash.KIND)
    assert not (tmp_path / "a").exists()
    assert len(list((tmp_path / "theirs").iterdir())) == PHOTOS


def test_what_lies_beside_an_environment_stays(environment, shelf):
    place = environment.folder.parent
    for suffix in (".part-0123abcd", ".trash-0123abcd", ".cache/.tmpX"):
        photographs(place / f"worker{suffix}")
    before = {path: value for path, value in state(place).items() if path.suffix == ".JPG"}
    environment.sweep()
    environment.install()
    environment.repair()
    environment.remove()
    assert (
        before.items()
        <= state(*(place / f"worker{suffix}" for suffix in (".part-0123abcd", ".trash-0123abcd", ".cache"))).items()
    )


def test_a_folder_that_a_person_filled_is_refused_in_one_sentence(tmp_path):
    photographs(tmp_path)
    with pytest.raises(BadInput, match="did not write: choose another"):
        ownership.claim(tmp_path, "streaming")
    assert len(list(tmp_path.iterdir())) == PHOTOS


# The code ------------------------------------------------------------------------------------------------------------

WAYS = {"rmtree", "unlink", "remove", "removedirs", "rmdir", "replace", "rename", "renames", "move"}
OF_MODULES = {"os", "shutil"}
OF_PATHS = {"rmtree", "unlink", "rmdir", "rename"}  # of anything: no other type here has them but those below
ELSEWHERE = {
    # Blender's collections unlink their children; that is no file.
    "nodes/placing.py": {"unlink"},
    "nodes/scene_cameras.py": {"unlink"},
}


def calls(path):
    """Names of the calls in a file that may delete or replace a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in WAYS - {"replace", "move", "remove"}:
            yield node.func.id
        if isinstance(node.func, ast.Attribute):
            name, on = node.func.attr, node.func.value
            of_module = isinstance(on, ast.Name) and on.id in OF_MODULES and name in WAYS
            # A string's ``replace`` has two arguments, ``dataclasses.replace`` is called by its name.
            of_path = name in OF_PATHS or (name == "replace" and len(node.args) == 1 and not node.keywords)
            if of_module or of_path:
                yield name


@pytest.mark.parametrize("package", ["core", "streaming", "operators", "nodes", "panels"])
def test_nothing_is_deleted_or_replaced_but_by_ownership(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in ("core/files/ownership.py", "core/files/owned_folder.py"):
            assert set(calls(path)) <= ELSEWHERE.get(name, set()), name
