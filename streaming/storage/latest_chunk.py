"""The chunk that was written last, as it would be read back: nearly all that read one want that one, at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 95  # of JPEG; every run sees the images as they come back from disk, so that all runs see the same


@dataclass(frozen=True)
class Latest:
    """A chunk's number, its arrays as ``core.prediction.compression`` packs them, and its frames' images, (H, W, 3) uint8 RGB each."""

    number: int = -1
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    images: Mapping[int, NDArray[Any]] = field(default_factory=dict)


def encoded(image: NDArray[Any]) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG; raises OSError."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise OSError("an image could not be packed as JPEG")
    return bytes(data)


def decoded(data: bytes, name: object) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB, not to be changed; OSError where the image of that name is broken."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise OSError(f"{name} is broken")
    colored: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    colored.flags.writeable = False
    return colored
