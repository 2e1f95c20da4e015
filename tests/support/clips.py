"""Small videos for tests, of pictures that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np


def write(path: Path, pictures: Sequence[np.ndarray], rate: int = 25, crf: int = 23) -> Path:
    """H.264 of (h, w, 3) uint8 pictures of one even size; ``rate``: frames a second, ``crf``: x264's quality, 0 is without loss."""
    with av.open(str(path), "w") as container:
        options = {"x264-params": "log-level=none", "crf": str(crf)}
        stream = container.add_stream("libx264", rate=rate, options=options)
        (stream.height, stream.width), stream.pix_fmt = pictures[0].shape[:2], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
