"""Runs that are kept on disk, so that other filters, a mesh or a fused surface need no model.

    <root>/<id>/manifest.json     input, settings, batches; "done" when the run has come to its end
    <root>/<id>/<k>.npz           batch k: depth, confidence before filters, cameras, ids (``packing``)
    <root>/<id>/<frame>.png       what the model saw

The oldest runs go when all together would take more than the limit.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import BadInput
from ..files.atomic_write import make_private, write
from ..files.file_lock import file_lock
from ..geometry.projection import BLENDER_FROM_OPENCV
from ..geometry.similarity import Similarity
from ..pipeline import Batch
from ..prediction.compression import packed, unpacked
from ..prediction.prediction import Prediction
from ..settings import Settings
from .payload import CameraRecord

VERSION = 1
MANIFEST = "manifest.json"
# Of PNG: a third to a half of the time of level 1 by itself, for files of about the same size.
QUICK = (
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
)  # fmt: skip
LOCK = "lock"  # held as long as somebody writes the run


class KeptWriter:
    """Keeps a run while it goes on. What goes wrong ends the keeping, not the run: ``warnings`` say so.

    Parameters
    ----------
    root : folder of all kept runs; None keeps nothing
    limit : bytes that all of them may take
    name, frame_rate : of the input
    settings : of the run
    """

    def __init__(self, root: Path | None, limit: int, name: str, frame_rate: float | None, settings: Settings):
        self.warnings: list[str] = []
        self.run: KeptRun | None = None
        self._limit, self._used = limit, 0
        self._lock = contextlib.ExitStack()
        if root is None:
            return
        manifest = {
            "version": VERSION, "name": name, "frame_rate": frame_rate, "settings": settings.to_json(), "batches": [],
        }  # fmt: skip
        try:
            folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
            make_private(folder)
            self._lock.enter_context(file_lock(folder / LOCK))
            self.run = KeptRun(folder, manifest)
            self.run.save()
            _sweep(root, limit, folder)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def add(self, batch: Batch, records: Sequence[CameraRecord]) -> None:
        """Keep a batch as it was sent."""
        if self.run is None:
            return
        try:
            self._used += self.run.add(batch, records)
            if self._used > self._limit:
                self._give_up(f"it takes more than the {self._limit / 1e9:.1f} GB that kept runs may take")
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def finish(self, moves: Sequence[Any] = ()) -> KeptRun | None:
        """The run as it is kept; None where it is not. ``moves``: (4, 4) for each batch, see ``KeptRun.batches``."""
        if self.run is None:
            return None
        try:
            self.run.about["moves"] = [np.asarray(move).tolist() for move in moves]
            self.run.about["done"] = True
            self.run.save()
            self._lock.close()
            _sweep(self.run.folder.parent, self._limit, self.run.folder)
        except OSError as error:
            self._give_up(error.strerror or str(error))
        return self.run

    def discard(self) -> None:
        """Take away what was kept of a run that did not come to its end."""
        self._lock.close()
        if self.run is not None and not self.run.about.get("done"):
            shutil.rmtree(self.run.folder, ignore_errors=True)
            self.run = None

    def _give_up(self, reason: str) -> None:
        self.warnings.append(f"The run could not be kept for Rebuild and Fuse ({reason})")
        if self.run is not None:
            self.run.about["done"] = False
        self.discard()
        self.run = None


@dataclass
class KeptRun:
    """A run on disk: ``folder``, and ``about``, what its manifest says."""

    folder: Path
    about: dict[str, Any]

    @classmethod
    def open(cls, root: Path, run: str) -> KeptRun:
        """The run of that id.

        Raises
        ------
        BadInput
            It is not kept any more, or its files are broken.
        """
        gone = BadInput("This run is not kept any more: generate it again, or let kept runs take more space")
        if not run or Path(run).name != run:
            raise gone
        try:
            about = json.loads((root / run / MANIFEST).read_text("utf-8"))
        except (OSError, ValueError):
            raise gone from None
        if not isinstance(about, dict) or about.get("version") != VERSION or not about.get("done"):
            raise gone
        return cls(root / run, about)

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> Settings:
        """Of the run when it was made."""
        return Settings.from_strings(self.about["settings"])

    @property
    def frames(self) -> int:
        return sum(len(batch["indices"]) for batch in self.about["batches"])

    def __len__(self) -> int:
        """Batches."""
        return len(self.about["batches"])

    def add(self, batch: Batch, records: Sequence[CameraRecord]) -> int:
        """Write a batch and return its bytes; raises OSError."""
        number, prediction = len(self), batch.prediction
        unfiltered = prediction.conf if prediction.unfiltered is None else prediction.unfiltered
        paths = [self.folder / f"{number}.npz"]
        with paths[0].open("wb") as file:
            arrays = packed(replace(prediction, conf=unfiltered, looks=None))
            if batch.motion is not None and batch.moving is not None:
                arrays["motion"] = np.rint(255.0 * batch.motion).astype(np.uint8)
                arrays["moving"] = np.packbits(batch.moving)
            np.savez(file, **arrays)
        for index, image in zip(batch.indices, prediction.images, strict=True):
            paths.append(self._picture(index))
            done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), QUICK)
            if not done:
                raise OSError("an image could not be packed")
            data.tofile(paths[-1])
        self.about["batches"].append(
            {
                "indices": [int(i) for i in batch.indices],
                "names": {str(number): name for number, name in batch.names.items()},
                "is_metric": bool(prediction.is_metric),
                "cameras_known": bool(prediction.cameras_known),
                "records": [record.to_json() for record in records],
            }
        )
        self.save()
        return sum(path.stat().st_size for path in paths)

    def batches(self) -> Iterator[tuple[Batch, list[CameraRecord]]]:
        """Each batch at its final place, one in memory at a time; confidence as before all filters.

        Where a long way's loops were closed at its end, the batches have moved by similarities of Blender's world, which
        are kept with the run.

        Raises
        ------
        BadInput
            A file is missing or broken.
        """
        moves = self.about.get("moves") or []
        for number, about in enumerate(self.about["batches"]):
            batch = self._load(number, about)
            records = [CameraRecord.from_json(record) for record in about["records"]]
            if number < len(moves):
                move = np.array(moves[number])
                batch.prediction = _moved(batch.prediction, move)
                records = [record.moved(move) for record in records]
            yield batch, records

    def pictures(self, indices: Sequence[int]) -> list[str]:
        """Files of what the model saw of these frames."""
        return [str(self._picture(index)) for index in indices]

    def save(self) -> None:
        """Write the manifest; raises OSError."""
        write(self.folder / MANIFEST, json.dumps(self.about).encode("utf-8"))

    def _load(self, number: int, about: dict[str, Any]) -> Batch:
        try:
            images = []
            for index in about["indices"]:
                image = cv2.imdecode(np.fromfile(self._picture(index), np.uint8), cv2.IMREAD_COLOR)
                if image is None:
                    raise ValueError(f"{self._picture(index).name} is broken")
                images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            with np.load(self.folder / f"{number}.npz") as arrays:
                prediction = unpacked(arrays, np.stack(images))
                motion, bits = arrays.get("motion"), arrays.get("moving")
                moving = None if bits is None else np.unpackbits(bits, count=prediction.depth.size)
        except Exception as error:  # zip, zlib, numpy and OpenCV each have their own for a broken file
            raise BadInput(f"What was kept of this run is broken ({error}): generate it again") from error
        prediction.is_metric, prediction.cameras_known = about["is_metric"], about["cameras_known"]
        prediction.unfiltered = prediction.conf.copy()
        return Batch(
            list(about["indices"]), prediction,
            motion=None if motion is None else motion / np.float32(255.0),
            moving=None if moving is None else moving.reshape(prediction.depth.shape).astype(bool),
            names={int(key): name for key, name in about["names"].items()},
        )  # fmt: skip

    def _picture(self, index: int) -> Path:
        return self.folder / f"{index:06d}.png"


def _moved(prediction: Prediction, move: np.ndarray) -> Prediction:
    """In a world that a (4, 4) similarity of Blender's axes has moved."""
    axes = np.eye(4)
    axes[:3, :3] = BLENDER_FROM_OPENCV
    own = axes.T @ move @ axes
    scale = float(np.cbrt(np.linalg.det(own[:3, :3])))
    return Similarity(scale, own[:3, :3] / scale, own[:3, 3]).apply(prediction)


def _sweep(root: Path, limit: int, spare: Path) -> None:
    """Take away runs that were left without an end, and the oldest until all fit into the limit; never ``spare``."""
    used = _size(spare)
    others = sorted((f for f in root.iterdir() if f.is_dir() and f != spare), key=_changed, reverse=True)
    for folder in others:
        if not _is_done(folder):
            if _is_ours(folder) and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        elif used + _size(folder) > limit:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            used += _size(folder)


def _is_ours(folder: Path) -> bool:
    """Whether a folder without a whole run was begun as one: the person may have put others beside them."""
    return (folder / LOCK).is_file()


class _Busy(Exception):
    """Somebody holds a lock."""


def _is_abandoned(folder: Path) -> bool:
    """Whether nobody writes the run any more: its process has ended, however that was."""

    def give_up() -> None:
        raise _Busy

    try:
        with file_lock(folder / LOCK, give_up):
            return True
    except (_Busy, OSError):  # or a file system without locks: then it stays until the person clears the folder
        return False


def _is_done(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_text("utf-8")).get("done"))
    except (OSError, ValueError, AttributeError):
        return False


def _changed(folder: Path) -> float:
    try:
        return max((file.stat().st_mtime for file in folder.iterdir()), default=folder.stat().st_mtime)
    except OSError:  # going away at this moment
        return 0.0


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0
