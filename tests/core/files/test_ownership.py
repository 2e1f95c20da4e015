"""Whatever a person has stays, byte for byte: only what we wrote is ever deleted or replaced."""

import ast
import json
from pathlib import Path

import numpy as np
import payloads
import pytest
from belongings import FOREIGN, PHOTOS, photographs, state
from da3_blender.core.errors import BadInput, DA3Error
from da3_blender.core.files import ownership
from da3_blender.core.installer import environment as environments
from da3_blender.core.installer import trash
from da3_blender.core.output import result_files
from da3_blender.core.output.kept_runs import KeptRun
from da3_blender.core.output.ply import PlyWriter
from da3_blender.core.output.run_keeper import KeptWriter
from da3_blender.core.prediction.batch import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import ColmapExport, Settings
from da3_blender.streaming.storage import run_folder as folders
from da3_blender.streaming.storage.chunk_store import Store
from da3_blender.streaming.storage.point_clouds import StreamingFiles

ROOT = Path(__file__).resolve().parents[3]


def prediction(count=4, seed=0):
    random = np.random.default_rng(seed)
    depth, conf = (random.uniform(1, 9, (count, 24, 32)).astype(np.float32) for _ in range(2))
    extrinsics, intrinsics = np.repeat(np.eye(4)[None, :3], count, axis=0), np.repeat(np.eye(3)[None], count, axis=0)
    return Prediction(depth, conf, extrinsics, intrinsics, random.integers(0, 256, (count, 24, 32, 3), np.uint8))


def batch(seed):
    made = prediction(4, seed)
    records = [payloads.record(np.eye(3, 4), np.eye(3), (32, 24), frame=i, name=f"{i}") for i in range(4)]
    return Batch([0, 1, 2, 3], made), records


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


def at(place, *names):
    def put(top):
        photographs(top / place, *names)

    return put


def manifest(place, text):
    def put(top):
        photographs(top / place)
        (top / place / "manifest.json").write_text(text if isinstance(text, str) else json.dumps(text))

    return put


def link(place, target="theirs"):
    def put(top):
        photographs(top.parent / target, "{:06d}.jpg")
        photographs(top.parent / target / "chunks", "{:05d}.npz")
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        (top / place).symlink_to(top.parent / target, target_is_directory=True)

    return put


def results_of_theirs(*names):
    def put(top):
        for name in names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(b"theirs")

    return put


def file_link(*names):
    def put(top):
        photographs(top.parent / "theirs")
        for name in names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).symlink_to(top.parent / "theirs" / "IMG_0000.JPG")

    return put


def inside_ours(place, *names):
    """A folder of ours from a run before, into which the person then puts photographs."""

    def put(top):
        Store(top / "streaming", "old").save([0, 1, 2, 3], prediction())
        photographs(top / "streaming" / place, *names)

    return put


def inside_kept(top):
    writer = KeptWriter(top, 1 << 30, "room", None, Settings())
    writer.add(*batch(seed=8))
    photographs(writer.finish().folder)


def instead_of_ours(top):
    """Photographs in the place of files of ours, under their very names."""
    Store(top / "streaming", "old").save([0, 1, 2, 3], prediction())
    for path in (top / "streaming").rglob("*.jpg"):
        path.write_bytes(b"photo of mine" * 30)


STREAM = "pcd/0_pcd.ply", "combined_pcd.ply", "camera_poses.txt", "intrinsic.txt"
EXPORT = "room.ply", "camera_intrinsics.csv", "calib_room.txt", "calib_room_da3.txt"
SPARSE = [
    f"colmap/sparse/0/{n}"
    for n in ("cameras.bin", "images.txt", "points3D.ply", "rigs.bin", "frames.txt", "images.bin")
]
MODEL = '{"done": true}'
CASES = {
    "photographs in streaming/images": (at("streaming/images"), stream),
    "photographs in streaming/images under our names": (at("streaming/images", "{:06d}.jpg"), stream),
    "photographs in streaming/chunks": (at("streaming/chunks"), stream),
    "photographs in streaming/chunks under our names": (at("streaming/chunks", "{:05d}.npz"), stream),
    "photographs in streaming": (at("streaming"), stream),
    "photographs in the output folder": (at("."), stream),
    "photographs in streaming-2 too": (lambda top: (at("streaming")(top), at("streaming-2/images")(top)), stream),
    "photographs in pcd": (at("pcd"), stream),
    "photographs in pcd under our names": (at("pcd", "{}_pcd.ply"), stream),
    "a file named streaming": (results_of_theirs("streaming"), stream),
    "a file named streaming.lock": (results_of_theirs("streaming.lock", ".streaming.da3-lock"), stream),
    "files named as halves": (results_of_theirs("camera_poses.txt.part", "pcd/0_pcd.ply.part", ".manifest.json.part"), stream),
    "foreign marker": (results_of_theirs("streaming/.da3-streaming", "streaming/images/1.jpg"), stream),
    "photographs put into ours": (inside_ours("images"), stream),
    "photographs put into ours under our next names": (inside_ours("images", "{:06d}.jpg"), stream),
    "photographs put into ours as chunks": (inside_ours("chunks", "{:05d}.npz"), stream),
    "photographs put beside our chunks": (inside_ours("."), stream),
    "photographs in the place of ours": (instead_of_ours, stream),
    "streaming is a link": (link("streaming"), stream),
    "streaming/images is a link": (link("streaming/images"), stream),
    "streaming/chunks is a link": (link("streaming/chunks"), stream),
    "pcd is a link": (link("pcd"), stream),
    "results are links": (file_link(*STREAM), stream),
    "streaming's results are theirs": (results_of_theirs(*STREAM), stream),
    **{f"stream, manifest: {name}": (manifest("streaming", text), stream) for name, text in FOREIGN.items()},
    **{f"kept, manifest: {name}": (manifest("holiday", text), keep) for name, text in FOREIGN.items()},
    "kept, done and a lock": (lambda top: (manifest("holiday", MODEL)(top), (top / "holiday/lock").touch()), keep),
    "kept, a lock only": (lambda top: (at("holiday")(top), (top / "holiday/lock").touch()), keep),
    "kept, a link": (lambda top: (link("holiday")(top), (top.parent / "theirs/manifest.json").write_text(MODEL)), keep),
    "kept, photographs beside": (at("."), keep),
    "kept, photographs put into a run": (inside_kept, keep),
    "results are theirs": (results_of_theirs(*EXPORT), export),
    "results are links to theirs": (file_link(*EXPORT), export),
    "a COLMAP project of theirs": (results_of_theirs(*SPARSE), export),
    "a COLMAP folder is a link": (link("colmap/sparse/0"), export),
    "photographs where the environment shall be": (at("."), install),
    "a project with pyvenv.cfg": (
        lambda top: (at(".")(top), (top / "pyvenv.cfg").write_text("prompt = da3-blender"), (top / "bin").mkdir()), install,
    ),
    "with our environment's marker": (
        lambda top: (at(".")(top), (top / environments.MARKER).write_text('{"lock": "a", "python": "3.13"}')), install,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_byte_of_a_persons_is_still_there(tmp_path, case):
    put, run = CASES[case]
    top = tmp_path / "worker" if run is install else tmp_path / "P"
    top.mkdir()
    put(top)
    made_by_us = any(
        ownership.find(folder, kind) for folder in tmp_path.rglob("*") for kind in ("streaming", "kept-run")
    )
    before = {
        path: value
        for path, value in state(tmp_path).items()
        if not made_by_us or path.is_symlink() or path.read_bytes().startswith(b"photo")
    }
    assert before
    run(top)
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
