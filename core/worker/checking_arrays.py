"""Cameras, and the files of a batch, before Blender takes them in.

Blender believes what ``foreach_set`` is given: one corner that names a vertex which is not there ends it by SIGSEGV. So
every array is read once, in pieces, on the thread that listens to the worker; the main thread never waits for it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from ..output.payload import CameraRecord, Part
from . import protocol
from .checking_values import MOST, check_matrix, number, text, whole, wrong

PIECE = 1 << 20  # rows looked at in one call
#: Dtype and columns of each array that has a row per point or vertex.
ROWS = {
    "position": (np.dtype("<f4"), 3),
    "point_color": (np.dtype("<f4"), 4),
    "conf": (np.dtype("<f4"), 0),
    "depth": (np.dtype("<f4"), 0),
    "motion": (np.dtype("<f4"), 0),
    "frame": (np.dtype("<i4"), 0),
    "object_id": (np.dtype("<i4"), 0),
    "radius": (np.dtype("<f4"), 0),
    "scale": (np.dtype("<f4"), 3),
    "rotation": (np.dtype("<f4"), 4),
    "radiance": (np.dtype("<f4"), 4),
    "error": (np.dtype("<f4"), 0),
    "track_length": (np.dtype("<i4"), 0),
}
SPLATS = ("scale", "rotation", "radiance")  # all three, or none
POINTS = ("position", "point_color", "conf", "frame", "motion", "object_id", "radius", *SPLATS)
TRACKS = ("position", "error", "track_length")
NEEDED = {
    "points": ("position", "point_color", "conf", "frame"), "mesh": ("position", "corners", "point_color"), "tracks": TRACKS
}  # fmt: skip
SIDES = (3, 4)  # of a face


def check_camera(record: Mapping[str, Any], folder: Path) -> None:
    """Raises ProtocolError where it is no camera, or its copy is no file in ``folder``: see ``CameraRecord``."""
    try:
        camera = CameraRecord.from_json(dict(record))
    except (KeyError, TypeError):
        wrong("a camera", record)
    text(camera.name, "the name of a camera")
    text(camera.image, "the image of a camera")
    text(camera.video, "the video of a camera")
    text(camera.input, "the input of a camera")
    if text(camera.copy, "the copy of a camera"):
        _inside(camera.copy, folder)
    whole(camera.frame, 0, MOST, "the frame of a camera")
    check_matrix(camera.camera_to_world, "the pose of a camera")
    for name in ("fx", "fy"):
        number(getattr(camera, name), 1e-3, 1e9, name)
    for name in ("cx", "cy"):
        number(getattr(camera, name), -1e7, 1e7, name)
    for name in ("width", "height"):
        whole(getattr(camera, name), 1, 1_000_000, name)
    if len(camera.placement) != 4:
        wrong("placement", camera.placement)
    for value, least in zip(camera.placement, (-1_000_000, -1_000_000, 1, 1), strict=True):
        whole(value, least, 1_000_000, "placement")
    whole(camera.orientation, 1, 8, "orientation")
    if len(camera.photo) != 2:
        wrong("photo", camera.photo)
    for value in camera.photo:
        whole(value, 0, 1_000_000, "photo")
    if len(camera.distortion) != 3:
        wrong("distortion", camera.distortion)
    for k in camera.distortion:
        number(k, -1e3, 1e3, "distortion")
    number(camera.reprojection_error, 0.0, 1e6, "the reprojection error of a camera")
    if camera.turn or not isinstance(camera.is_panorama, bool):
        wrong("a camera", record)


def check_part(record: Mapping[str, Any], folder: Path) -> None:
    """Raises ProtocolError where a part's record or one of its files, all in ``folder``, cannot be built: see ``Part``."""
    hints = {name: hint for name, hint in get_type_hints(Part).items() if name != "arrays"}
    if not isinstance(record, dict) or record.keys() != {*hints, "kind", "count", "files"}:
        wrong("a part", sorted(map(str, record)))
    for name, hint in hints.items():
        if not protocol.fits(record[name], hint):
            wrong(f"{name} of a part", record[name])
        if isinstance(record[name], str):
            text(record[name], f"{name} of a part")
    if record["frame"] is not None:
        whole(record["frame"], 0, MOST, "the frame of a part")
    if record["packed"]:
        _inside(record["image"], folder)
    files, kind = record["files"], record["kind"]
    if kind not in tuple(NEEDED) or not isinstance(files, dict) or not set(NEEDED[kind]) <= files.keys():
        wrong("the files of a part", files)
    arrays = {name: _open(name, file, folder) for name, file in files.items()}
    count = whole(record["count"], 0, MOST, "the count of a part")
    if kind == "points":
        whole_splats = len(arrays.keys() & set(SPLATS)) in (0, len(SPLATS))
        _require(set(arrays) <= set(POINTS) and whole_splats, "the files of a part", sorted(arrays))
    elif kind == "tracks":
        _require(set(arrays) == set(TRACKS), "the files of a part", sorted(arrays))
    else:
        _check_faces(arrays, count)
    for name, array in arrays.items():
        if name in ROWS:
            _check_rows(name, array, count)


def _check_rows(name: str, array: np.ndarray, count: int) -> None:
    dtype, width = ROWS[name]
    _require(array.dtype == dtype and array.shape == ((count, width) if width else (count,)), name, _form(array))
    if dtype.kind == "f":
        _check_finite(name, array)


def _check_faces(arrays: Mapping[str, np.ndarray], vertices: int) -> None:
    """Every corner names a vertex, every edge two, and the edges are those between the corners."""
    known = {*ROWS, "corners", "uv", "edges", "corner_edges"}
    _require(set(arrays) <= known, "the files of a part", sorted(arrays))
    corners = arrays["corners"]
    _check_indices("corners", corners, vertices)
    _require(corners.shape[1] in SIDES and corners.size <= MOST, "corners", _form(corners))
    if "uv" in arrays:
        uv = arrays["uv"]
        _require(uv.dtype == np.dtype("<f4") and uv.shape == (corners.size, 2), "uv", _form(uv))
        _check_finite("uv", uv)
    _require(("edges" in arrays) == ("corner_edges" in arrays), "the files of a part", sorted(arrays))
    if "edges" not in arrays:
        return
    edges, corner_edges = arrays["edges"], arrays["corner_edges"]
    _check_indices("edges", edges, vertices)
    _require(edges.shape[1] == 2 and corner_edges.shape == corners.shape, "corner_edges", _form(corner_edges))
    _check_indices("corner_edges", corner_edges, len(edges))
    for start in range(0, len(corners), PIECE):
        some = np.asarray(corners[start : start + PIECE])
        following = np.roll(some, -1, axis=1)
        ends = edges[corner_edges[start : start + PIECE]]
        low, high = np.minimum(some, following), np.maximum(some, following)
        right = (ends.min(axis=2) == low).all() and (ends.max(axis=2) == high).all()
        _require(bool(right), "corner_edges", "others than those between the corners")


def _check_indices(name: str, array: np.ndarray, below: int) -> None:
    _require(array.dtype == np.dtype("<i4") and array.ndim == 2, name, _form(array))
    for start in range(0, len(array), PIECE):
        some = array[start : start + PIECE]
        if some.size:
            low, high = int(some.min()), int(some.max())
            _require(low >= 0 and high < below, name, f"between {low} and {high}, of {below}")


def _check_finite(name: str, array: np.ndarray) -> None:
    for start in range(0, len(array), PIECE):
        _require(bool(np.isfinite(array[start : start + PIECE]).all()), name, "not finite everywhere")


def _open(name: Any, file: Any, folder: Path) -> np.ndarray:
    """One array, memory-mapped; nothing is unpickled, and nothing but a plain file of the job is opened."""
    path = _inside(file, folder)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # whatever a damaged header makes of numpy's parser
        raise protocol.ProtocolError(f"{name} cannot be read ({type(error).__name__})") from error
    _require(isinstance(array, np.ndarray) and array.flags.c_contiguous, str(name), "no plain array")
    return array


def _inside(file: Any, folder: Path) -> Path:
    """The path of a plain file that really lies in the job's folder, wherever links lead."""
    try:
        path = Path(os.path.realpath(folder / text(file, "a file"), strict=True))
        inside = path.is_relative_to(os.path.realpath(folder)) and stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise protocol.ProtocolError(f"The file {str(file)[:100]!r} is not there ({error.strerror})") from error
    _require(inside, "a file", file)
    return path


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _require(holds: bool, what: str, value: Any) -> None:
    if not holds:
        wrong(what, value)
