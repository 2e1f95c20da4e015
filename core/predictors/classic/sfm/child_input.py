"""What the child processes of structure from motion are given: images as files, and what to do with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ....errors import BadInput, DA3Error
from ....frames.frame import Mount, View
from ....monitor import Monitor
from ....prediction.prediction import Cameras
from ....settings import Lens
from . import borders
from .lenses import Size, believable, camera_groups, rungs
from .overlays import Overlays, off_centre
from .side_by_side import MOSTLY, stereo

LONG_SIDE = 1600  # pixels; beyond it features get slower, not better
LEARNED_SIDE = 1024  # pixels; what ALIKED and LightGlue were trained for
FEATURES = 6000  # per image
ASKED = 12  # images that are asked whether they are stereo pictures
EXHAUSTIVE_UP_TO = 40  # images; beyond, only neighbours and images that look alike are matched


@dataclass
class Written:
    """What was written, of each image."""

    originals: list[Size] = field(default_factory=list)  # width and height
    insides: list[borders.Rect] = field(default_factory=list)  # the part of the original that was
    off_centre: float = 0.0  # of the long side, how far bars put the middle away; of the worst size

    @property
    def sizes(self) -> list[Size]:
        """(width, height) of the files."""
        return [_size((right - left, bottom - top), LONG_SIDE, 1.0) for left, top, right, bottom in self.insides]

    @property
    def scales(self) -> list[tuple[float, float]]:
        """Their pixels per original pixel, (x, y)."""
        return [
            (width / (right - left), height / (bottom - top))
            for (width, height), (left, top, right, bottom) in zip(self.sizes, self.insides, strict=True)
        ]

    @property
    def unframed(self) -> list[float]:
        """Of the diagonal of each original, that which was written: EXIF's focal length is that of the photograph in the frame."""
        return [
            float(np.hypot(right - left, bottom - top) / np.hypot(*size))
            for size, (left, top, right, bottom) in zip(self.originals, self.insides, strict=True)
        ]


def write_images(images: Sequence[np.ndarray], folder: Path, monitor: Monitor, unframed: bool = True) -> Written:
    """Files for the child.

    As PGM, twice the bytes of PNG: packing and unpacking took a thirtieth of the whole.
    Where something lies over all images of a size, a mask of it lies beside them, ``overlay WIDTHxHEIGHT.png``, 0 there.
    ``unframed``: without what was put around a photograph.

    Raises
    ------
    BadInput
        Each image holds two pictures, for two eyes.
    """
    found, overlays, plain, twofold = Written(), Overlays(), [], []
    for i, image in enumerate(images):
        monitor.check()
        found.originals.append((image.shape[1], image.shape[0]))
        found.insides.append(borders.inside(image) if unframed else borders.whole(image))
        plain.append(borders.plain_edges(image))
        gray = _write_gray(image, found.insides[i], folder, i)
        overlays.look(gray)
        if i < ASKED:
            twofold.append(stereo(gray))
    if np.mean(twofold) >= MOSTLY:
        raise BadInput(
            "Each image holds two pictures, side by side or one over the other (stereo 3D), which no one camera took: cut the images in the "
            "middle and give one half of each"
        )
    agreed = borders.agreed(found.insides, found.originals, plain)
    for i in (i for i in range(len(agreed)) if agreed[i] != found.insides[i]):
        monitor.check()
        _write_gray(images[i], agreed[i], folder, i)
    found.insides = agreed
    for (width, height), over in overlays.found().items():
        found.off_centre = max(found.off_centre, off_centre(over))
        _write(folder / f"overlay {width}x{height}.png", np.where(over, 0, 255).astype(np.uint8))
    return found


def write_colour(images: Sequence[np.ndarray], insides: Sequence[borders.Rect], folder: Path, monitor: Monitor) -> None:
    for i, image in enumerate(images):
        monitor.check()
        part = _resized(borders.cut(image, insides[i]), LEARNED_SIDE, 2.0)
        _write(folder / f"{i:06d}.color.png", cv2.cvtColor(part, cv2.COLOR_RGB2BGR))


def job(
    sizes: list[tuple[int, int]],
    scales: list[tuple[float, float]],
    focals: Sequence[float | None],
    cameras: Cameras | None,
    lens: Lens = Lens.PER_FRAME,
    views: Sequence[View | None] = (),
    mounts: Sequence[Mount | None] = (),
) -> dict[str, Any]:
    """What ``sfm_process.py`` is told.

    Parameters
    ----------
    sizes, scales : as ``write_images`` gives them
    focals : of the originals, pixels
    cameras : where they are known
    lens : as in ``structure_from_motion``
    views : of images that look into a panorama; these are rigs, and their focal lengths are exact
    mounts : of images whose cameras are mounted on each other; each of these cameras has a lens of its own
    """
    scaled = [f and float(f) * sx for f, (sx, _) in zip(focals, scales, strict=True)]
    if lens is not Lens.FIXED:
        scaled = [believable(f, size) for f, size in zip(scaled, sizes, strict=True)]
    count = len(sizes)
    known, ways = None, rungs(sizes, scaled, lens)
    if cameras is not None:
        alone = [{"images": [i], "focal": None, "width": w, "height": h} for i, (w, h) in enumerate(sizes)]
        ways = [{"name": "known", "groups": alone, "angle": None}]
        known = [
            {
                "extrinsics": cameras.extrinsics[i].tolist(),
                "intrinsics": (np.diag([*scales[i], 1.0]) @ cameras.intrinsics[i]).tolist(),
                "width": sizes[i][0],
                "height": sizes[i][1],
            }
            for i in range(count)
        ]
    found = rigs(sizes, scaled, views)
    if found:
        flat = [k for k in range(count) if not views[k]]
        groups = camera_groups([sizes[k] for k in flat], [scaled[k] for k in flat])
        rest = [{**group, "images": [flat[k] for k in group["images"]]} for group in groups]
        ways = [
            {"name": "rig", "groups": [*(sensor for one in found for sensor in one["sensors"]), *rest], "angle": None}
        ]
    mounted = any(mounts) and not found and cameras is None
    if mounted:
        own = [mount.camera if mount else -1 for mount in mounts]
        ways = [{**way, "groups": _split(way["groups"], own)} for way in ways if way["name"] != "lenses"]
    together = {
        image: (k, number)
        for k, one in enumerate(found)
        for number, frame in enumerate(one["frames"])
        for image in frame
    }
    pairs = [
        (a, b) for a in range(count) for b in range(a + 1, count) if a not in together or together[a] != together.get(b)
    ]
    exhaustive = pairs if count <= EXHAUSTIVE_UP_TO else None
    return {
        "rigs": found,
        "count": count,
        "sizes": sizes,
        "rungs": ways,
        "pairs": exhaustive,
        "features": FEATURES,
        "long_side": max(max(size) for size in sizes),
        "threads": max(1, min(8, os.cpu_count() or 1)),
        "cameras": known,
        "focal_is_known": lens is Lens.FIXED,
        "one_lens": lens is not Lens.PER_FRAME or mounted,
        "moments": [mount.moment if mount else -1 for mount in mounts] if mounted else None,
    }


def _split(groups: list[dict[str, Any]], cameras: Sequence[int]) -> list[dict[str, Any]]:
    """The groups, each as one group for each camera in it."""
    return [
        {**group, "images": [i for i in group["images"] if cameras[i] == camera]}
        for group in groups
        for camera in sorted({cameras[i] for i in group["images"]})
    ]


def rigs(
    sizes: list[tuple[int, int]], focals: Sequence[float | None], views: Sequence[View | None]
) -> list[dict[str, Any]]:
    """The rigs that look into panoramas, one for each size of views.

    Each has ``sensors``: groups of images that share a camera, with ``turn``, 9 numbers from the rig's axes to the camera's;
    and ``frames``: images that were taken at the same moment.
    """
    found = []
    for size in dict.fromkeys(size for size, view in zip(sizes, views, strict=False) if view):
        own = {k: view for k, view in enumerate(views) if view and sizes[k] == size}
        sensors: dict[int, dict[str, Any]] = {}
        frames: dict[int, list[int]] = {}
        for k, view in own.items():
            about = {"focal": focals[k], "width": size[0], "height": size[1], "turn": view.rotation.tolist()}
            sensors.setdefault(view.number, {"images": [], **about})["images"].append(k)
            frames.setdefault(view.panorama, []).append(k)
        found.append({"sensors": list(sensors.values()), "frames": list(frames.values())})
    return found


def _size(size: Size, side: int, most: float) -> Size:
    """With ``side`` pixels on the long side, but never enlarged by more than ``most``."""
    factor = min(most, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _resized(image: np.ndarray, side: int, most: float) -> np.ndarray:
    before = image.shape[1], image.shape[0]
    size = _size(before, side, most)
    if size == before:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if size < before else cv2.INTER_CUBIC)


def _write_gray(image: np.ndarray, inside: borders.Rect, folder: Path, number: int) -> np.ndarray:
    gray = _resized(cv2.cvtColor(borders.cut(image, inside), cv2.COLOR_RGB2GRAY), LONG_SIDE, 1.0)
    _write(folder / f"{number:06d}.pgm", gray)
    return gray


def _write(path: Path, image: np.ndarray) -> None:
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix == ".png" else []
    ok, data = cv2.imencode(path.suffix, image, how)
    if not ok:
        raise DA3Error(
            f"An image of {image.shape[1]} x {image.shape[0]} could not be prepared for structure from motion"
        )
    path.write_bytes(data.tobytes())
