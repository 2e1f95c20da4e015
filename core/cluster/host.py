"""A loaded model on one card, or on some cores: what Ray's actors are made of. Runs in their processes."""

from __future__ import annotations

import hashlib
import os
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import memory
from ..devices import installed
from ..errors import BadInput
from ..frames import stills
from ..frames.source import FrameSource
from ..frames.video import VideoReader
from ..models import catalogue
from ..monitor import Monitor
from ..prediction.prediction import Cameras, Prediction
from ..settings import Settings

#: Packages whose version must be the same everywhere: another one may give other numbers.
PACKAGES = ("depth-anything-3", "torch", "numpy", "opencv-python", "pillow", "ray")
BLOCK = 1 << 24  # bytes of a file that are read at once


@dataclass(frozen=True)
class Opening:
    """What an actor opens: the arguments of ``open_predictor``; ``stand_in`` as the worker's ``--predictor``."""

    name: str
    folder: str
    fp16: bool
    device: str | None
    stand_in: str = ""


@dataclass(frozen=True)
class Input:
    """Where an actor finds the frames: ``source`` for images, whose headers were read already; a video is opened anew.

    ``path`` is empty where no file holds what a model sees, as with views cut from panoramas: then images are sent.
    """

    source: FrameSource | None
    path: str
    exposure: float = 0.0

    @classmethod
    def of(cls, frames: FrameSource) -> Input:
        """What can be sent of an input."""
        if isinstance(frames.reader, VideoReader):
            return cls(None, str(frames.paths[0]))
        if not isinstance(frames.reader, stills.StillReader):
            return cls(None, "")
        sent = replace(frames, reader=None, warnings=[], _decoding=None)  # type: ignore[arg-type]  # ``open`` makes one
        return cls(sent, str(frames.paths[0]), frames.reader.exposure)

    def open(self) -> FrameSource:
        """The frames, as the driver has them.

        Raises
        ------
        BadInput
        """
        if not self.path or not Path(self.path).exists():
            raise BadInput(f"'{self.path}' is not there")
        if self.source is None:
            return FrameSource.open(self.path)
        return replace(self.source, reader=stills.StillReader(self.source.paths, self.exposure), held_most=0)


@dataclass(frozen=True)
class Answer:
    """What came of a pass, beside the prediction: frames that cannot be read; whether memory ran out."""

    unreadable: dict[int, str]
    out_of_memory: bool = False


@dataclass(frozen=True)
class About:
    """What an actor says of itself; ``digest`` of the model's file, "" where it needs none; ``free`` bytes."""

    pid: int
    versions: dict[str, str]
    digest: str
    device: str
    free: int | None


class Host:
    """One actor; ``open`` first.

    All arguments and results cross processes: arrays of results lie in Ray's shared memory until the driver takes them.
    """

    def __init__(self) -> None:
        self._predictor: Any = None
        self._frames: FrameSource | None = None

    def open(self, opening: Opening, given: Input) -> About:
        """Load the model.

        Raises
        ------
        MissingModel, BadInput
        """
        frames = given.source or given.open()
        monitor = Monitor()
        folder = Path(opening.folder)
        self._predictor = opener(opening.stand_in)(
            opening.name, folder, frames, monitor, fp16=opening.fp16, device=opening.device
        )
        kind = getattr(self._predictor, "device", "cpu")
        kind = str(getattr(kind, "type", kind))
        return About(os.getpid(), versions(), digest_of(opening), kind, memory.free_memory(kind))

    def attach(self, given: Input) -> bool:
        """Take the input of a job; False where its files are not to be seen from here."""
        try:
            self._frames = given.open()
        except BadInput:
            self._frames = None
        return self._frames is not None

    def compute(
        self, indices: Sequence[int], settings: Settings, cameras: Cameras | None, images: Sequence[np.ndarray] | None
    ) -> tuple[Answer, Prediction | None]:
        """One pass; ``images`` where the files are not to be seen from here.

        Raises
        ------
        DA3Error
            What the predictor raises, but for memory that ran out.
        """
        try:
            if images is None:
                assert self._frames is not None
                readable = self._frames.usable(indices, Monitor())
                if len(readable) < len(indices):
                    return Answer(decoded(self._frames, [i for i in indices if i not in readable])[1]), None
                images = self._frames.images(indices)
            return Answer({}), self._predictor.predict(images, list(indices), settings, cameras)
        except Exception as error:  # what libraries raise for it has no common class
            if not memory.is_out_of_memory(error):
                raise
        free_cache = getattr(self._predictor, "free_cache", None)
        if free_cache is not None:
            free_cache()
        return Answer({}, out_of_memory=True), None


def decoded(frames: FrameSource, indices: Sequence[int]) -> tuple[list[np.ndarray], dict[int, str]]:
    """Images (h, w, 3) of frames, and why others have none, as the end of a sentence."""
    images, lost = [], {}
    for index in indices:
        try:
            images.append(frames.load(index).image)
        except BadInput as error:
            lost[index] = str(error).split(" cannot be read: ", 1)[-1]
    return images, lost


def opener(stand_in: str) -> Any:
    """``core.predictors.opening.open_predictor``, or what a test puts in its place."""
    if stand_in:
        file, _, function = stand_in.rpartition(":")
        return runpy.run_path(file)[function]
    from ..predictors.opening import open_predictor

    return open_predictor


def versions() -> dict[str, str]:
    """Of ``PACKAGES``; "none" for those that are not there."""
    return dict.fromkeys(PACKAGES, "none") | installed.versions(PACKAGES)


def digest_of(opening: Opening) -> str:
    """SHA-256 of the model's file; "" for a model without one.

    Raises
    ------
    MissingModel
    """
    if opening.stand_in and not (Path(opening.folder) / catalogue.find(opening.name).file_name).is_file():
        return ""
    file = catalogue.require(opening.name, Path(opening.folder))
    if file is None:
        return ""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
