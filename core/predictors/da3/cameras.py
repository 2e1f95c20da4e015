"""Cameras that are known beforehand: as the network wants them, and the result back in their frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...errors import DA3Error
from ...frames.resizing import Placement
from ...geometry.projection import homogeneous, invert_rigid
from ...prediction.prediction import Cameras

RANSAC_FROM = 10  # frames, as the package has it
RANSAC_SEED = 42  # as the package has it


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
