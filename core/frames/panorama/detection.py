"""Which pictures are equirectangular panoramas: by their metadata (GPano, spherical video), or by their shape when asked."""

from __future__ import annotations

import contextlib
import re

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...files.names import listed
from ...settings import Panorama
from ..pixels.opening import open_file
from ..source import FrameSource

HEAD_BYTES = 1 << 18  # of a file, among which its XMP is looked for
LOOKED_AT = 3  # panoramas whose pixels are asked; the others of an input are of the same kind
WIDTH = 512  # pixels at which edges are compared: noise and JPEG's blocks are gone there
CLOSED = 1.5  # times the steepest step between neighbouring columns, up to which the two ends are neighbours
SHAPE = 1.9, 2.1  # width over height of a whole turn from pole to pole
#: Adobe's and Google's photo sphere metadata, as attributes or as elements.
GPANO = re.compile(rb"GPano:(\w+)(?:\s*=\s*[\"']|>)([^\"'<]*)")


def find(frames: FrameSource, setting: Panorama) -> set[int]:
    """The selected frames that are panoramas; sentences about them, and about what only says so, go to ``frames.warnings``."""
    shaped = [index for index in frames.selected if _has_shape(frames, index)]
    if setting is Panorama.ALWAYS:
        others = [frames.names[index] for index in frames.selected if index not in set(shaped)]
        if others and not frames.is_video:
            frames.warnings.append(
                f"Taken as ordinary photographs: {listed(others)}. A 360-degree panorama is twice as wide as high"
            )
        elif others:
            frames.warnings.append("The video is taken as it is: a 360-degree video is twice as wide as high")
        return _told(frames, shaped)
    if frames.is_video:
        says_so = bool(getattr(frames.reader, "is_panorama", False))
        return _told(frames, shaped) if says_so and setting is Panorama.AUTOMATIC else set()
    stated = {index: whole for index in shaped if (whole := _stated(frames, index)) is not None}
    if setting is Panorama.NEVER:
        if stated:
            names = listed([frames.names[index] for index in stated])
            frames.warnings.append(f"Taken as ordinary photographs, since Panorama is set to Never: {names}")
        return set()
    closed: list[int] = []
    opened: list[int] = []
    for index in list(stated)[:LOOKED_AT]:
        with contextlib.suppress(BadInput):  # what cannot be read is told elsewhere
            (closed if stated[index] and closes(frames.load(index).image) else opened).append(index)
    for index in list(stated)[LOOKED_AT:]:
        (closed if stated[index] and (closed or not opened) else opened).append(index)
    if opened:
        names = listed([frames.names[index] for index in opened])
        frames.warnings.append(
            f"Taken as ordinary photographs: {names}. The metadata (GPano) says 360-degree panorama, but it is a part of "
            "one, or the left and the right edge do not meet"
        )
    _hint(frames, [index for index in shaped if index not in stated])
    return _told(frames, closed)


def closes(image: NDArray[np.uint8]) -> bool:
    """Whether the left edge of an (H, W, 3) image goes on at its right edge, as a full turn does."""
    height = max(2, round(WIDTH * image.shape[0] / image.shape[1]))
    gray = cv2.cvtColor(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    columns = gray.astype(np.float32)
    steps = np.abs(np.diff(columns, axis=1)).mean(axis=0)
    return bool(np.abs(columns[:, 0] - columns[:, -1]).mean() <= CLOSED * steps.max() + 1.0)


def _told(frames: FrameSource, found: list[int]) -> set[int]:
    if found:
        what = frames.name if frames.is_video else listed([frames.names[index] for index in found])
        frames.warnings.append(f"360-degree panorama{'s' if len(found) > 1 else ''}, cut into flat views: {what}")
    return set(found)


def _hint(frames: FrameSource, shaped: list[int]) -> None:
    """Of a picture of a panorama's shape that says nothing of itself."""
    if not shaped:
        return
    with contextlib.suppress(BadInput):
        if closes(frames.load(shaped[0]).image):
            frames.warnings.append(
                f"{frames.names[shaped[0]]} is twice as wide as high and goes on from edge to edge: if it is a 360-degree "
                "panorama, set Panorama to Always"
            )


def _has_shape(frames: FrameSource, index: int) -> bool:
    header = frames.headers[index]
    return SHAPE[0] < header.width / header.height < SHAPE[1]


def _stated(frames: FrameSource, index: int) -> bool | None:
    """Whether a file says that it is a whole panorama; None where it says nothing, False of a part."""
    with contextlib.suppress(OSError, ValueError), open_file(frames.paths[index]) as file:
        said = {key.decode(): value.strip() for key, value in GPANO.findall(file.read(HEAD_BYTES))}
        if said.get("ProjectionType") != b"equirectangular":
            return None
        pairs = [(f"FullPano{side}Pixels", f"CroppedAreaImage{side}Pixels") for side in ("Width", "Height")]
        return all(int(said[full]) == int(said[cropped]) for full, cropped in pairs if {full, cropped} <= said.keys())
    return None
