"""Cameras that are known beforehand: as the network wants them, and the result back in their frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import BadInput, DA3Error
from ..geometry import homogeneous, invert_rigid
from ..prediction import Cameras
from ..resizing import Placement

FEWEST = 3
SAME_PLACE = 1e-12  # spread of the centres over their distance from the origin; float64 keeps sixteen digits
# Spread across the longest direction over the spread along it. The network and the alignment work in float32, which
# keeps about seven digits; below a hundred times that the roll around the line is noise.
ON_A_LINE = 1e-5
RANSAC_FROM = 10  # frames, as the package has it
RANSAC_SEED = 42  # as the package has it


def check(cameras: Cameras, count: int) -> None:
    """Whether a pass can be conditioned on these cameras.

    Raises
    ------
    BadInput
        Not one for each of ``count`` frames, not numbers, fewer than three, all in one place or on one line.
    """
    if len(cameras.extrinsics) != count or len(cameras.intrinsics) != count:
        raise BadInput(f"{count} frames came with {len(cameras.extrinsics)} known cameras; each frame needs its own")
    if not (np.isfinite(cameras.extrinsics).all() and np.isfinite(cameras.intrinsics).all()):
        raise BadInput("The known cameras hold values that are not numbers")
    if count < FEWEST:
        raise BadInput(f"Known cameras need at least {FEWEST} frames in a pass, and this one has {count}")
    centres = invert_rigid(cameras.extrinsics)[:, :, 3]
    spread = np.linalg.svd(centres - centres.mean(axis=0), compute_uv=False)
    if spread[0] <= SAME_PLACE * np.abs(centres).max():
        raise BadInput("The known cameras all stand in one place; the model needs cameras that move")
    if spread[1] <= ON_A_LINE * spread[0]:
        raise BadInput("The known cameras all stand on one straight line; the model needs cameras that leave it")


def for_network(
    cameras: Cameras, placements: Sequence[Placement], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, N, 4, 4) extrinsics, first camera at the origin and median distance 1, and (1, N, 3, 3) processed pixels.

    Source: the package's API (``_normalize_extrinsics``); a median distance under 0.1 is taken for 0.1, as there.
    """
    relative = _seen_from_first(cameras)
    distances = np.linalg.norm(invert_rigid(relative)[:, :, 3], axis=-1)
    median = np.sort(distances)[(len(distances) - 1) // 2]  # the lower one, as torch has it
    relative[:, :, 3] /= max(median, 0.1)
    extrinsics = torch.from_numpy(homogeneous(relative)).to(device=device, dtype=torch.float32)[None]
    pixels = torch.from_numpy(processed_intrinsics(cameras, placements)).to(device=device, dtype=torch.float32)[None]
    return extrinsics, pixels


def processed_intrinsics(cameras: Cameras, placements: Sequence[Placement]) -> np.ndarray:
    """(N, 3, 3) float64, pixels of the canvas."""
    pairs = zip(placements, cameras.intrinsics, strict=True)
    return np.stack([placement.to_processed(intrinsics) for placement, intrinsics in pairs])


def scale_to(cameras: Cameras, found: np.ndarray) -> float:
    """Units of the network per unit of the known cameras.

    Parameters
    ----------
    found : (N, 3, 4) float32, the network's extrinsics

    Raises
    ------
    DA3Error
        The two sets of cameras cannot be aligned.
    """
    from depth_anything_3.utils.pose_align import align_poses_umeyama
    from evo.core.geometry import GeometryException

    given = homogeneous(_seen_from_first(cameras)).astype(np.float32)
    try:
        ransac = len(given) >= RANSAC_FROM
        _, _, scale = align_poses_umeyama(found, given, ransac=ransac, random_state=RANSAC_SEED)
    except GeometryException:
        scale = float("nan")
    if not (np.isfinite(scale) and scale > 0.0):
        raise DA3Error(
            "The cameras that the model found cannot be aligned to the known ones; check that the known cameras "
            "belong to these images, or turn known cameras off"
        )
    return float(scale)


def _seen_from_first(cameras: Cameras) -> np.ndarray:
    """(N, 3, 4) float64 extrinsics in the first camera's frame: float32 comes after that, or a scene far from its
    origin (a city in map coordinates) would lose its digits to the distance."""
    first = homogeneous(invert_rigid(cameras.extrinsics[:1].astype(np.float64)))
    return np.asarray(cameras.extrinsics @ first)
