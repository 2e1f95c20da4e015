"""The chunk that was written last, as it would be read back: nearly all that read one want that one, at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

QUALITY = 95  # of JPEG; every run sees the images as they come back from disk, so that all runs see the same


@dataclass(frozen=True)
class Latest:
    """A chunk's number, its arrays as ``core.prediction.compression`` packs them, and its frames' images, (H, W, 3) uint8 RGB each."""

    number: int = -1
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    images: Mapping[int, np.ndarray] = field(default_factory=dict)


def encoded(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG; raises OSError."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise OSError("an image could not be packed as JPEG")
    return data.tobytes()


def decoded(data: bytes, name: object) -> np.ndarray:
    """(H, W, 3) uint8 RGB, not to be changed; OSError where the image of that name is broken."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise OSError(f"{name} is broken")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image.flags.writeable = False
    return image
