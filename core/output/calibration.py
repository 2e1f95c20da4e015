"""Cameras as the files for the person have them: at the originals' size, named as their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..files.names import listed, readable
from ..frames.pixels import orientation
from ..geometry.projection import cameras_from_blender
from ..geometry.smoothing import smooth_path
from .cameras import colmap
from .payload import CameraRecord


def original_intrinsics(camera: CameraRecord, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) intrinsics in pixels of the original, (width, height), from those of the processed canvas."""
    left, top, width, height = camera.placement
    sx, sy = size[0] / width, size[1] / height
    return np.array([
        [camera.fx * sx, 0.0, (camera.cx - left) * sx], [0.0, camera.fy * sy, (camera.cy - top) * sy], [0.0, 0.0, 1.0],
    ])  # fmt: skip


def smoothed(cameras: Sequence[CameraRecord], numbers: Sequence[int], reach: int) -> list[CameraRecord]:
    """N cameras of a way without its trembling, in their order; see ``smooth_path``.

    Parameters
    ----------
    numbers : N, when each is; of several at one time the first counts
    """
    times, first, every = np.unique(np.asarray(numbers), return_index=True, return_inverse=True)
    matrices = np.array([np.reshape(cameras[k].camera_to_world, (4, 4)) for k in first.tolist()])
    found = smooth_path(matrices, times, reach)[every.reshape(-1)].reshape(-1, 16).tolist()
    return [replace(camera, camera_to_world=tuple(row)) for camera, row in zip(cameras, found, strict=True)]


def consensus(cameras: Sequence[CameraRecord]) -> dict[str, tuple[float, float]]:
    """Median and standard deviation over the frames of each of ``CameraRecord.intrinsics``, by its name.

    Parameters
    ----------
    cameras : N, at least one; where the photographs' sizes differ, the frames of the commonest count
    """
    chosen = [camera for camera, _ in _commonest(cameras, [camera.photo for camera in cameras])]
    values = np.array([list(camera.intrinsics.values()) for camera in chosen])
    pairs = np.stack([np.median(values, axis=0), values.std(axis=0)], axis=-1).tolist()
    return {key: (median, std) for key, (median, std) in zip(chosen[0].intrinsics, pairs, strict=True)}


def camera_report(cameras: Sequence[CameraRecord], name: str) -> str:
    """What the cameras agree on, to be read by a person; ``cameras``: N, at least one of the input ``name``."""
    chosen = _commonest(cameras, [camera.photo for camera in cameras])
    first, size = chosen[0]
    of_all = f" of {len(cameras)}, whose photographs have the commonest size" if len(chosen) < len(cameras) else ""
    lines = [
        f"Cameras of {readable(name)}: {len(chosen)} frames{of_all}", "",
        f"Processed image, {first.width} x {first.height} pixels (fov in degrees)",
        f"{'':10}{'consensus':>14}{'deviation':>14}",
        *(f"{key:10}{median:14.4f}{std:14.4f}" for key, (median, std) in consensus(cameras).items()),
    ]  # fmt: skip
    if all(size):
        original = _median_original(chosen)
        lines += ["", f"Photograph, {size[0]} x {size[1]} pixels", f"{'':10}{'consensus':>14}"]
        lines += [f"{key:10}{value:14.4f}" for key, value in zip(("fx", "fy", "cx", "cy"), original, strict=True)]
    lines += _error_lines(cameras)
    return "\n".join([*lines, "", "Consensus: median over the frames. Deviation: standard deviation.", ""])


def _error_lines(cameras: Sequence[CameraRecord]) -> list[str]:
    """What a person should know of it; nothing where no error is known."""
    chosen = [camera for camera in cameras if camera.reprojection_error > 0.0]
    if not chosen:
        return []
    errors = np.array([camera.reprojection_error for camera in chosen])
    worst = chosen[int(errors.argmax())]
    return [
        "",
        f"Reprojection error of {len(chosen)} frames, pixels of the photograph: median {np.median(errors):.3f}, "
        f"95 % under {np.percentile(errors, 95):.3f}, largest {errors.max():.3f} ({readable(worst.name)})",
    ]


def calibration(cameras: Sequence[CameraRecord], sizes: Sequence[tuple[int, int]], name: str) -> Mapping[str, str]:
    """The two calibration files by their names: "fx fy cx cy", the median over the frames. Panoramas have none.

    Parameters
    ----------
    cameras : N, at least one
    sizes : N, (width, height) of the originals; where they differ, the frames of the commonest count
    """
    flat = [k for k, camera in enumerate(cameras) if not camera.is_panorama]
    if not flat:
        return {}
    chosen = _commonest([cameras[k] for k in flat], [sizes[k] for k in flat])
    processed = np.median([(c.fx, c.fy, c.cx, c.cy) for c, _ in chosen], axis=0)
    return {
        f"calib_{name}{suffix}.txt": " ".join(f"{value:.6f}" for value in values) + "\n"
        for suffix, values in (("_da3", processed), ("", _median_original(chosen)))
    }


def colmap_views(cameras: Sequence[CameraRecord], sizes: Sequence[tuple[int, int]]) -> list[colmap.View]:
    """The cameras as COLMAP has them: named as their files, and of the files' pixels as they are stored.

    COLMAP pays no heed to EXIF's orientation. A mirrored picture is the exception: no camera sees it as it is stored, and
    it is described upright.

    Parameters
    ----------
    sizes : N, upright (width, height) of the originals
    """
    matrices = np.array([np.reshape(c.camera_to_world, (4, 4)) for c in cameras])
    views = []
    for c, size, extrinsics in zip(cameras, sizes, cameras_from_blender(matrices), strict=True):
        intrinsics = original_intrinsics(c, size)
        if not orientation.mirrors(c.orientation):
            intrinsics, extrinsics = orientation.stored_camera(c.orientation, intrinsics, extrinsics, size)
            size = orientation.turned_size(c.orientation, *size)
        views.append(colmap.View(_file_name(c), *size, intrinsics, extrinsics, is_panorama=c.is_panorama))
    return views


def mirrored(cameras: Sequence[CameraRecord]) -> list[str]:
    """A warning about the files that hold a mirror image of what is to be seen; none where none does."""
    names = [_file_name(c) for c in cameras if orientation.mirrors(c.orientation)]
    if not names:
        return []
    return [
        f"In the COLMAP model {listed(names)} stand upright: the files hold mirror images, which no camera sees. Save them "
        "without EXIF's orientation for COLMAP"
    ]


def _commonest(
    cameras: Sequence[CameraRecord], sizes: Sequence[tuple[int, int]]
) -> list[tuple[CameraRecord, tuple[int, int]]]:
    """Those with the size that most have, and that size."""
    commonest = Counter(sizes).most_common(1)[0][0]
    return [(camera, size) for camera, size in zip(cameras, sizes, strict=True) if size == commonest]


def _median_original(chosen: Sequence[tuple[CameraRecord, tuple[int, int]]]) -> np.ndarray:
    """(4,) median fx fy cx cy in pixels of the originals."""
    matrices = np.median([original_intrinsics(camera, size) for camera, size in chosen], axis=0)
    return np.asarray(matrices[[0, 1, 0, 1], [0, 1, 2, 2]])


def _file_name(camera: CameraRecord) -> str:
    """Of the image; a frame of a video has no file, and goes by the camera's name."""
    path = Path(camera.image)
    return path.name if path.stem == camera.name else camera.name
