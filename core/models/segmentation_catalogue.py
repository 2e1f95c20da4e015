"""The table of segmentation networks, and which of their files are there. Standard library only.

All are Ultralytics' (AGPL-3.0). A file is a pickle inside a zip: its SHA-256 is compared with the one that is written down
here, where one is, before anything reads it, and it is read by a loader that makes no objects but those of a network.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingModel

LICENCE = "AGPL-3.0"
SUFFIX = ".pt"
RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.4.0"  # where Ultralytics publishes its files
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SegModel:
    """One row of the table.

    ``sha256`` is that of the release's file; None where no source for it was found when the table was written. ``bytes``
    is 0 where the size is not known.
    """

    name: str
    label: str
    family: str
    bytes: int = 0
    sha256: str | None = None
    file: Path | None = None  # a person's own network, which is nowhere published

    @property
    def licence(self) -> str:
        return LICENCE

    @property
    def needs_file(self) -> bool:
        return True

    @property
    def file_name(self) -> str:
        return self.name + SUFFIX


_SIZES = {"n": "Nano", "s": "Small", "m": "Medium", "l": "Large", "x": "Extra Large"}


def _coco(family: str, stem: str, size: str, count: int = 0, sha256: str | None = None) -> SegModel:
    """Knows the 80 classes of COCO."""
    return SegModel(f"{stem}{size}-seg", f"{family} {_SIZES[size]}", family, count, sha256)


def _open(version: str, size: str, count: int = 0, sha256: str | None = None) -> SegModel:
    """Knows 4,585 words and needs no prompt."""
    family = f"YOLOE {version}"
    return SegModel(f"yoloe-{version}{size}-seg-pf", f"{family} {_SIZES[size]}, many classes", family, count, sha256)


#: In the order of the panel. Digests: Hugging Face's pointers of Ultralytics/YOLO11 and YOLO26, and the digests that GitHub
#: states for the release's files, as public projects quote them: two sources or more each, one only for v8l and YOLOE 26s.
SEG_MODELS: tuple[SegModel, ...] = (
    _open("11", "s", 27_948_751, "292bdf157a9ec7315f34b567cb93467c5043cd1889a1cc18abbfdeb88d7a948d"),
    _open("11", "m"),
    _open("11", "l"),
    _open("26", "n"),
    _open("26", "s", 32_696_887, "9f0cefea64c48103a917dbc8ea4baf581aaf6ffa286675861dafd6fd04826f50"),
    _open("26", "m"),
    _open("26", "l"),
    _open("26", "x"),
    _coco("YOLO26", "yolo26", "n", 6_719_965, "361fbfabab285c3237700b6bb91d7ecfa602cd945fffda8dbe1242829b71e73f"),
    _coco("YOLO26", "yolo26", "s", 23_467_933, "3da1d83e31caec96f9300eb4064f4f62882c133c7c264d63dfe61a7c197837a4"),
    _coco("YOLO26", "yolo26", "m", 54_750_385, "16b636f04e8fb6a325b3370f22dc5e5535ff473e384f4d041fd28d788f6ee9f5"),
    _coco("YOLO26", "yolo26", "l", 63_700_037, "636024306410afa1732692322fba57d22ea2b1c2f07613fcee131a93d7dd380c"),
    _coco("YOLO26", "yolo26", "x", 142_129_861, "92b3de0065766a17180d6219858717dc9d03cdce8a3ca9576c97fd75aabb64f3"),
    _coco("YOLO11", "yolo11", "n", 6_182_636, "55ed65c56c91713d23e8402371c6c49a6fd84f257f7dce452e8d70e41dcbe152"),
    _coco("YOLO11", "yolo11", "s"),
    _coco("YOLO11", "yolo11", "m"),
    _coco("YOLO11", "yolo11", "l", 56_096_965, "cabe90049795dfc9a370b7934d6dec7f6b9e44a20e573b0ff81b7e205512c872"),
    _coco("YOLO11", "yolo11", "x", 125_090_821, "4e53a5f5fd3ee2ae3361c62169c6bb3ed4ae251dd0e57606e230955aa52d919c"),
    _coco("YOLOv8", "yolov8", "n", 7_071_756, "a7cd8f929e1903d78a12a48efecab430209f18dc46cb96c3599a5980c63c423c"),
    _coco("YOLOv8", "yolov8", "s"),
    _coco("YOLOv8", "yolov8", "m"),
    _coco("YOLOv8", "yolov8", "l", 92_417_004, "ca3ec94c445aeaf79c2b57982fb451060f18a7561e2c20b4d26bb9dc1fcabf93"),
    _coco("YOLOv8", "yolov8", "x", 144_101_612, "c333d6a7aff884ec821050eacdab29871f3edd10d996cf48746a02f8e01f1b5d"),
)


def find(name: str) -> SegModel:
    """The network of that name, or the person's own where the name is a path that ends in ``.pt``.

    Raises
    ------
    MissingModel
        There is none; the sentence lists those there are.
    """
    for model in SEG_MODELS:
        if model.name == name.strip():
            return model
    path = Path(name.strip()).expanduser()
    if path.suffix == SUFFIX:
        return SegModel(path.stem, path.name, "own", file=path)
    raise MissingModel(
        f"There is no segmentation model '{name}'. Models: {', '.join(m.name for m in SEG_MODELS)}, or the path of a "
        "network of your own (.pt)"
    )


def path(model: SegModel, folder: Path) -> Path:
    """Where the network's file belongs."""
    return model.file or Path(folder) / model.file_name


def digest_of(model: SegModel, folder: Path) -> str | None:
    """SHA-256 that the network's file must have: of the table, else the one that was remembered of the first file.

    Raises
    ------
    MissingModel
        What was remembered cannot be read.
    """
    return model.sha256 or (None if model.file is not None else _remembered(model, folder))


def _remembered(model: SegModel, folder: Path) -> str | None:
    """SHA-256 that was remembered of a file that the table does not know, or that the person took all the same."""
    note = _note(model, folder)
    if not note.is_file():
        return None
    digest = note.read_text("utf-8", errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise MissingModel(f"{note} holds no SHA-256: remove it, and the one of the next file is remembered")
    return digest


def remember(model: SegModel, folder: Path, sha256: str) -> None:
    """Take the file with this SHA-256 for the network from now on; raises OSError."""
    _note(model, folder).write_text(sha256 + "\n", "utf-8")


def known_digests(model: SegModel, folder: Path) -> set[str]:
    """SHA-256 that a file of the network in a folder may have: of the table, and what was remembered; none where neither is."""
    return {digest for digest in (model.sha256, _remembered(model, folder)) if digest}


def sha256_of(file: Path, on_block: Callable[[], None] = lambda: None) -> str:
    """Of the whole file; ``on_block`` is called after each megabyte, and may raise to stop."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            on_block()
    return digest.hexdigest()


def _note(model: SegModel, folder: Path) -> Path:
    """Where the SHA-256 of a network that the table does not know is remembered."""
    return Path(folder) / f"{model.file_name}.sha256"


def check(model: SegModel, file: Path, on_block: Callable[[], None] = lambda: None) -> str:
    """Compare a file with what was written down of it; of one that was not, remember it.

    Returns
    -------
    What was remembered, as a sentence; empty where nothing was.

    Parameters
    ----------
    on_block : called after each megabyte; may raise to stop

    Raises
    ------
    MissingModel
        It is another file, or only a part of it.
    """
    size = file.stat().st_size
    known = set() if model.file is not None else known_digests(model, file.parent)
    if model.bytes and size != model.bytes and known <= {model.sha256}:
        raise MissingModel(
            f"{file.name} in {file.parent} has {size:,} bytes instead of {model.bytes:,}: it is cut off, or not "
            f"{model.label}. Remove it, and it is downloaded again"
        )
    if model.file is not None:
        return ""  # a person's own changes with every training
    found = sha256_of(file, on_block)
    if not known:
        try:
            remember(model, file.parent, found)
        except OSError as error:
            note = _note(model, file.parent)
            return f"The SHA-256 of {file.name} could not be remembered in {note} ({error.strerror}): it is {found}"
        return f"No source states the SHA-256 of {file.name}: {found} is remembered, and another file is refused from now on"
    if found not in known:
        whose = "that Ultralytics published" if model.sha256 else f"that came first ({_note(model, file.parent).name})"
        raise MissingModel(
            f"{file.name} in {file.parent} is not the file {whose} (its SHA-256 differs) and was not "
            "opened: remove it, and it is downloaded again"
        )
    return ""


def is_whole(file: Path) -> bool:
    """Whether this is a zip with all of its entries, as torch writes networks. Reads its table only, and no pickle."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
