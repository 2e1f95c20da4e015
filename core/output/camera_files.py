"""What other programs of a shot are given, by the files' names: the cameras, and each frame's depth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import exr, names
from ..files.names import sequence_numbers
from ..prediction.prediction import Prediction
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


def numbers_of(cameras: Sequence[CameraRecord], first: int | None = None) -> list[int]:
    """The frames of the plate: the numbers in the files' names, else counted from 1 at the first frame that was used.

    The timeline has the same, in a scene that begins at frame 1. ``first``: that frame, where it is not among these.
    """
    numbers = None if cameras[0].video else sequence_numbers([camera.name for camera in cameras])
    first = min(camera.frame for camera in cameras) if first is None else first
    return numbers or [1 + camera.frame - first for camera in cameras]


def depth_files(prediction: Prediction, cameras: Sequence[CameraRecord], first: int) -> Iterator[tuple[str, bytes]]:
    """An EXR for each of N frames, numbered as the plate: ``Z``, z-depth in the scene's unit, 0 where no point is made; and
    ``confidence.V``.

    Parameters
    ----------
    first : frame of the input that was used first, from which a video is counted
    """
    for camera, depth, conf in zip(cameras, prediction.depth, prediction.conf, strict=True):
        stem = camera.name
        if camera.video:
            stem = f"{Path(camera.video).stem}_{numbers_of([camera], first)[0]:06d}"
        layers = {"Z": np.where(conf > 0.0, depth, 0.0).astype(np.float32), "confidence.V": conf.astype(np.float32)}
        yield names.file_name("depth/depth_", stem, ".exr"), exr.encode(layers)


def _seen_from(folder: Path, image: str) -> str:
    if not image:
        return ""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:  # on another drive
        return Path(image).as_posix()
