"""Which images are taken to share a camera, and in which ways that is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....settings import Lens

SAME_CAMERA = 1.02  # focal lengths within this ratio are one camera's
EXIF_FOCALS = 0.25, 12.0  # of the long side; what EXIF says outside of it cannot be (some cameras write 1 mm)
SMALL_ANGLE = 3.0  # degrees that the first two views must see points at; COLMAP wants 16
FEW = 3  # images; of so few there is no better pair than a narrow one

Size = tuple[int, int]
Groups = list[dict[str, Any]]


def believable(focal: float | None, size: Size) -> float | None:
    """A focal length from EXIF, in pixels, if it can be one."""
    return focal if focal and EXIF_FOCALS[0] <= focal / max(size) <= EXIF_FOCALS[1] else None


def rungs(sizes: Sequence[Size], focals: Sequence[float | None], lens: Lens = Lens.PER_FRAME) -> list[dict[str, Any]]:
    """The ways to try, in order, while images are missing. ``angle``: of the first two views, None is COLMAP's own.

    Cameras as EXIF groups them; then with nothing from EXIF, which can be wrong (a lens that was changed, a picture that was
    cropped); then a camera for each image (``lenses``), for collections; the narrow pair last. Where all have one lens, EXIF's
    median is its prior and no image gets a camera of its own; where it is known, there is no other way.
    """
    if lens is Lens.SHOT and any(focals):
        focals = [float(np.median([focal for focal in focals if focal]))] * len(sizes)
    as_exif = camera_groups(sizes, focals)
    by_size = camera_groups(sizes, [None] * len(sizes))
    alone = [{"images": [i], "focal": None, "width": w, "height": h} for i, (w, h) in enumerate(sizes)]
    ways: list[tuple[str, Groups, float | None]] = [("as given", as_exif, None)]
    if any(group["focal"] for group in as_exif):
        ways.append(("without EXIF", by_size, None))
    if lens is Lens.PER_FRAME:
        ways.append(("lenses", alone, None))
    if len(sizes) <= FEW:
        ways.append(("narrow", as_exif, SMALL_ANGLE))
        if any(group["focal"] for group in as_exif):
            ways.append(("narrow, without EXIF", by_size, SMALL_ANGLE))
    if lens is Lens.FIXED:
        ways = [way for way in ways if "without EXIF" not in way[0]]
    return [{"name": name, "groups": groups, "angle": angle} for name, groups, angle in ways]


def camera_groups(sizes: Sequence[Size], focals: Sequence[float | None]) -> Groups:
    """Which images share one camera: those of one size whose focal lengths agree to 2 %.

    An image that does not know its focal length joins the others of its size if those agree with each other.
    """
    groups: Groups = []
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
