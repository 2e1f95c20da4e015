"""What a shot is given beside its scene, by the files' names: the cameras for other programs, each frame's depth, and a graph of
how well the cameras fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files import exr, names
from ..files.names import sequence_numbers
from ..geometry.projection import BLENDER_FROM_OPENCV, homogeneous, invert_rigid
from ..geometry.smoothing import smooth_path
from ..prediction.prediction import Prediction
from .cameras import chan, nuke, transforms_json
from .cameras.colmap import View
from .payload import CameraRecord
from .splats.discs import discs

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

GRAPH = "reprojection_error.png"
WIDTH, HEIGHT = 1280, 480  # pixels of the graph
LEFT, TOP, RIGHT, BOTTOM = 80, 50, 30, 50  # pixels around it
LINES = 5  # across, at most
DARK, GREY, CURVE, MEDIAN = (40, 40, 40), (225, 225, 225), (200, 90, 30), (90, 160, 90)  # blue, green, red


def camera_files(
    cameras: Sequence[CameraRecord], views: Sequence[View], folder: Path, named: Callable[[str], str], reach: int = 0
) -> Mapping[str, str]:
    """transforms.json, a .chan and a .nk.

    Parameters
    ----------
    cameras, views : N of each, the same; the views' names are those of images that have no file
    folder : that they are written into: images are named as seen from there
    named : a file's name, by its ending
    reach : frames before and after, over which the way of those that are one moving camera, .chan and .nk, is smoothed
    """
    paths = [_seen_from(folder, camera.image) or view.name for camera, view in zip(cameras, views, strict=True)]
    numbers, ways = numbers_of(cameras), homogeneous(invert_rigid(np.stack([view.extrinsics for view in views])))
    smooth = invert_rigid(smooth_path(ways, np.array(numbers), reach)[:, :3])
    moving = [replace(view, extrinsics=extrinsics) for view, extrinsics in zip(views, smooth, strict=True)]
    return {
        transforms_json.NAME: transforms_json.text(views, paths),
        named(".chan"): chan.text(moving, numbers),
        named(".nk"): nuke.text(moving, numbers),
    }


def numbers_of(cameras: Sequence[CameraRecord], first: int | None = None) -> list[int]:
    """The frames of the plate: the numbers in the files' names, else counted from 1 at the first frame that was used.

    The timeline has the same, in a scene that begins at frame 1. ``first``: that frame, where it is not among these.
    """
    numbers = None if cameras[0].video else sequence_numbers([camera.name for camera in cameras])
    first = min(camera.frame for camera in cameras) if first is None else first
    return numbers or [1 + camera.frame - first for camera in cameras]


def depth_files(
    prediction: Prediction, things: Mapping[int, str], cameras: Sequence[CameraRecord], first: int
) -> Iterator[tuple[str, bytes]]:
    """An EXR for each of N frames, numbered as the plate.

    ``Z``, z-depth in the scene's unit, 0 where no point is made; ``confidence.V``; ``Normal.X``, ``.Y`` and ``.Z``, of length 1 in
    the scene's axes, to the camera's side, 0 where no point is made; with segmentation, Cryptomatte's channels.

    Parameters
    ----------
    things : names of those in the prediction's ``object_id``
    first : frame of the input that was used first, from which a video is counted
    """
    for k, (camera, depth, conf) in enumerate(zip(cameras, prediction.depth, prediction.conf, strict=True)):
        stem = camera.name
        if camera.video:
            stem = f"{Path(camera.video).stem}_{numbers_of([camera], first)[0]:06d}"
        layers = {"Z": np.where(conf > 0.0, depth, 0.0).astype(np.float32), "confidence.V": conf.astype(np.float32)}
        if prediction.intrinsics is not None and prediction.extrinsics is not None:
            normal = normals(depth, conf, prediction.intrinsics[k], prediction.extrinsics[k])
            layers |= {f"Normal.{axis}": plane for axis, plane in zip("XYZ", np.moveaxis(normal, -1, 0), strict=True)}
        texts: dict[str, str] = {}
        if prediction.object_id is not None:
            matte, texts = exr.cryptomatte(prediction.object_id[k], things)
            layers |= matte
        yield names.file_name("depth/depth_", stem, ".exr"), exr.encode(layers, texts)


def normals(depth: Floats, conf: Floats, intrinsics: Doubles, extrinsics: Doubles) -> Floats:
    """(H, W, 3) float32, of the surface that each pixel of one frame sees, in Blender's axes; see ``discs`` for what is given."""
    found, known = np.zeros((*depth.shape, 3), np.float32), (depth > 0) & (conf > 0)
    own = discs(depth, conf, intrinsics, extrinsics).normal
    v, u = np.nonzero(known)
    rays = np.stack([u + 0.5, v + 0.5, np.ones(len(u))], axis=-1) @ np.linalg.inv(intrinsics).T
    ahead = rays @ (BLENDER_FROM_OPENCV @ invert_rigid(extrinsics)[:, :3]).T
    found[known] = np.where((own * ahead).sum(axis=1, keepdims=True) > 0.0, -own, own)
    return found


def error_graph(cameras: Sequence[CameraRecord]) -> dict[str, bytes]:
    """The error of each frame over its number in the plate as a PNG file, by its name; none where fewer than two are known.

    ``cameras``: N, at least one.
    """
    pairs = sorted(
        (number, camera.reprojection_error)
        for camera, number in zip(cameras, numbers_of(cameras), strict=True)
        if camera.reprojection_error > 0.0
    )
    if len(pairs) < 2:
        return {}
    frames, errors = np.array(pairs).T
    step = _round_step(float(errors.max()) / LINES)
    most = float(step * np.ceil(errors.max() * 1.05 / step))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)

    def y_of(error: float) -> int:
        return round(TOP + high * (1.0 - error / most))

    def write(text: str, x: int, y: int, size: float = 0.5) -> None:
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, DARK, 1, cv2.LINE_AA)

    for error in np.arange(0.0, most + step / 2.0, step).tolist():
        cv2.line(picture, (LEFT, y_of(error)), (LEFT + wide, y_of(error)), GREY, 1)
        write(f"{error:.3g}", 25, y_of(error) + 5)
    across = LEFT + wide * (frames - frames[0]) / (frames[-1] - frames[0])
    for k in np.unique(np.linspace(0, len(frames) - 1, 9).astype(int)).tolist():
        write(f"{int(frames[k])}", int(across[k]) - 18, HEIGHT - BOTTOM + 25)
    median = float(np.median(errors))
    cv2.line(picture, (LEFT, y_of(median)), (LEFT + wide, y_of(median)), MEDIAN, 1, cv2.LINE_AA)
    points = np.stack([across, [y_of(error) for error in errors.tolist()]], axis=-1).round().astype(np.int32)
    cv2.polylines(picture, [points[:, None]], False, CURVE, 2, cv2.LINE_AA)
    write(f"Reprojection error by frame, pixels of the photograph; median {median:.3f}", LEFT, 30, 0.6)
    _, data = cv2.imencode(".png", picture)
    return {GRAPH: data.tobytes()}


def _round_step(least: float) -> float:
    """The next of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(power * part for part in (1.0, 2.0, 5.0, 10.0) if power * part >= least * (1.0 - 1e-9)))


def _seen_from(folder: Path, image: str) -> str:
    if not image:
        return ""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:  # on another drive
        return Path(image).as_posix()
