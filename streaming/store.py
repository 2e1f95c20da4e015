"""A run's chunks on disk: small, and whole or not there.

    manifest.json       which chunks are whole, which loops were looked at; replaced as one after each
    chunks/00000.npz    cameras, depth and confidence, the latter two as 16 bit logarithms with a range per frame
    images/000000.jpg   what the model saw

A folder belongs to one input with one set of settings; another run's is emptied.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..core.errors import BadInput, DA3Error
from ..core.frames import FrameSource
from ..core.prediction import Prediction
from ..core.settings import Settings

VERSION = 1
MANIFEST = "manifest.json"
QUALITY = 95  # of JPEG; every run sees the images as they come back from disk, so that all runs see the same
CHUNK_BYTES = 4.1  # per pixel of a chunk's frame: depth and confidence
IMAGE_BYTES = 1.0  # per pixel of an image, on the safe side
OUTPUT_ONLY = ("output_folder", "save_debug")  # settings that a run may change and still go on
LEVELS = 65535


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
            for part in ("chunks", "images"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            self._commit()

    @property
    def chunks(self) -> list[list[int]]:
        """Frames of each whole chunk."""
        return [chunk["frames"] for chunk in self._manifest["chunks"]]

    @property
    def planned(self) -> list[list[int]]:
        """Frames that each whole chunk was asked for; the model may have placed fewer."""
        return [chunk["planned"] for chunk in self._manifest["chunks"]]

    @property
    def notes(self) -> dict[str, Any]:
        """What else is known of the run, plain values; kept by the next ``save`` or ``keep``."""
        return self._manifest

    def keep(self, **notes: Any) -> None:
        """Write plain values into the manifest, as one."""
        self._manifest.update(notes)
        with self._writing():
            self._commit()

    def save(self, frames: Sequence[int], prediction: Prediction, planned: Sequence[int] | None = None) -> None:
        """Write the next chunk; it counts once all of it is there. ``planned``: the frames it was asked for."""
        number = len(self._manifest["chunks"])
        known = {i for chunk in self.chunks[-1:] for i in chunk}
        depth, depth_range = _packed(prediction.depth)
        conf, conf_range = _packed(prediction.conf)
        arrays = {"depth": depth, "depth_range": depth_range, "conf": conf, "conf_range": conf_range}
        for name in ("extrinsics", "intrinsics"):
            if (value := getattr(prediction, name)) is not None:
                arrays[name] = value.astype(np.float64)
        if prediction.sky is not None:
            arrays["sky"] = np.packbits(prediction.sky)
        about = {
            "frames": list(map(int, frames)),
            "planned": list(map(int, planned or frames)),
            "is_metric": bool(prediction.is_metric),
            "cameras_known": bool(prediction.cameras_known),
        }
        with self._writing():
            for index, image in zip(frames, prediction.images, strict=True):
                if index not in known:
                    _write(self._image(index), _jpeg(image))
            with self._chunk(number).open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            self._manifest["chunks"].append(about)
            try:
                self._commit()
            except OSError:
                self._manifest["chunks"].pop()
                raise

    def load(self, number: int) -> Prediction:
        """A chunk as it was saved, to 16 bits."""
        about = self._manifest["chunks"][number]
        try:
            with np.load(self._chunk(number)) as arrays:
                depth = _unpacked(arrays["depth"], arrays["depth_range"])
                conf = _unpacked(arrays["conf"], arrays["conf_range"])
                sky = np.unpackbits(arrays["sky"], count=depth.size) if "sky" in arrays else None
                extrinsics, intrinsics = arrays.get("extrinsics"), arrays.get("intrinsics")
            images = np.stack([self.image(index) for index in about["frames"]])
        except (OSError, ValueError, KeyError) as error:
            raise DA3Error(
                f"Chunk {number} in '{self.folder}' cannot be read ({error}): was the folder changed while the run went on?"
            ) from error
        return Prediction(
            depth,
            conf,
            extrinsics,
            intrinsics,
            images,
            None if sky is None else sky.reshape(depth.shape).astype(bool),
            is_metric=about["is_metric"],
            cameras_known=about["cameras_known"],
        )

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

    def require_space(self, frames: int, pixels: int) -> None:
        """Look before the long work whether all will fit.

        Parameters
        ----------
        frames : that are still to come
        pixels : of one of them

        Raises
        ------
        BadInput
        """
        needed = frames * pixels * (2 * CHUNK_BYTES + IMAGE_BYTES)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise BadInput(
                f"DA3 Streaming needs about {needed / 1e9:.1f} GB in '{self.folder}', where {free / 1e9:.1f} GB are free: "
                "free some space, choose another output folder, or lower Process Resolution"
            )

    def _chunk(self, number: int) -> Path:
        return self.folder / "chunks" / f"{number:05d}.npz"

    def _image(self, index: int) -> Path:
        return self.folder / "images" / f"{index:06d}.jpg"

    def _commit(self) -> None:
        _write(self.folder / MANIFEST, json.dumps(self._manifest).encode("utf-8"), sync=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DA3Error(
                f"The chunks in '{self.folder}' could not be written: {error.strerror or error}. What was built stays; free "
                "some space or choose another output folder, and run again to go on from the last whole chunk"
            ) from error


def fingerprint(frames: FrameSource, settings: Settings) -> str:
    """Of everything that a run's result depends on: the files, by name, size and date, and the settings."""
    files = {frames.paths[i] for i in frames.selected}
    about = []
    for path in sorted(files):
        try:
            stat = path.stat()
        except OSError:  # gone since it was found: reading it will say so
            continue
        about.append((str(path), stat.st_size, stat.st_mtime_ns))
    wanted = {k: v for k, v in settings.to_json().items() if k not in OUTPUT_ONLY}
    text = json.dumps([about, list(frames.selected), wanted], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _packed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) >= 0 as uint16 of the logarithm, 0 for 0, and each frame's range (N, 2): a relative step of 1e-4 or so."""
    packed = np.zeros(values.shape, np.uint16)
    ranges = np.zeros((len(values), 2))
    for i, image in enumerate(values):
        known = image > 0
        if known.any():
            logs = np.log(image, out=np.zeros(image.shape, np.float32), where=known)
            low, high = float(logs[known].min()), float(logs[known].max())
            ranges[i] = low, high
            step = max(high - low, 1e-12) / (LEVELS - 1)
            packed[i] = np.where(known, np.rint((logs - low) / step) + 1, 0).astype(np.uint16)
    return packed, ranges


def _unpacked(packed: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    values = np.zeros(packed.shape, np.float32)
    for i, (low, high) in enumerate(ranges):
        table = np.exp(low + max(high - low, 1e-12) / (LEVELS - 1) * np.arange(-1, LEVELS)).astype(np.float32)
        table[0] = 0.0
        values[i] = table[packed[i]]
    return values


def _jpeg(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise OSError("an image could not be packed as JPEG")
    return data.tobytes()


def _write(path: Path, data: bytes, sync: bool = False) -> None:
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
