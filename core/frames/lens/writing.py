"""Straightened pictures and the maps between them and what the camera took, as files for the person."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from ...files import names, ownership
from ..source import FrameSource
from .straight import StraightReader, stmap

FOLDER = "straight"
#: Of the JPEGs: every pixel keeps its colour.
FORM = cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444


def write(own: ownership.Folder, frames: FrameSource, indices: Sequence[int], told: set[tuple[object, ...]]) -> None:
    """Write those of the frames whose lens distortion was undone; they then are the pictures of their cameras.

    Each camera's first frame gets two distortion maps beside it: ``_undistort.exr`` makes a straight picture of one that
    was taken, ``_redistort.exr`` the other way, to lay a render over it.

    Parameters
    ----------
    told : cameras whose maps are there, to which those written now are added

    Raises
    ------
    OSError
    """
    reader = frames.reader
    if not isinstance(reader, StraightReader):
        return
    folder = own.path / FOLDER
    folder.mkdir(exist_ok=True)

    def put(index: int, ending: str, data: bytes) -> str:
        return str(own.path / own.write(f"{FOLDER}/{names.file_name('', frames.stem(index), ending, folder)}", data))

    for index in indices:
        if (bent := reader.bent.get(index)) is None:
            continue
        picture = cv2.cvtColor(frames.load(index).image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", picture, FORM)
        frames.pictures[index] = put(index, ".jpg", data.tobytes())
        if bent.key not in told:
            told.add(bent.key)
            put(index, "_undistort.exr", stmap(bent.source_of_straight()))
            put(index, "_redistort.exr", stmap(bent.source_of_bent()))
