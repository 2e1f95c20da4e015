"""What fusing does with every voxel, compiled; why it does so says who calls it."""

from __future__ import annotations

import numpy as np

from ...devices.compiled import compiled

ZERO, ONE = np.float32(0), np.float32(1)  # Python's numbers would make all of it 64 bits wide
TINY, NEAREST = np.float32(1e-12), np.float32(1e-9)


@compiled
def view_pixels(depth: np.ndarray, facing: np.ndarray, weight: np.ndarray, relative: float, least: float) -> np.ndarray:
    """Of each pixel, with one of no weight all around the picture, ((H + 2) (W + 2), 4) float32: how far it is to its surface,
    what of that goes with each unit of z, its weight, and the truncation; distances in truncations.

    Parameters
    ----------
    depth, facing, weight : (H, W) float32, see ``tsdf_volume.View``
    relative, least : the truncation, relative to the depth, and at least, in scene units
    """
    height, width = depth.shape
    out = np.zeros(((height + 2) * (width + 2), 4), np.float32)
    for row in range(height):
        for column in range(width):
            pixel = (row + 1) * (width + 2) + column + 1
            z = depth[row, column]
            reach = max(z * np.float32(relative), np.float32(least))
            out[pixel, 1] = facing[row, column] / reach
            out[pixel, 3] = reach
            if z > ZERO:
                out[pixel, 0] = z * facing[row, column] / reach
                out[pixel, 2] = weight[row, column]
    return out


@compiled
def passed_blocks(
    rays: np.ndarray, begin: np.ndarray, z: np.ndarray, reach: np.ndarray, steps: int, half: int, bits: int
) -> np.ndarray:
    """(K,) int64 keys of the blocks that pieces of rays pass, some of them several times.

    Parameters
    ----------
    rays : (3, P) float64, in blocks for each unit of z, from ``begin`` (3,) on
    z, reach : (P,) float64, the middle of each piece and half of its length, in units of z
    steps : how many points of each piece are looked at
    half, bits : of ``tsdf_volume.block_keys``; blocks that have no key are left out
    """
    out = np.empty(len(z) * steps, np.int64)
    count = 0
    lately = np.full(4096, -1, np.int64)  # found, by the end of a number: pieces side by side pass the same blocks
    for step in range(steps):
        share = -1.0 + 2.0 * step / (steps - 1)
        for p in range(len(z)):
            away = z[p] + share * reach[p]
            a, b, c = (
                np.floor(rays[0, p] * away + begin[0]),
                np.floor(rays[1, p] * away + begin[1]),
                np.floor(rays[2, p] * away + begin[2]),
            )
            if max(abs(a), abs(b), abs(c)) >= half:
                continue
            key = ((np.int64(a) + half) << 2 * bits) | ((np.int64(b) + half) << bits) | (np.int64(c) + half)
            where = (np.int64(a) * 73 + np.int64(b) * 19 + np.int64(c)) & 4095
            if lately[where] != key:
                lately[where] = key
                out[count] = key
                count += 1
    return out[:count].copy()


@compiled
def add_to_blocks(
    distance: np.ndarray,
    total: np.ndarray,
    at: np.ndarray,
    first: np.ndarray,
    cells: np.ndarray,
    pixels: np.ndarray,
    height: int,
    width: int,
    behind: float,
) -> None:
    """Take what a frame says into blocks of voxels.

    Parameters
    ----------
    distance, total : (N, V) float32, changed: the voxels' distances, in scene units, and weights
    at : (B,) int64, which of the N blocks
    first, cells : (B, 3) and (3, V) float32: homogeneous pixels (u z, v z, z) of each block's first voxel, and of the others
        relative to it
    pixels : of ``view_pixels``, of a picture of ``height`` x ``width``
    behind : of the truncation, how far behind a surface the view still says something
    """
    right, bottom, wide = np.float32(width + 1), np.float32(height + 1), np.int32(width + 2)
    inverse_behind = np.float32(1.0 / behind)
    count = cells.shape[1]
    place, away = np.empty(count, np.int32), np.empty(count, np.float32)
    for b in range(len(at)):
        x, y, ahead = first[b, 0], first[b, 1], first[b, 2]
        # In steps of their own: this one is vectorized, the next one waits for memory.
        for c in range(count):
            z = ahead + cells[2, c]
            over = ONE / max(z, NEAREST)  # what is behind the camera falls outside of the picture
            u = min(max((x + cells[0, c]) * over + ONE, ZERO), right)
            v = min(max((y + cells[1, c]) * over + ONE, ZERO), bottom)
            place[c] = np.int32(v) * wide + np.int32(u)
            away[c] = z
        old, weights = distance[at[b]], total[at[b]]
        for c in range(count):
            pixel = np.uintp(place[c])
            found = pixels[pixel, 0] - away[c] * pixels[pixel, 1]
            # Behind the surface the view says less the farther it is: there may be another surface.
            weight = pixels[pixel, 2] * min(max(found * inverse_behind + ONE, ZERO), ONE)
            found = min(max(found, -ONE), ONE) * pixels[pixel, 3]
            weights[c] += weight
            old[c] += (found - old[c]) * weight / max(weights[c], TINY)


@compiled
def triangles(
    distance: np.ndarray,
    seen: np.ndarray,
    owners: np.ndarray,
    counts: np.ndarray,
    table: np.ndarray,
    starts: np.ndarray,
    axes: np.ndarray,
    least: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Marching cubes over blocks of S^3 voxels: of each corner of each triangle, three in a row, the id of the voxel edge that it lies
    on, (3T,) int64, and how far along that it lies, (3T,) float32.

    Parameters
    ----------
    distance, seen : (B, S + 1, S + 1, S + 1) float32 and bool
    owners : (B, 8) int64, the blocks that an edge may belong to
    counts, table : (256,) and (256, 5, 3), how many triangles a cube has, and the edges of their corners
    starts, axes : (12, 3) and (12,) of the edges of a cube, in the order of ``marching_cubes_table``
    least : of a voxel's edge, between a vertex and the voxels
    """
    side = distance.shape[1] - 1
    case = np.zeros((len(distance), side, side, side), np.uint8)
    found = 0
    for b in range(len(distance)):
        for x in range(side):
            for y in range(side):
                for z in range(side):
                    whole, kind = True, 0
                    for corner in range(8):
                        at = x + (corner >> 2), y + ((corner >> 1) & 1), z + (corner & 1)
                        whole = whole and seen[b, at[0], at[1], at[2]]
                        kind |= int(distance[b, at[0], at[1], at[2]] < ZERO) << corner
                    if whole:
                        case[b, x, y, z] = kind
                        found += counts[kind]
    ids, shares = np.empty(3 * found, np.int64), np.empty(3 * found, np.float32)
    last = 0
    for b in range(len(distance)):
        for x in range(side):
            for y in range(side):
                for z in range(side):
                    kind = case[b, x, y, z]
                    for number in range(counts[kind]):
                        for corner in range(3):
                            edge = table[kind, number, corner]
                            i, j, k = x + starts[edge, 0], y + starts[edge, 1], z + starts[edge, 2]
                            axis = axes[edge]
                            near = np.float64(distance[b, i, j, k])
                            far = np.float64(distance[b, i + (axis == 0), j + (axis == 1), k + (axis == 2)])
                            # The edge belongs to the block that its first voxel is in.
                            owner = owners[b, 4 * (i == side) + 2 * (j == side) + (k == side)]
                            voxel = ((i % side) * side + j % side) * side + k % side
                            ids[last] = (owner * side**3 + voxel) * 3 + axis
                            shares[last] = min(max(near / (near - far), least), 1.0 - least)
                            last += 1
    return ids, shares
