"""A run's chunks on disk: small, and whole or not there.

    manifest.json       which chunks are whole, which loops were looked at; replaced as one after each
    chunks/00000.npz    cameras, depth and confidence, the latter two as 16 bit logarithms with a range per frame; what each
                        frame looks like, sky, people and tracked things, where the model tells them
    images/000000.jpg   what the model saw

A folder belongs to one input with one set of settings; of another run's what we wrote there goes. Where a person's files have
the folder's name, or that of a file, another name beside it is taken (``core.files.ownership``).
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ...core.alignment.blending import select
from ...core.errors import BadInput, DA3Error
from ...core.files import manifests, ownership
from ...core.prediction.compression import packed, unpacked
from ...core.prediction.prediction import Prediction
from . import npz_files
from .latest_chunk import Latest, decoded, encoded

VERSION = 3
KIND = "streaming"  # of folder, for ``ownership``
PARTS = ("chunks", "images")
MANIFEST = "manifest.json"
_CHUNK = {
    "frames": [int], "planned": [int], "is_metric": bool, "cameras_known": bool, "scale_known?": bool, "images": {"#": str}, "arrays": str,
}  # fmt: skip
_LOOP = {"frames": [int], "chunks": [int], "matrix": manifests.MATRIX, "information": manifests.MATRIX}
SCHEMA: dict[str, Any] = {
    "version": int, "fingerprint": str, "chunks": [_CHUNK], "loops": [({"frames": [int]}, _LOOP)],
    "batch_size?": int, "warnings?": [str], "names?": {"#": str}, "metric_scale?": manifests.NUMBER,
}  # fmt: skip
CHUNK_BYTES = 4.1  # per pixel of a chunk's frame: depth and confidence
IMAGE_BYTES = 1.0  # per pixel of an image, on the safe side
KEPT = 0.8  # of the pixels, that become points; walk has 0.74. Each is in its chunk's cloud and in the one of all


class Store:
    """The folder of one run.

    Parameters
    ----------
    folder : made if it is not there; where a person has files in it, one beside it is taken, and ``warnings`` says so
    fingerprint : of input and settings; where the folder has another one, it is emptied

    Raises
    ------
    DA3Error
        The disk is full, or the folder cannot be used. Once the run is on its way that ends the storing, not the run:
        ``failure`` says why, and what is at hand then is held in memory.

    Attributes
    ----------
    failure : why nothing can be stored any more; empty as long as it can
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder = folder
        self.warnings: list[str] = []
        self.failure = ""
        self._held: dict[int, Prediction] = {}  # chunks that could not be written
        self._latest = Latest()
        self._manifest: dict[str, Any] = {}
        with self._writing():
            self._own = ownership.claim_beside(folder, KIND, PARTS, private=True)
            self.folder = self._own.path
            if self.folder != folder:
                self.warnings.append(
                    f"'{folder}' holds files that DA3 for Blender did not write: they stay as they are, and the chunks are in "
                    f"'{self.folder}'"
                )
            self._manifest = self._read()
            if not self._manifest and self._own.names:
                self.warnings.append(f"What was kept in '{self.folder}' is not as it was written: the run begins anew")
            if self._manifest.get("fingerprint") != fingerprint or self._manifest.get("version") != VERSION:
                self._own.remove(self._own.names)
                self._manifest = {"version": VERSION, "fingerprint": fingerprint, "chunks": [], "loops": []}
            elif (whole := self._whole()) < len(self._manifest["chunks"]):
                lost = self._manifest["chunks"][whole:]
                self._manifest |= {"chunks": self._manifest["chunks"][:whole], "loops": []}
                self._own.remove(name for chunk in lost for name in _files(chunk))
                self.warnings.append(
                    f"{len(lost)} chunks in '{self.folder}' are not as they were written: they are made again"
                )
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
        self._manifest = {**self._manifest, **notes}
        if not self.failure:
            self._try(lambda: self._commit(self._manifest))

    def save(
        self, frames: Sequence[int], prediction: Prediction, planned: Sequence[int] | None = None, **notes: Any
    ) -> None:
        """Write the next chunk; it counts once all of it is there. One that cannot be written is held in memory.

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
        images: dict[str, str] = {}
        about["images"] = images  # by frame, the new ones
        manifest = {**self._manifest, **notes, "chunks": [*self._manifest["chunks"], about]}

        def write() -> None:
            arrays, seen = packed(prediction), {}
            for index, image in zip(map(int, frames), prediction.images, strict=True):
                if index in known:
                    seen[index] = self.image(index)
                else:
                    data = encoded(image)
                    images[str(index)] = self._own.write(f"images/{index:06d}.jpg", data)
                    seen[index] = decoded(data, index)
            about["arrays"] = self._own.write(f"chunks/{number:05d}.npz", npz_files.file_of(arrays), sync=True)
            self._commit(manifest)
            self._latest = Latest(number, arrays, seen)

        if self.failure or not self._try(write):
            self._held[number], self._manifest = copy.deepcopy(prediction), manifest

    def load(self, number: int, frames: Sequence[int] | None = None) -> Prediction:
        """A chunk as it was saved, to 16 bits; ``frames``: only these, and black for their images."""
        about = self._manifest["chunks"][number]
        rows = [about["frames"].index(index) for index in (about["frames"] if frames is None else frames)]
        if number in self._held:
            return copy.deepcopy(self._held[number] if frames is None else select(self._held[number], rows))
        try:
            images = None if frames is not None else np.stack([self.image(index) for index in about["frames"]])
            with self._arrays(number) as arrays:
                prediction = unpacked(arrays, images, slice(None) if frames is None else rows)
        except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DA3Error(
                f"Chunk {number} in '{self.folder}' cannot be read ({error}): was the folder changed while the run went on?"
            ) from error
        prediction.is_metric, prediction.cameras_known = about["is_metric"], about["cameras_known"]
        prediction.scale_known = about.get("scale_known", True)
        return prediction

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, not to be changed. Raises OSError."""
        if index in self._latest.images:
            return self._latest.images[index]
        names = [chunk["images"].get(str(index)) for chunk in self._manifest["chunks"]]
        name = next(filter(None, names), f"images/{index:06d}.jpg")
        return decoded(self._whole_file(name), PurePath(name).name)

    @contextlib.contextmanager
    def _arrays(self, number: int) -> Iterator[Mapping[str, np.ndarray]]:
        """A chunk's arrays as they are packed, which who reads them may change."""
        if number == self._latest.number:
            yield {name: array.copy() for name, array in self._latest.arrays.items()}
        else:
            with np.load(io.BytesIO(self._whole_file(self._manifest["chunks"][number]["arrays"]))) as arrays:
                yield arrays

    def remove(self) -> None:
        """Take away what this add-on wrote; what others put into the folder stays."""
        self._own.clear()

    def require_space(self, frames: int, pixels: int, beside: float = 0.0) -> None:
        """Look before the long work whether all will fit.

        Parameters
        ----------
        frames : that are still to come
        pixels : of one of them
        beside : bytes per pixel of the result files that are written beside the chunks

        Raises
        ------
        BadInput
        """
        needed = frames * pixels * (2 * CHUNK_BYTES + IMAGE_BYTES + beside)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise BadInput(
                f"DA3 Streaming needs about {needed / 1e9:.1f} GB in '{self.folder}', where {free / 1e9:.1f} GB are free: "
                "free some space, choose another output folder, or lower Process Resolution"
            )

    def _whole(self) -> int:
        """How many chunks are still as they were written: people clear up, and power cuts leave files without an end."""
        for number, chunk in enumerate(self._manifest["chunks"]):
            if any(self._own.read(name) is None for name in _files(chunk)):
                return number
        return len(self._manifest["chunks"])

    def _whole_file(self, name: str) -> bytes:
        data = self._own.read(name, quick=True)  # every byte was looked at when the run began
        if data is None:
            raise OSError(f"{PurePath(name).name} is not as it was written")
        return data

    def _read(self) -> dict[str, Any]:
        """The manifest as it was written last; empty where there is none."""
        names = [name for name in self._own.names if name.startswith("manifest")]
        for data in map(self._own.read, reversed(names)):  # the last name is in use: the ones before became a person's
            found = manifests.read(data, SCHEMA)
            if found and _is_sound(found):
                return found
        return {}

    def _commit(self, manifest: dict[str, Any]) -> None:
        """The manifest is this one from now on, or, should it fail, still the old one."""
        self._own.write(MANIFEST, json.dumps(manifest).encode("utf-8"), sync=True)
        self._manifest = manifest

    def _try(self, work: Callable[[], None]) -> bool:
        """Write something; where that fails, note why."""
        try:
            work()
        except OSError as error:
            self.failure = error.strerror or str(error)
        except ownership.NotOurs as error:
            self.failure = str(error)
        return not self.failure

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DA3Error(
                f"The chunks in '{self.folder}' cannot be written: {error.strerror or error}. Free some space, or choose "
                "another output folder"
            ) from error


def _is_sound(manifest: dict[str, Any]) -> bool:
    """Whether chunks have frames, and loops are of chunks that are there and have matrices of the right shape."""
    chunks = manifest["chunks"]
    images = {int(index) for chunk in chunks for index in chunk["images"]}
    return all(chunk["frames"] and chunk["planned"] and images.issuperset(chunk["frames"]) for chunk in chunks) and all(
        np.shape(loop["frames"]) == (2,)
        and ("matrix" not in loop or (len(loop["chunks"]) == 2 and all(0 <= n < len(chunks) for n in loop["chunks"])))
        and _is_square(loop.get("matrix"), 4)
        and _is_square(loop.get("information"), 7)
        for loop in manifest["loops"]
    )


def _is_square(rows: list[list[float]] | None, size: int) -> bool:
    return rows is None or (len(rows) == size and all(len(row) == size for row in rows))


def _files(chunk: dict[str, Any]) -> list[str]:
    return [chunk["arrays"], *chunk["images"].values()]
