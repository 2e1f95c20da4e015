"""What a person has where the add-on writes: photographs, files and links of the very names it would choose.

For tests and for ``tools/abuse``. ``CASES`` puts each into a folder and says who comes there next: ``stream`` (a streaming
run with this output folder), ``keep`` (runs kept in this folder), ``export`` (result files of a run), or ``install``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import payloads
from da3_blender.core.files import ownership
from da3_blender.core.installer import environment as environments
from da3_blender.core.output.run_keeper import KeptWriter
from da3_blender.core.pipeline import Batch
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import Settings
from da3_blender.streaming.storage.chunk_store import Store

PHOTOS = 14
PHOTO = b"photo"  # how each begins
FOREIGN = {  # manifests that are not ours, or no longer
    "other program": {"name": "my album", "done": True},
    "our fields": {"version": 3, "fingerprint": "a", "chunks": [], "loops": [], "done": True, "batches": []},
    "version before": {
        "version": 2,
        "fingerprint": "a",
        "chunks": [{"frames": [0], "bytes": {"000000.jpg": 3}}],
        "loops": [],
    },
    "kept by version before": {"version": 1, "name": "x", "done": True, "batches": [], "settings": {}},
}
Put = Callable[[Path], object]


def photographs(folder: Path, names: str = "IMG_{:04d}.JPG") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(PHOTOS):
        (folder / names.format(i)).write_bytes(PHOTO + bytes([i]) * 100)


def state(*folders: Path) -> dict[Path, object]:
    """Every file, by the digest of its bytes, and every link, by where it leads."""
    found: dict[Path, object] = {}
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            if path.is_symlink():
                found[path] = path.readlink()
            elif path.is_file():
                found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def theirs(folder: Path) -> dict[Path, object]:
    """``state`` of what is a person's in a folder where runs of ours may lie: photographs and links; all of it, where
    none do."""
    found = state(folder)
    if not any(ownership.find(path, kind) for path in folder.rglob("*") for kind in ("streaming", "kept-run")):
        return found
    return {path: value for path, value in found.items() if path.is_symlink() or path.read_bytes().startswith(PHOTO)}


def prediction(count: int = 4, seed: int = 0) -> Prediction:
    """Random depths of small frames, all cameras at one place."""
    dice = np.random.default_rng(seed)
    depth, conf = (dice.uniform(1, 9, (count, 24, 32)).astype(np.float32) for _ in range(2))
    extrinsics, intrinsics = np.repeat(np.eye(4)[None, :3], count, axis=0), np.repeat(np.eye(3)[None], count, axis=0)
    return Prediction(depth, conf, extrinsics, intrinsics, dice.integers(0, 256, (count, 24, 32, 3), np.uint8))


def batch(seed: int) -> tuple[Batch, list[payloads.CameraRecord]]:
    """Four frames as a run hands them out, and their cameras."""
    records = [payloads.record(np.eye(3, 4), np.eye(3), (32, 24), frame=i, name=f"{i}") for i in range(4)]
    return Batch([0, 1, 2, 3], prediction(4, seed)), records


def at(place: str, names: str = "IMG_{:04d}.JPG") -> Put:
    return lambda top: photographs(top / place, names)


def manifest(place: str, content: object) -> Put:
    def put(top: Path) -> None:
        photographs(top / place)
        (top / place / "manifest.json").write_text(json.dumps(content))

    return put


def link(place: str, target: str = "theirs") -> Put:
    """A link in the place of a folder of ours, to photographs that have our names."""

    def put(top: Path) -> None:
        photographs(top.parent / target, "{:06d}.jpg")
        photographs(top.parent / target / "chunks", "{:05d}.npz")
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        (top / place).symlink_to(top.parent / target, target_is_directory=True)

    return put


def files(*names: str) -> Put:
    """Files of a person's under names of ours."""

    def put(top: Path) -> None:
        for name in names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(b"theirs")

    return put


def file_links(*names: str) -> Put:
    """Links under names of ours, to a photograph."""

    def put(top: Path) -> None:
        photographs(top.parent / "theirs")
        for name in names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).symlink_to(top.parent / "theirs" / "IMG_0000.JPG")

    return put


def both(*puts: Put) -> Put:
    def put(top: Path) -> None:
        for one in puts:
            one(top)

    return put


def inside_ours(place: str, names: str = "IMG_{:04d}.JPG") -> Put:
    """A folder of ours from a run before, into which the person then puts photographs."""

    def put(top: Path) -> None:
        Store(top / "streaming", "old").save([0, 1, 2, 3], prediction())
        photographs(top / "streaming" / place, names)

    return put


def inside_kept(top: Path) -> None:
    """A run of ours, into whose folder the person then puts photographs."""
    writer = KeptWriter(top, 1 << 30, "room", None, Settings())
    writer.add(*batch(seed=8))
    run = writer.finish()
    assert run is not None
    photographs(run.folder)


def instead_of_ours(top: Path) -> None:
    """Photographs in the place of files of ours, under their very names."""
    Store(top / "streaming", "old").save([0, 1, 2, 3], prediction())
    for path in (top / "streaming").rglob("*.jpg"):
        path.write_bytes(b"photo of mine" * 30)


STREAM = "pcd/0_pcd.ply", "combined_pcd.ply", "camera_poses.txt", "intrinsic.txt"
EXPORT = "room.ply", "camera_intrinsics.csv", "calib_room.txt", "calib_room_da3.txt"
SPARSE = [
    f"colmap/sparse/0/{name}"
    for name in ("cameras.bin", "images.txt", "points3D.ply", "rigs.bin", "frames.txt", "images.bin")
]
DONE = {"done": True}
CASES: dict[str, tuple[Put, str]] = {
    "photographs in streaming/images": (at("streaming/images"), "stream"),
    "photographs in streaming/images under our names": (at("streaming/images", "{:06d}.jpg"), "stream"),
    "photographs in streaming/chunks": (at("streaming/chunks"), "stream"),
    "photographs in streaming/chunks under our names": (at("streaming/chunks", "{:05d}.npz"), "stream"),
    "photographs in streaming": (at("streaming"), "stream"),
    "photographs in the output folder": (at("."), "stream"),
    "photographs in streaming-2 too": (both(at("streaming"), at("streaming-2/images")), "stream"),
    "photographs in pcd": (at("pcd"), "stream"),
    "photographs in pcd under our names": (at("pcd", "{}_pcd.ply"), "stream"),
    "a file named streaming": (files("streaming"), "stream"),
    "a file named streaming.lock": (files("streaming.lock", ".streaming.da3-lock"), "stream"),
    "files named as halves": (files("camera_poses.txt.part", "pcd/0_pcd.ply.part", ".manifest.json.part"), "stream"),
    "foreign marker": (files("streaming/.da3-streaming", "streaming/images/1.jpg"), "stream"),
    "photographs put into ours": (inside_ours("images"), "stream"),
    "photographs put into ours under our next names": (inside_ours("images", "{:06d}.jpg"), "stream"),
    "photographs put into ours as chunks": (inside_ours("chunks", "{:05d}.npz"), "stream"),
    "photographs put beside our chunks": (inside_ours("."), "stream"),
    "photographs in the place of ours": (instead_of_ours, "stream"),
    "streaming is a link": (link("streaming"), "stream"),
    "streaming/images is a link": (link("streaming/images"), "stream"),
    "streaming/chunks is a link": (link("streaming/chunks"), "stream"),
    "pcd is a link": (link("pcd"), "stream"),
    "results are links": (file_links(*STREAM), "stream"),
    "streaming's results are theirs": (files(*STREAM), "stream"),
    **{f"stream, manifest: {name}": (manifest("streaming", content), "stream") for name, content in FOREIGN.items()},
    **{f"kept, manifest: {name}": (manifest("holiday", content), "keep") for name, content in FOREIGN.items()},
    "kept, done and a lock": (both(manifest("holiday", DONE), lambda top: (top / "holiday/lock").touch()), "keep"),
    "kept, a lock only": (both(at("holiday"), lambda top: (top / "holiday/lock").touch()), "keep"),
    "kept, a link": (
        both(link("holiday"), lambda top: (top.parent / "theirs/manifest.json").write_text(json.dumps(DONE))), "keep",
    ),
    "kept, photographs beside": (at("."), "keep"),
    "kept, photographs put into a run": (inside_kept, "keep"),
    "results are theirs": (files(*EXPORT), "export"),
    "results are links to theirs": (file_links(*EXPORT), "export"),
    "a COLMAP project of theirs": (files(*SPARSE), "export"),
    "a COLMAP folder is a link": (link("colmap/sparse/0"), "export"),
    "photographs where the environment shall be": (at("."), "install"),
    "a project with pyvenv.cfg": (
        both(
            at("."),
            lambda top: (top / "pyvenv.cfg").write_text("prompt = da3-blender"),
            lambda top: (top / "bin").mkdir(),
        ),
        "install",
    ),
    "with our environment's marker": (
        both(at("."), lambda top: (top / environments.MARKER).write_text('{"lock": "a", "python": "3.13"}')), "install",
    ),
}  # fmt: skip
