"""A run's chunks on disk: small, and whole or not there.

    manifest.json       which chunks are whole, which loops were looked at; replaced as one after each
    chunks/00000.npz    cameras, depth and confidence, the latter two as 16 bit logarithms with a range per frame; what each
                        frame looks like, sky, people and tracked things, where the model tells them
    images/000000.jpg   what the model saw

A folder belongs to one input with one set of settings; another run's is emptied.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...core.errors import BadInput, DA3Error
from ...core.output.ply import VERTEX
from ...core.prediction.compression import packed, unpacked
from ...core.prediction.prediction import Prediction

VERSION = 2
MANIFEST = "manifest.json"
QUALITY = 95  # of JPEG; every run sees the images as they come back from disk, so that all runs see the same
CHUNK_BYTES = 4.1  # per pixel of a chunk's frame: depth and confidence
IMAGE_BYTES = 1.0  # per pixel of an image, on the safe side
KEPT = 0.7  # of the pixels, that become points; each is in its chunk's cloud and in the one of all


class Store:
    """The folder of one run.

    Parameters
    ----------
    folder : made if it is not there
    fingerprint : of input and settings; where the folder has another one, it is emptied

    Raises
    ------
    DA3Error
        As every call below: the disk is full, or the folder has gone.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder = folder
        self._manifest: dict[str, Any] = {}
        with self._writing():
            self._manifest = _read(folder / MANIFEST)
            if self._manifest.get("fingerprint") != fingerprint or self._manifest.get("version") != VERSION:
                for part in ("chunks", "images"):
                    shutil.rmtree(folder / part, ignore_errors=True)
                self._manifest = {"version": VERSION, "fingerprint": fingerprint, "chunks": [], "loops": []}
            elif (whole := self._whole()) < len(self._manifest["chunks"]):
                self._manifest |= {"chunks": self._manifest["chunks"][:whole], "loops": []}
            for part in ("chunks", "images"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            self._commit(self._manifest)

    @property
    def chunks(self) -> list[list[int]]:
        """Frames of each whole chunk."""
        return [chunk["frames"] for chunk in self._manifest["chunks"]]

    @property
    def planned(self) -> list[list[int]]:
        """Frames that each whole chunk was asked for; the model may have placed fewer."""
        return [chunk["planned"] for chunk in self._manifest["chunks"]]

    @property
    def cameras_known(self) -> bool:
        """Whether the cameras were given, so that nothing may move a chunk."""
        return any(chunk["cameras_known"] for chunk in self._manifest["chunks"])

    @property
    def notes(self) -> dict[str, Any]:
        """What else is known of the run, plain values; kept by the next ``save`` or ``keep``."""
        return self._manifest

    def keep(self, **notes: Any) -> None:
        """Write plain values into the manifest, as one."""
        with self._writing():
            self._commit({**self._manifest, **notes})

    def save(
        self, frames: Sequence[int], prediction: Prediction, planned: Sequence[int] | None = None, **notes: Any
    ) -> None:
        """Write the next chunk; it counts once all of it is there.

        Parameters
        ----------
        planned : the frames it was asked for
        notes : see ``keep``; what is true with this chunk
        """
        number = len(self._manifest["chunks"])
        known = {i for chunk in self.chunks[-1:] for i in chunk}
        about = {
            "frames": list(map(int, frames)),
            "planned": list(map(int, planned or frames)),
            "is_metric": bool(prediction.is_metric),
            "cameras_known": bool(prediction.cameras_known),
            "scale_known": bool(prediction.scale_known),
        }
        sizes = about["bytes"] = {}  # of its files
        with self._writing():
            for index, image in zip(frames, prediction.images, strict=True):
                if index not in known:
                    sizes[self._image(index).name] = _write(self._image(index), _jpeg(image))
            with self._chunk(number).open("wb") as file:
                np.savez(file, **packed(prediction))  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
                sizes[self._chunk(number).name] = file.tell()
            self._commit({**self._manifest, **notes, "chunks": [*self._manifest["chunks"], about]})

    def load(self, number: int) -> Prediction:
        """A chunk as it was saved, to 16 bits."""
        about = self._manifest["chunks"][number]
        try:
            with np.load(self._chunk(number)) as arrays:
                prediction = unpacked(arrays, np.stack([self.image(index) for index in about["frames"]]))
        except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DA3Error(
                f"Chunk {number} in '{self.folder}' cannot be read ({error}): was the folder changed while the run went on?"
            ) from error
        prediction.is_metric, prediction.cameras_known = about["is_metric"], about["cameras_known"]
        prediction.scale_known = about.get("scale_known", True)
        return prediction

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises OSError."""
        data = np.fromfile(self._image(index), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise OSError(f"{self._image(index).name} is broken")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def remove(self) -> None:
        """Take all of it away; a folder that others put files into stays."""
        for part in ("chunks", "images"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: not only ours
            self.folder.rmdir()

    def require_space(self, frames: int, pixels: int, clouds: bool = False) -> None:
        """Look before the long work whether all will fit.

        Parameters
        ----------
        frames : that are still to come
        pixels : of one of them
        clouds : whether point clouds are written beside the chunks

        Raises
        ------
        BadInput
        """
        needed = frames * pixels * (2 * CHUNK_BYTES + IMAGE_BYTES + clouds * 2 * KEPT * VERTEX.itemsize)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise BadInput(
                f"DA3 Streaming needs about {needed / 1e9:.1f} GB in '{self.folder}', where {free / 1e9:.1f} GB are free: "
                "free some space, choose another output folder, or lower Process Resolution"
            )

    def _whole(self) -> int:
        """How many chunks are still as they were written: people clear up, and power cuts leave files without an end."""
        for number, chunk in enumerate(self._manifest["chunks"]):
            for name, size in chunk["bytes"].items():
                try:
                    found = (self.folder / ("images" if name.endswith(".jpg") else "chunks") / name).stat().st_size
                except OSError:
                    return number
                if found != size:
                    return number
        return len(self._manifest["chunks"])

    def _chunk(self, number: int) -> Path:
        return self.folder / "chunks" / f"{number:05d}.npz"

    def _image(self, index: int) -> Path:
        return self.folder / "images" / f"{index:06d}.jpg"

    def _commit(self, manifest: dict[str, Any]) -> None:
        """The manifest is this one from now on, or, should it fail, still the old one."""
        _write(self.folder / MANIFEST, json.dumps(manifest).encode("utf-8"), sync=True)
        self._manifest = manifest

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DA3Error(
                f"The chunks in '{self.folder}' could not be written: {error.strerror or error}. What was built stays; free "
                "some space or choose another output folder, and run again to go on from the last whole chunk"
            ) from error


def _jpeg(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise OSError("an image could not be packed as JPEG")
    return data.tobytes()


def _write(path: Path, data: bytes, sync: bool = False) -> int:
    """Put a file in its place as one; its size in bytes."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    return len(data)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
