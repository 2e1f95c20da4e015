"""Runs that are kept on disk, so that other filters, a mesh or a fused surface need no model.

    <root>/<id>/manifest.json     input, settings, batches; "done" when the run has come to its end
    <root>/<id>/<k>.npz           batch k: depth, confidence before filters, cameras, ids (``packing``)
    <root>/<id>/<frame>.png       what the model saw

The oldest runs go when all together would take more than the limit; folders that this add-on did not write never do.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import BadInput
from ..files import manifests, ownership
from ..geometry.projection import BLENDER_FROM_OPENCV
from ..geometry.similarity import Similarity
from ..prediction.batch import Batch
from ..prediction.compression import packed, unpacked
from ..prediction.prediction import Prediction
from ..settings import Settings
from .payload import CameraRecord

VERSION = 2
KIND = "kept-run"  # of folder, for ``ownership``
MANIFEST = "manifest.json"
_CAMERA = {  # ``CameraRecord``
    "name": str, "frame": int, "camera_to_world": [manifests.NUMBER],
    **dict.fromkeys(("fx", "fy", "cx", "cy"), manifests.NUMBER), "width": int, "height": int,
    "image": str, "placement": [manifests.NUMBER], "orientation?": int, "photo?": [int], "video?": str,
    "distortion?": [manifests.NUMBER], "reprojection_error?": manifests.NUMBER,
    "turn?": [manifests.NUMBER], "is_panorama?": bool, "input?": str, "copy?": str,
}  # fmt: skip
_BATCH = {"indices": [int], "names": {"#": str}, "is_metric": bool, "cameras_known": bool, "records": [_CAMERA]}
SCHEMA: dict[str, Any] = {
    "version": int, "name": str, "frame_rate": (None, *manifests.NUMBER), "settings": dict, "batches": [_BATCH],
    "moves?": [manifests.MATRIX], "done?": bool,
}  # fmt: skip
# Of PNG: a third to a half of the time of level 1 by itself, for files of about the same size.
QUICK = (
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
)  # fmt: skip
LOCK = "lock"  # held as long as somebody writes the run


@dataclass
class KeptRun:
    """A run on disk: ``own``, its folder, and ``about``, what its manifest says."""

    own: ownership.Folder
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
        own = ownership.find(root / run, KIND)
        about = {} if own is None else read_manifest(own)
        if own is None or not about.get("done"):
            raise gone
        return cls(own, about)

    @property
    def folder(self) -> Path:
        return self.own.path

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
        """Write a batch and return its bytes; the manifest knows it from the next ``save`` on. Raises OSError."""
        number, prediction = len(self), batch.prediction
        unfiltered = prediction.conf if prediction.unfiltered is None else prediction.unfiltered
        arrays = packed(replace(prediction, conf=unfiltered, descriptors=None))
        if batch.motion is not None and batch.moving is not None:
            arrays["motion"] = np.rint(255.0 * batch.motion).astype(np.uint8)
            arrays["moving"] = np.packbits(batch.moving)
        file = io.BytesIO()
        np.savez(file, **arrays)
        size = self._write(f"{number}.npz", file.getvalue())
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for index, data in zip(batch.indices, threads.map(_png, prediction.images), strict=True):
                size += self._write(self._picture(index).name, data)
        self.about["batches"].append(
            {
                "indices": [int(i) for i in batch.indices],
                "names": {str(number): name for number, name in batch.names.items()},
                "is_metric": bool(prediction.is_metric),
                "cameras_known": bool(prediction.cameras_known),
                "records": [record.to_json() for record in records],
            }
        )
        return size

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
        self._write(MANIFEST, json.dumps(self.about).encode("utf-8"))

    def _write(self, name: str, data: bytes) -> int:
        if self.own.write(name, data) != name:
            raise OSError(f"'{self.folder / name}' is not as it was written")
        return len(data)

    def _whole_file(self, name: str) -> bytes:
        data = self.own.read(name)
        if data is None:
            raise ValueError(f"{name} is not as it was written")
        return data

    def _load(self, number: int, about: dict[str, Any]) -> Batch:
        try:
            images = []
            for index in about["indices"]:
                name = self._picture(index).name
                image = cv2.imdecode(np.frombuffer(self._whole_file(name), np.uint8), cv2.IMREAD_COLOR)
                if image is None:
                    raise ValueError(f"{name} is broken")
                images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            with np.load(io.BytesIO(self._whole_file(f"{number}.npz"))) as arrays:
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


def _png(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a file; raises OSError."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), QUICK)
    if not done:
        raise OSError("an image could not be packed")
    return data.tobytes()


def _moved(prediction: Prediction, move: np.ndarray) -> Prediction:
    """In a world that a (4, 4) similarity of Blender's axes has moved."""
    axes = np.eye(4)
    axes[:3, :3] = BLENDER_FROM_OPENCV
    own = axes.T @ move @ axes
    scale = float(np.cbrt(np.linalg.det(own[:3, :3])))
    return Similarity(scale, own[:3, :3] / scale, own[:3, 3]).apply(prediction)


def read_manifest(own: ownership.Folder) -> dict[str, Any]:
    """The manifest as it was written; empty where it is not so, or another version's."""
    about = manifests.read(own.read(MANIFEST), SCHEMA)
    try:
        batches = about["batches"] if about else []  # each with frames, and a camera for each of them
        has_all = all(batch["indices"] and len(batch["records"]) == len(batch["indices"]) for batch in batches)
        if about and about["version"] == VERSION and has_all:
            Settings.from_strings(about["settings"])
            records = [CameraRecord.from_json(record) for batch in about["batches"] for record in batch["records"]]
            whole = all(
                np.shape(record.camera_to_world) == (16,) and len(record.placement) == 4 and len(record.turn) in (0, 9)
                for record in records
            )
            if whole and all(np.shape(move) == (4, 4) for move in about.get("moves", [])):
                return about
    except (BadInput, TypeError, KeyError, ValueError, AttributeError):
        pass  # of another version's settings, or cameras without their fields
    return {}
