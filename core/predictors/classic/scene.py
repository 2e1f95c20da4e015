"""One reconstruction for all of an input, found before its passes: their cameras then lie in one frame, with one lens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...files.names import listed
from ...frames.source import FrameSource
from ...monitor import Monitor
from ...prediction.conditioning import fixed_focal, longest_side
from ...settings import Settings
from . import fades
from .sfm import joints
from .sfm.reconstruction import SfmResult, structure_from_motion

ASKEW = 0.02  # of the long side; a middle that is farther off is told


@dataclass(frozen=True)
class Scene:
    """Cameras and sparse points of an input. ``indices``: the frames that have a camera, in order."""

    indices: list[int]
    sfm: SfmResult  # of those frames
    warnings: list[str] = field(default_factory=list)

    def of(self, indices: Sequence[int]) -> SfmResult | None:
        """What is known of a pass's frames; None where one of them has no camera."""
        place = {index: row for row, index in enumerate(self.indices)}
        return self.sfm.of([place[i] for i in indices]) if all(i in place for i in indices) else None

    @property
    def fingerprint(self) -> str:
        """Of the cameras: others give other depth."""
        values = [np.ascontiguousarray(array).tobytes() for array in (self.sfm.extrinsics, self.sfm.intrinsics)]
        return hashlib.sha256(repr(self.indices).encode() + b"".join(values)).hexdigest()


def find(
    frames: FrameSource, indices: Sequence[int], settings: Settings, monitor: Monitor, device: str = "cpu"
) -> Scene:
    """Structure from motion over these frames of an input.

    Raises
    ------
    BadInput
        No two of them have a camera; the sentence says why.
    Cancelled, DA3Error
    """
    usable, fixed = frames.usable(indices, monitor), fixed_focal(settings, frames)
    faded = [usable[row] for row in fades.blended(frames.images(usable), monitor)] if frames.is_video else []
    usable = [i for i in usable if i not in set(faded)]
    own = frames.focals  # exact, of the views into panoramas
    focals = [fixed * longest_side(frames, i) if fixed and i not in frames.views else own[i] for i in usable]
    found = structure_from_motion(
        frames.images(usable), focals, monitor, matching=settings.feature_matching, device=device, lens=settings.lens,
        views=[frames.views.get(i) for i in usable], mounts=[frames.mounted.get(i) for i in usable],
    )  # fmt: skip
    rows = np.flatnonzero(found.registered).tolist()
    placed = [usable[row] for row in rows]
    warnings = _warnings(frames, usable, found)
    if faded:
        one = len(faded) == 1
        warnings.append(
            f"{len(faded)} frame{' is' if one else 's are'} left out in which one scene is faded into another, which would join two places: "
            f"{listed([frames.names[i] for i in faded])}"
        )
    if frames.mounted and not found.holds_mounts:
        warnings.append(
            "Mounted Together had no effect: the images do not fit cameras that keep to each other; did these start together, "
            "and are there as many images of each?"
        )
    if found.off_centre > ASKEW:
        warnings.append(
            f"Bars along the edges put the images' middle {found.off_centre:.0%} away from the lens's, so that the cameras look "
            "askew: cut the bars off"
        )
    placed_only = found.of(rows)
    if not frames.views and not frames.mounted:
        warnings += _joined(frames, placed, placed_only, monitor)
    return Scene(placed, placed_only, warnings)


def _joined(frames: FrameSource, placed: Sequence[int], found: SfmResult, monitor: Monitor) -> list[str]:
    """What is to be said of parts that hang together by little, and probably wrongly; ``found``: of the placed frames."""
    sizes = np.array([(frames.headers[i].width, frames.headers[i].height) for i in placed])
    part = joints.doubtful(found.extrinsics, found.intrinsics, sizes, found.points, found.observations, monitor.check)
    if part is None:
        return []
    return [
        f"{listed([frames.names[placed[i]] for i in part])} and the other images hang together by little, and show next to nothing of what "
        "they should see of each other: they may be two places, or two sides of one, that look alike in part, and then lie wrongly to each "
        "other. Add images in between, or reconstruct them one by one"
    ]


def _warnings(frames: FrameSource, usable: Sequence[int], found: SfmResult) -> list[str]:
    """Which frames have no camera and why: those of one cause together."""
    count = len(found.reasons)
    if not count:
        return []
    causes: dict[str, list[str]] = {}
    for row, reason in found.reasons.items():
        kind = reason.partition(",")[0]
        causes.setdefault(kind, []).append(frames.names[usable[row]])
    told = "; ".join(f"{kind}: {listed(names)}" for kind, names in causes.items())
    apart = ""
    if found.separate:
        sizes = " and ".join(map(str, found.separate))
        apart = f". A part of {sizes} images fits together by itself, but nothing connects it to the largest, which was taken"
    return [f"{count} of {len(usable)} images have no camera and are left out ({told}){apart}"]
