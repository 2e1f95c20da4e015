"""Things with names: found in the frames, followed from frame to frame, and brought to the grid of the depth.

Each frame is looked at once, in the frames' order, whichever passes see it: what was found in it is kept. So numbers stay
the same over passes and batches, and a frame that two passes share costs nothing the second time.
"""

from __future__ import annotations

import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import Cancelled, DA3Error
from ..frames.resizing import Placement, on_canvas
from ..frames.source import FrameSource
from ..models import segmentation_catalogue, segmentation_download
from ..monitor import Monitor
from ..prediction.prediction import Cameras, Prediction
from ..prediction.predictor import Predictor
from ..settings import Settings
from .thing import Detector, Thing

STAGE = "segmentation"
SURE = 0.5  # what was seen in one frame only counts from this confidence on: less sure finds are often none
KEPT = 20_000  # frames whose finds are kept, some ten KB each


@dataclass(frozen=True)
class _Seen:
    """A thing as it is kept: its mask packed, the rest as it was found."""

    thing: Thing  # with an empty mask
    shape: tuple[int, int]
    packed: bytes
    area: float  # part of the frame

    @classmethod
    def of(cls, thing: Thing) -> _Seen:
        height, width = thing.mask.shape
        packed = zlib.compress(np.packbits(thing.mask).tobytes(), 1)
        return cls(replace(thing, mask=np.zeros((0, 0), bool)), (height, width), packed, float(thing.mask.mean()))

    def fitted(self, at: Placement) -> np.ndarray:
        """(at.height, at.width) bool: the pixels that the thing covers at least half of.

        So an outline stays where it is to half a pixel, which picking single pixels of a larger mask would not do.
        """
        height, width = self.shape
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        mask = np.unpackbits(bits, count=height * width).reshape(self.shape).astype(np.float32)
        way = cv2.INTER_LINEAR if at.width > width or at.height > height else cv2.INTER_AREA
        return cv2.resize(mask, (at.width, at.height), interpolation=way) >= 0.5


class Segmenter:
    """The things of a run's frames. One for each run: nothing of an earlier one may be left in the tracker.

    Parameters
    ----------
    detector : takes one frame after the other
    frames : the run's
    settings : resolution and resize method, which say where an image lies on the depth's grid
    watch : hears the stage "segmentation"
    """

    def __init__(self, detector: Detector, frames: FrameSource, settings: Settings, monitor: Monitor):
        self.names: dict[int, str] = {}  # of the things that were given out so far: "person_3"
        self.monitor = monitor
        self._detector, self._frames, self._settings = detector, frames, settings
        self._seen: OrderedDict[int, list[_Seen]] = OrderedDict()  # by frame; the largest first
        self._ids: dict[int, int] = {}  # by track
        self._sightings: Counter[int] = Counter()  # of a track
        self._kinds: defaultdict[tuple[int, str], float] = defaultdict(float)  # summed confidence of track and class
        self._found = False

    def resume(self, names: Mapping[int, str]) -> None:
        """Things that an earlier run has given numbers to: new ones get others."""
        self.names = {**names, **self.names}

    def attach(self, prediction: Prediction, indices: Sequence[int]) -> None:
        """Write what the frames show into their prediction: ``object_id``, ``people``, and confidence 1 for people.

        Parameters
        ----------
        prediction : N frames, changed in place
        indices : which frames of the input these are

        Raises
        ------
        Cancelled, BadInput
        """
        self._look_at([i for i in sorted(set(indices)) if i not in self._seen])
        _, height, width = shape = prediction.depth.shape
        ids, people = np.zeros(shape, np.int32), np.zeros(shape, bool)
        headers = [self._frames.headers[i] for i in indices]
        sizes = [(header.width, header.height) for header in headers]
        places = on_canvas((height, width), sizes, self._settings.resolution, self._settings.resize_method)
        for row, (index, at) in enumerate(zip(indices, places, strict=True)):
            # The smaller lies in front: a cup in a hand, not the hand over the cup.
            for seen in self._seen[index]:
                number = self._id(seen.thing)
                if number or seen.thing.is_person:  # somebody who is seen once only has no number, but is in the way
                    mask = seen.fitted(at)
                    people[row, at.rows, at.columns][mask] = seen.thing.is_person
                    if number:
                        ids[row, at.rows, at.columns][mask] = number
        prediction.object_id, prediction.people = ids, people
        prediction.conf[people & (prediction.conf > 0)] = 1.0

    def names_in(self, prediction: Prediction) -> dict[int, str]:
        """Names of the things that a prediction shows, by their number in ``object_id``."""
        if prediction.object_id is None:
            return {}
        numbers = np.unique(prediction.object_id).tolist()
        return {number: self.names.get(number, f"thing_{number}") for number in numbers if number}

    def warnings(self) -> list[str]:
        """What a person should know at the end of the run."""
        if self._found or not self._seen:
            return []
        return [
            f"Segmentation found nothing in any of {len(self._seen)} images: lower the Segmentation Confidence "
            f"({self._settings.seg_confidence:g}), or choose a larger model or one with many classes"
        ]

    def _look_at(self, indices: list[int]) -> None:
        for count, (index, image) in enumerate(zip(indices, self._frames.images(indices), strict=True)):
            self.monitor.progress(STAGE, count / len(indices))
            things = [thing for thing in self._detector.detect(image) if thing.mask.any()]
            for thing in things:
                self._sightings[thing.track] += 1
                self._kinds[thing.track, thing.kind] += thing.score
            self._seen[index] = sorted(map(_Seen.of, things), key=lambda seen: -seen.area)
            self._found |= bool(things)
        while len(self._seen) > max(KEPT, len(indices)):
            self._seen.popitem(last=False)

    def _id(self, thing: Thing) -> int:
        """The number that a thing is given out under; 0 while one unsure sighting is all there is of it."""
        if thing.track not in self._ids:
            if self._sightings[thing.track] < 2 and thing.score < SURE:
                return 0
            self._ids[thing.track] = number = max(self.names, default=0) + 1
            kinds = {kind: sure for (track, kind), sure in self._kinds.items() if track == thing.track}
            self.names[number] = f"{max(kinds, key=lambda kind: kinds[kind])}_{number}"
        return self._ids[thing.track]


class SegmentingPredictor:
    """A predictor whose predictions say what things they show; all else that one may ask of the other goes through."""

    computes_beside = False  # the names so far are asked for between two passes, and its network is on the same card

    def __init__(self, predictor: Predictor, segmenter: Segmenter):
        self.inner, self.segmenter = predictor, segmenter

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass; see ``predictor.Predictor``."""
        prediction = self.inner.predict(images, indices, settings, cameras)
        self.segmenter.attach(prediction, indices)
        return prediction

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def open_segmenter(
    settings: Settings,
    folder: Path,
    frames: FrameSource,
    monitor: Monitor,
    *,
    device: str | None = None,
    online: bool = False,
) -> Segmenter | None:
    """The network that the settings name, with a tracker of its own; ``online``: downloaded where it is missing.

    Returns
    -------
    None where it cannot be had; ``frames.warnings`` then say why, and that the run goes on without.

    Raises
    ------
    Cancelled
    """
    try:
        detector = _detector(settings, folder, frames, monitor, device, online)
    except Cancelled:
        raise
    except DA3Error as error:
        frames.warnings.append(f"{error}. The run goes on without segmentation")
        return None
    return Segmenter(detector, frames, settings, monitor)


def _detector(
    settings: Settings, folder: Path, frames: FrameSource, monitor: Monitor, device: str | None, online: bool
) -> Detector:
    model = segmentation_catalogue.find(settings.seg_model)
    file = segmentation_download.require(model, folder, monitor, online=online)
    if remembered := segmentation_catalogue.check(model, file, monitor.check):
        frames.warnings.append(remembered)
    from ..devices.choosing import choose  # late: brings torch
    from .yolo import YoloDetector

    detector = YoloDetector(file, settings.seg_confidence, str(choose(device).device))
    if not detector.names:
        frames.warnings.append(f"{model.label} has no names for what it finds: things are called class0, class1, ...")
    return detector
