"""The camera files of a run, by their names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files.names import sequence_numbers
from .cameras import chan, transforms_json
from .cameras.colmap import View
from .payload import CameraRecord


def camera_files(
    cameras: Sequence[CameraRecord], views: Sequence[View], folder: Path, chan_name: str
) -> Mapping[str, str]:
    """transforms.json and a .chan.

    Parameters
    ----------
    cameras, views : N of each, the same; the views' names are those of images that have no file
    folder : that they are written into: images are named as seen from there
    """
    paths = [_seen_from(folder, camera.image) or view.name for camera, view in zip(cameras, views, strict=True)]
    return {
        transforms_json.NAME: transforms_json.text(views, paths),
        chan_name: chan.text(views, numbers_of(cameras)),
    }


def numbers_of(cameras: Sequence[CameraRecord]) -> list[int]:
    """The frames of the plate: the numbers in the files' names, else counted from 1 at the first frame that was used.

    The timeline has the same, in a scene that begins at frame 1.
    """
    numbers = None if cameras[0].video else sequence_numbers([camera.name for camera in cameras])
    first = min(camera.frame for camera in cameras)
    return numbers or [1 + camera.frame - first for camera in cameras]


def _seen_from(folder: Path, image: str) -> str:
    if not image:
        return ""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:  # on another drive
        return Path(image).as_posix()
