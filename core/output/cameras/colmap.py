"""COLMAP models on disk, binary and text: cameras, images and points3D.

The format is COLMAP's own (its documentation, "Output Format"). COLMAP's pixels and camera axes are this add-on's.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from ...errors import BadInput
from ...files import ownership
from ...frames.lens.bending import FISHEYE, PERSPECTIVE, Lens

KIND = "colmap"  # of folder, for ``ownership``
PINHOLE, EQUIRECTANGULAR = 1, 17
#: By number: name, how many parameters, and whether the first is one focal length (else two) before the centre.
MODELS = {
    0: ("SIMPLE_PINHOLE", 3, True), 1: ("PINHOLE", 4, False),
    2: ("SIMPLE_RADIAL", 4, True), 3: ("RADIAL", 5, True), 4: ("OPENCV", 8, False), 5: ("OPENCV_FISHEYE", 8, False),
    6: ("FULL_OPENCV", 12, False), 7: ("FOV", 5, False), 8: ("SIMPLE_RADIAL_FISHEYE", 4, True),
    9: ("RADIAL_FISHEYE", 5, True), 10: ("THIN_PRISM_FISHEYE", 12, False),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16, False), 12: ("SIMPLE_DIVISION", 4, True), 13: ("DIVISION", 5, False),
    14: ("SIMPLE_FISHEYE", 3, True), 15: ("FISHEYE", 4, False), 16: ("EUCM", 6, False), 17: ("EQUIRECTANGULAR", 2, False),
}  # fmt: skip
#: Those that are a pinhole, or one once their distortion is undone.
PINHOLES = frozenset({"SIMPLE_PINHOLE", "PINHOLE", *PERSPECTIVE, *FISHEYE})
#: That make a model, in its two forms and with rigs.
FILES = tuple(
    f"{stem}{suffix}" for stem in ("cameras", "images", "points3D", "rigs", "frames") for suffix in (".bin", ".txt")
)
#: Where a model is looked for, seen from the folder that was chosen.
PLACES = (".", "sparse/0", "sparse", "0")


@dataclass(frozen=True)
class View:
    """One image of a model and its camera."""

    name: str  # of the file, as the model has it: it may stand in a folder
    width: int
    height: int
    intrinsics: np.ndarray  # (3, 3) float64, pixels
    extrinsics: np.ndarray  # (3, 4) float64, world to camera, OpenCV axes
    lens: Lens | None = None  # how it bends lines, which the intrinsics do not say
    is_panorama: bool = False  # equirectangular; the intrinsics are pixels per radian


def write(
    folder: Path, views: Sequence[View], points: np.ndarray, colors: np.ndarray, *, as_text: bool = False
) -> list[Path]:
    """Write a model of pinhole and equirectangular cameras; each file takes its place when it is whole. The files that were written.

    A model of ours in the other form is removed from the folder: COLMAP would read that one instead. Where a person has a
    model there, the next number's folder is taken, as COLMAP does it.

    Parameters
    ----------
    folder : made if it is not there
    views : images with the same intrinsics share a camera
    points : (P, 3), OpenCV axes; without tracks
    colors : (P, 3) uint8, sRGB
    """
    cameras: dict[tuple[float, ...], int] = {}
    keys = [(v.width, v.height, *_parameters(v)) for v in views]
    for key in keys:
        cameras.setdefault(key, len(cameras) + 1)
    poses = [(*_quaternion(v.extrinsics[:, :3]), *v.extrinsics[:, 3].tolist()) for v in views]
    images = [(pose, cameras[key], view.name) for pose, key, view in zip(poses, keys, views, strict=True)]

    if as_text:
        parts = {
            "cameras.txt": _text(
                f"{number} {MODELS[_model(k)][0]} {w} {h} {' '.join(map(repr, k))}"
                for (w, h, *k), number in cameras.items()
            ),
            "images.txt": _text(
                f"{i} {' '.join(map(repr, pose))} {camera} {name}\n" for i, (pose, camera, name) in enumerate(images, 1)
            ),
            "points3D.txt": _text(
                f"{i} {' '.join(map(repr, p))} {' '.join(map(str, c))} 0"
                for i, (p, c) in enumerate(zip(points.astype(np.float64).tolist(), colors.tolist(), strict=True), 1)
            ),
        }
    else:
        parts = {
            "cameras.bin": _counted(
                [
                    struct.pack(f"<IiQQ{len(k)}d", number, _model(k), int(w), int(h), *k)
                    for (w, h, *k), number in cameras.items()
                ]
            ),
            "images.bin": _counted(
                [
                    struct.pack("<I7dI", i, *pose, camera) + os.fsencode(name) + b"\0" + struct.pack("<Q", 0)
                    for i, (pose, camera, name) in enumerate(images, 1)
                ]
            ),
            "points3D.bin": _packed_points(points, colors),
        }  # fmt: skip
    while not _is_free(folder):
        folder = folder.with_name(str(int(folder.name) + 1) if folder.name.isdecimal() else folder.name + "-2")
    folder.mkdir(parents=True, exist_ok=True)
    own = ownership.share(folder, KIND)
    own.remove(name for name in FILES if name not in parts)
    return [folder / own.write(name, content) for name, content in parts.items()]


def _parameters(view: View) -> list[float]:
    """Of a camera as its model wants them."""
    if view.is_panorama:
        return [float(view.width), float(view.height)]
    return view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()


def _model(parameters: Sequence[float]) -> int:
    return PINHOLE if len(parameters) == MODELS[PINHOLE][1] else EQUIRECTANGULAR


def _is_free(folder: Path) -> bool:
    """Whether no file of a model in the folder is another's."""
    own = ownership.find(folder, KIND)
    there = [name for name in FILES if os.path.lexists(folder / name)]
    return all(own is not None and own.owns(name) for name in there)


def read(folder: Path) -> list[View]:
    """The images of a model, in the order of their numbers.

    Parameters
    ----------
    folder : with the model, or a COLMAP project that has it in ``sparse/0``

    Raises
    ------
    BadInput
        There is no model, it cannot be read, or its lenses are no pinholes.
    """
    if not str(folder).strip() or str(folder) == ".":
        raise BadInput("Known Cameras: choose the folder of the COLMAP model")
    for place in PLACES:
        for suffix, read_cameras, read_images in (
            (".bin", _cameras_bin, _images_bin),
            (".txt", _cameras_txt, _images_txt),
        ):
            files = folder / place / f"cameras{suffix}", folder / place / f"images{suffix}"
            if all(file.is_file() for file in files):
                cameras = _reading(files[0], read_cameras)
                images = _reading(files[1], read_images)
                images.sort(key=lambda image: image[0])
                return [_view(files[1], cameras, pose, camera, name) for _, pose, camera, name in images]
    raise BadInput(f"There is no COLMAP model in '{folder}': no cameras.bin and images.bin, nor their .txt forms")


# ------------------------------------------------------------------------------------------------------ reading

T = TypeVar("T")
_Camera = tuple[str, int, int, list[float]]  # model, width, height, parameters
_Image = tuple[int, list[float], int, str]  # number, w x y z of the rotation and translation, camera, name


def _reading(file: Path, reader: Callable[[Path], T]) -> T:
    try:
        return reader(file)
    except (struct.error, ValueError, IndexError, KeyError, EOFError):
        raise BadInput(f"'{file}' is not a COLMAP file, or it is cut off") from None
    except OSError as error:
        raise BadInput(f"'{file}' cannot be read: {error.strerror}") from None


def _cameras_bin(path: Path) -> dict[int, _Camera]:
    cameras = {}
    with path.open("rb") as file:
        for _ in range(_unpack(file, "<Q")[0]):
            number, model, width, height = _unpack(file, "<IiQQ")
            name, count, _ = MODELS[model]
            cameras[number] = name, width, height, list(_unpack(file, f"<{count}d"))
    return cameras


def _images_bin(path: Path) -> list[_Image]:
    images = []
    with path.open("rb") as file:
        for _ in range(_unpack(file, "<Q")[0]):
            number, *pose, camera = _unpack(file, "<I7dI")
            name = bytearray()
            while (byte := file.read(1)) != b"\0":
                if not byte:
                    raise EOFError
                name += byte
            (seen,) = _unpack(file, "<Q")
            file.seek(24 * seen, os.SEEK_CUR)  # x, y and the number of a point
            images.append((number, pose, camera, name.decode("utf-8", "surrogateescape")))
    return images


def _cameras_txt(path: Path) -> dict[int, _Camera]:
    cameras = {}
    for line in _lines(path):
        if line:
            number, name, width, height, *parameters = line.split()
            cameras[int(number)] = name, int(width), int(height), [float(p) for p in parameters]
    return cameras


def _images_txt(path: Path) -> list[_Image]:
    images = []
    lines = iter(_lines(path))
    for line in lines:
        if line:
            number, *pose, camera, name = line.split(maxsplit=9)
            images.append((int(number), [float(p) for p in pose], int(camera), name))
            next(lines, None)  # what the image sees; empty where it sees nothing
    return images


def _lines(path: Path) -> list[str]:
    text = path.read_text("utf-8", "surrogateescape")
    return [line.strip() for line in text.splitlines() if not line.startswith("#")]


def _unpack(file: BinaryIO, form: str) -> tuple:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _view(file: Path, cameras: dict[int, _Camera], pose: list[float], camera: int, name: str) -> View:
    if camera not in cameras:
        raise BadInput(f"'{file}': the image '{name}' has camera {camera}, which the model does not know")
    model, width, height, parameters = cameras[camera]
    if model not in PINHOLES:
        raise BadInput(
            f"'{file}': the camera of '{name}' is a {model}, whose distortion cannot be undone here: undistort the images with "
            "COLMAP's image_undistorter, and use its images and its model"
        )
    single = next(one for known, _, one in MODELS.values() if known == model)
    fx, fy, cx, cy, *bending = parameters[:1] + parameters if single else parameters
    intrinsics = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    extrinsics = np.concatenate([_rotation(np.array(pose[:4])), np.array(pose[4:7])[:, None]], axis=1)
    return View(name, width, height, intrinsics, extrinsics, Lens.of_colmap(model, bending))


# ------------------------------------------------------------------------------------------------------ writing


def _text(lines: Iterator[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _counted(records: list[bytes]) -> bytes:
    return struct.pack("<Q", len(records)) + b"".join(records)


def _packed_points(points: np.ndarray, colors: np.ndarray) -> bytes:
    kind = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")])
    table = np.zeros(len(points), kind)
    table["id"] = np.arange(1, len(points) + 1)
    table["xyz"], table["rgb"] = points, colors
    return struct.pack("<Q", len(points)) + table.tobytes()


# ---------------------------------------------------------------------------------------------------- rotations


def _quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """(w, x, y, z) of a rotation: the eigenvector of Bar-Itzhack's matrix (2000), which also suits rounded input."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    k = np.array([
        [xx - yy - zz, yx + xy, zx + xz, zy - yz],
        [yx + xy, yy - xx - zz, zy + yz, xz - zx],
        [zx + xz, zy + yz, zz - xx - yy, yx - xy],
        [zy - yz, xz - zx, yx - xy, xx + yy + zz],
    ])  # fmt: skip
    x, y, z, w = np.linalg.eigh(k)[1][:, -1].tolist()
    sign = -1.0 if w < 0 else 1.0
    return sign * w, sign * x, sign * y, sign * z


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) of (w, x, y, z), which need not be of unit length."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
