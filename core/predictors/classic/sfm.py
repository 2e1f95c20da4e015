"""Cameras from images: COLMAP's structure from motion, in a child process.

The child can be killed at any moment, so cancelling is instant; a crash in it is an error message; and its memory goes back
when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from ...errors import BadInput, DA3Error
from ...geometry.projection import homogeneous, invert_rigid
from ...monitor import Monitor
from ...prediction.prediction import Cameras

LONG_SIDE = 1600  # pixels; beyond it features get slower, not better
FEATURES = 6000  # per image
EXHAUSTIVE_UP_TO = 40  # images; beyond, only neighbours in order and a web of distant pairs are matched
SEQUENCE_REACH = 8  # images that far apart in the order are matched in a long sequence
SAME_CAMERA = 1.02  # focal lengths within this ratio are one camera's
POLL_SECONDS = 0.05
MODELS_HINT = "use a DA3 model such as DA3 Small"


@dataclass
class SfmResult:
    """Cameras and sparse points of N images.

    The world is the first registered camera's frame, scaled so that the median depth of the sparse points is 1; cameras
    that were given keep their frame.
    """

    registered: np.ndarray  # (N,) bool
    extrinsics: np.ndarray  # (N, 3, 4) float64, world to camera; an unregistered image has its nearest neighbour's
    intrinsics: np.ndarray  # (N, 3, 3) float64, pixels of the original, undistorted image
    distortion: np.ndarray  # (N,) float64, first radial coefficient k1 (COLMAP's SIMPLE_RADIAL), 0 for most
    points: np.ndarray  # (P, 3) float64, world
    errors: np.ndarray  # (P,) float64, mean reprojection error, pixels of the image that COLMAP saw
    observations: np.ndarray  # (M, 2) int64, (image, point): who sees what


def structure_from_motion(
    images: Sequence[np.ndarray],
    focals: Sequence[float | None],
    monitor: Monitor,
    cameras: Cameras | None = None,
) -> SfmResult:
    """Where the images were taken from, and sparse points.

    Parameters
    ----------
    images : N arrays (h, w, 3) uint8, RGB, upright; sizes may differ
    focals : N focal lengths in pixels of those images where EXIF told, or None
    watch : hears stage "cameras"; the child process is gone before ``Cancelled`` leaves this function
    cameras : where they are known: only points are computed

    Raises
    ------
    BadInput
        Fewer than two images, or no two of them overlap.
    DA3Error
        The child process ended unexpectedly.
    """
    if len(images) < 2:
        raise BadInput(
            "The model classic needs two or more overlapping images, and this is one; for a single image " + MODELS_HINT
        )
    with tempfile.TemporaryDirectory(prefix="da3_sfm_") as name:
        folder = Path(name)
        scales = _write_images(images, folder, monitor)
        job = _job(images, scales, focals, cameras)
        (folder / "job.json").write_text(json.dumps(job))
        _run(folder, monitor)
        with np.load(folder / "result.npz") as result:
            raw = dict(result)
    if len(raw["indices"]) < 2:
        raise BadInput(_why_nothing(len(images), raw["pairs"]))
    return _collect(raw, scales, len(images), cameras)


def _why_nothing(count: int, pairs: np.ndarray) -> str:
    both = "these two images" if count == 2 else f"these {count} images"
    if len(pairs) and pairs[:, 2].max() >= 100:  # COLMAP's own least number of matches for a first pair
        return (
            f"The model classic found no depth in {both}: they overlap, but the camera did not move enough between them. "
            f"Take images from different places, or {MODELS_HINT}"
        )
    return f"The model classic found no overlap between {both}; add images in between, or {MODELS_HINT}"


def _write_images(images: Sequence[np.ndarray], folder: Path, monitor: Monitor) -> list[tuple[float, float]]:
    """Files for the child; returns its pixels per original pixel, (x, y) for each image."""
    scales = []
    for i, image in enumerate(images):
        monitor.check()
        height, width = image.shape[:2]
        factor = min(1.0, LONG_SIDE / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if factor < 1.0:
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        ok, data = cv2.imencode(".png", gray, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not ok:
            raise DA3Error(f"Image {i} ({width} x {height}) could not be prepared for structure from motion")
        (folder / f"{i:06d}.png").write_bytes(data.tobytes())
        scales.append((size[0] / width, size[1] / height))
    return scales


def _job(
    images: Sequence[np.ndarray],
    scales: list[tuple[float, float]],
    focals: Sequence[float | None],
    cameras: Cameras | None,
) -> dict[str, Any]:
    sizes = [
        (round(image.shape[1] * sx), round(image.shape[0] * sy)) for image, (sx, sy) in zip(images, scales, strict=True)
    ]
    scaled = [f and float(f) * sx for f, (sx, _) in zip(focals, scales, strict=True)]
    known = None
    groups = camera_groups(sizes, scaled)
    if cameras is not None:
        groups = [{"images": [i], "focal": None, "width": w, "height": h} for i, (w, h) in enumerate(sizes)]
        known = [
            {
                "extrinsics": cameras.extrinsics[i].tolist(),
                "intrinsics": (np.diag([*scales[i], 1.0]) @ cameras.intrinsics[i]).tolist(),
                "width": sizes[i][0],
                "height": sizes[i][1],
            }
            for i in range(len(images))
        ]
    return {
        "count": len(images),
        "groups": groups,
        "pairs": pairs_to_match(len(images)),
        "features": FEATURES,
        "long_side": max(max(size) for size in sizes),
        "threads": max(1, min(8, os.cpu_count() or 1)),
        "cameras": known,
    }


def camera_groups(sizes: Sequence[tuple[int, int]], focals: Sequence[float | None]) -> list[dict[str, Any]]:
    """Which images share one camera: those of one size whose focal lengths agree to 2 %.

    An image that does not know its focal length joins the others of its size if those agree with each other.
    """
    groups: list[dict[str, Any]] = []
    for size in dict.fromkeys(sizes):
        members = [i for i, s in enumerate(sizes) if s == size]
        unknown = [i for i in members if not focals[i]]
        clusters: list[list[int]] = []
        for i in sorted((i for i in members if focals[i]), key=lambda i: focals[i] or 0.0):
            if clusters and (focals[i] or 0.0) <= SAME_CAMERA * (focals[clusters[-1][0]] or 0.0):
                clusters[-1].append(i)
            else:
                clusters.append([i])
        if unknown and len(clusters) == 1:
            clusters[0] += unknown
        elif unknown:
            clusters.append(unknown)
        for cluster in clusters:
            values = [f for f in (focals[i] for i in cluster) if f]
            focal = float(np.median(values)) if values else None
            groups.append({"images": sorted(cluster), "focal": focal, "width": size[0], "height": size[1]})
    return groups


def pairs_to_match(count: int) -> list[tuple[int, int]]:
    """All pairs of few images; of many, neighbours in order and a sparse web that finds a path crossing itself."""
    if count <= EXHAUSTIVE_UP_TO:
        return [(a, b) for a in range(count) for b in range(a + 1, count)]
    pairs = {(a, b) for a in range(count) for b in range(a + 1, min(count, a + 1 + SEQUENCE_REACH))}
    stride = max(2, round(count / 20))
    hubs = range(0, count, stride)
    pairs |= {(min(a, h), max(a, h)) for h in hubs for a in range(0, count, max(1, stride // 2)) if a != h}
    return sorted(pairs)


def _run(folder: Path, monitor: Monitor) -> None:
    """The child, watched until it ends; killed when anything here is raised."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("sfm_process.py")), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    assert process.stdout is not None and process.stdin is not None
    reader = threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            with contextlib.suppress(queue.Empty):
                while True:
                    monitor.progress("cameras", float(json.loads(lines.get_nowait())["fraction"]))
            monitor.check()
            time.sleep(POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdin.close()
        reader.join()
        process.stdout.close()
    if process.returncode != 0 or not (folder / "result.npz").exists():
        raise DA3Error(_how_it_ended(process.returncode, folder / "log.txt"))
    monitor.progress("cameras", 1.0)


def _pass_on(stream: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    for line in stream:
        lines.put(line)


def _how_it_ended(code: int, log: Path) -> str:
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    lines = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    return f"Structure from motion ended unexpectedly ({how}{': ' + lines[0].strip() if lines else ''}); " + (
        "the machine may be out of memory: use fewer or smaller images" if code == -9 else "see the worker's log"
    )


def _collect(
    raw: dict[str, np.ndarray], scales: list[tuple[float, float]], count: int, cameras: Cameras | None
) -> SfmResult:
    """From the child's images to the originals, and into the normalised frame."""
    indices = raw["indices"]
    registered = np.zeros(count, bool)
    registered[indices] = True
    nearest = indices[np.abs(indices[None, :] - np.arange(count)[:, None]).argmin(axis=1)]
    position = {int(index): k for k, index in enumerate(indices)}
    rows = np.array([position[int(i)] for i in nearest])
    extrinsics, distortion = raw["extrinsics"][rows], raw["distortion"][rows]
    unscale = np.array([np.diag([1.0 / scales[i][0], 1.0 / scales[i][1], 1.0]) for i in nearest])
    intrinsics = unscale @ raw["intrinsics"][rows]
    result = SfmResult(
        registered, extrinsics, intrinsics, distortion, raw["points"], raw["errors"], raw["observations"]
    )
    if cameras is None:
        _normalise(result)
    else:
        result.extrinsics, result.intrinsics = cameras.extrinsics.copy(), cameras.intrinsics.copy()
    return result


def _normalise(result: SfmResult) -> None:
    """First registered camera at the origin, median depth of the observations 1."""
    first = result.extrinsics[int(result.registered.argmax())]
    to_first = homogeneous(first)
    extrinsics = result.extrinsics @ np.linalg.inv(to_first)
    points = result.points @ first[:, :3].T + first[:, 3]
    image, point = result.observations.T
    depth = np.einsum("mi,mi->m", extrinsics[image, 2, :3], points[point]) + extrinsics[image, 2, 3]
    scale = 1.0 / float(np.median(depth)) if len(depth) else 1.0
    extrinsics[:, :, 3] = extrinsics[:, :, 3] * scale
    extrinsics[int(result.registered.argmax())] = np.eye(4)[:3]  # exactly, not to rounding
    result.extrinsics, result.points = extrinsics, points * scale


def camera_centres(extrinsics: np.ndarray) -> np.ndarray:
    """(N, 3) positions in the world."""
    return invert_rigid(extrinsics)[:, :, 3]
