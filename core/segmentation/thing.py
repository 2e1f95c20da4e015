"""What a find in a frame is, and what finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: Last words of the classes that are people. The networks with many classes have names for most of them.
PEOPLE = frozenset(
    "person people human man woman child boy girl baby kid toddler adult teenager pedestrian passerby crowd athlete player "
    "worker soldier policeman policewoman police officer fireman firefighter businessman businesswoman bride groom dancer "
    "skier snowboarder surfer skateboarder cyclist bicyclist biker runner jogger swimmer tourist student teacher doctor nurse "
    "chef waiter waitress musician singer guitarist photographer couple family audience spectator".split()
)


@dataclass(frozen=True)
class Thing:
    """One find in one frame.

    Attributes
    ----------
    mask : (h, w) bool, of the frame's shape, at the frame's size or smaller
    kind : the class's name
    score : how sure the network is, 0 to 1
    track : the same number in every frame for the same thing
    """

    mask: np.ndarray
    kind: str
    score: float
    track: int

    @property
    def is_person(self) -> bool:
        words = self.kind.lower().replace("_", " ").replace("-", " ").split()
        return bool(words) and words[-1] in PEOPLE


class Detector(Protocol):
    """Finds things in frames: ``yolo.YoloDetector``, or a test's ground truth."""

    def detect(self, image: np.ndarray) -> list[Thing]:
        """The things in the next frame; ``image`` (h, w, 3) uint8, RGB, upright."""
        ...
