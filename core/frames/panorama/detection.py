"""Which photographs are equirectangular panoramas: said by their metadata (GPano), believed where the picture closes."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...files.names import listed
from ..input_files import open_file
from ..source import FrameSource

HEAD_BYTES = 1 << 18  # of a file, among which its XMP is looked for
LOOKED_AT = 3  # panoramas whose pixels are asked; the others of an input are of the same kind
WIDTH = 512  # pixels at which edges are compared: noise and JPEG's blocks are gone there
CLOSED = 1.5  # times the steepest step between neighbouring columns, up to which the two ends are neighbours


def warnings(frames: FrameSource) -> list[str]:
    """Sentences on panoramas, and on photographs that only say so; none where there are neither."""
    if frames.is_video:
        return []
    stated = [index for index in frames.selected if _is_stated(frames, index)]
    open_ones: list[str] = []
    closed: list[str] = []
    for index in stated[:LOOKED_AT]:
        with contextlib.suppress(BadInput):  # what cannot be read is told elsewhere
            (closed if closes(frames.load(index).image) else open_ones).append(frames.names[index])
    rest = [frames.names[index] for index in stated[LOOKED_AT:]]
    (closed if closed or not open_ones else open_ones).extend(rest)
    said = []
    if closed:
        said.append(
            f"360-degree panoramas: {listed(closed)}. The models take pictures of one flat view each: cut them into such "
            "views, or leave them out; what is made of them as they are is bent"
        )
    if open_ones:
        said.append(
            f"Taken as ordinary photographs: {listed(open_ones)}. The metadata (GPano) says 360-degree panorama, but the "
            "left and the right edge do not meet"
        )
    return said


def closes(image: NDArray[np.uint8]) -> bool:
    """Whether the left edge of an (H, W, 3) image goes on at its right edge, as a full turn does."""
    height = max(2, round(WIDTH * image.shape[0] / image.shape[1]))
    gray = cv2.cvtColor(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    columns = gray.astype(np.float32)
    steps = np.abs(np.diff(columns, axis=1)).mean(axis=0)
    return bool(np.abs(columns[:, 0] - columns[:, -1]).mean() <= CLOSED * steps.max() + 1.0)


def _is_stated(frames: FrameSource, index: int) -> bool:
    header = frames.headers[index]
    if not 1.9 < header.width / header.height < 2.1:  # a whole turn and from pole to pole
        return False
    with contextlib.suppress(OSError), open_file(frames.paths[index]) as file:
        head = file.read(HEAD_BYTES)
        return b"GPano:ProjectionType" in head and b"equirectangular" in head
    return False
