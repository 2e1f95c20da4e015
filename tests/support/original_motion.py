"""Motion as the original add-on finds it: the baseline that ours is measured against, written anew from its description.

Every pixel is projected into every other frame, to the nearest pixel; one frame there that sees farther by more than the
threshold is enough. Time grows with the square of the frames.
"""

from __future__ import annotations

import numpy as np
from da3_blender.core.geometry.projection import project, unproject


def original_moving(depth, intrinsics, extrinsics, threshold=0.1):
    """Pixels that move, by the original's rule.

    Parameters
    ----------
    depth : (N, H, W) float32, z-depth; 0 where nothing is known
    intrinsics : (N, 3, 3), pixels
    extrinsics : (N, 3, 4), world to camera
    threshold : by how much, relative to the point's depth, another frame must see farther

    Returns
    -------
    (N, H, W) bool
    """
    count, height, width = depth.shape
    moving = np.zeros(depth.shape, bool)
    worlds = unproject(depth, intrinsics, extrinsics).reshape(count, -1, 3)
    for i in range(count):
        for j in range(count):
            if i != j:
                seen = _seen_empty(worlds[i], depth[j], intrinsics[j], extrinsics[j], threshold)
                moving[i] |= seen.reshape(height, width) & (depth[i] > 0)
    return moving


def _seen_empty(world, depth, intrinsics, extrinsics, threshold):
    """(P,) bool, which of the (P, 3) points one view sees behind."""
    height, width = depth.shape
    pixels, z = project(world, intrinsics, extrinsics)
    with np.errstate(invalid="ignore"):
        u, v = np.floor(pixels).T
    inside = (z > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    there = np.zeros(len(z))
    there[inside] = depth[v[inside].astype(int), u[inside].astype(int)]
    return there > z * (1 + threshold)
