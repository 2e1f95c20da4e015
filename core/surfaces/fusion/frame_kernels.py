"""What fusing does with every pixel, and with every vertex that a frame has in view, compiled; why it does so says who calls it."""

from __future__ import annotations

import numpy as np

from ...devices.compiled import compiled

ZERO, ONE = np.float32(0), np.float32(1)  # Python's numbers would make all of it 64 bits wide
NEAREST = np.float32(1e-9)


@compiled
def drop_strays(depth: np.ndarray, smooth: np.ndarray, facing: np.ndarray, stray: float, grazing: float) -> None:
    """Sets (h, w) float32 depths to 0 that are farther than ``stray`` (relative) off ``smooth``, or ``facing`` less than ``grazing``."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            off = abs(depth[row, column] - smooth[row, column])
            if off > np.float32(stray) * smooth[row, column] or facing[row, column] < np.float32(grazing):
                depth[row, column] = ZERO


@compiled
def weights(depth: np.ndarray, facing: np.ndarray, conf: np.ndarray, usual: float, most: float) -> np.ndarray:
    """(H, W) float32 how much each pixel counts: by confidence (of ``usual``, up to ``most`` of it), angle and nearness; 0 without depth."""
    out = np.zeros(depth.shape, np.float32)
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            if z > ZERO:
                trust = min(np.float32(conf[row, column]) / np.float32(usual), np.float32(most))
                out[row, column] = trust * facing[row, column] / (z * z)
    return out


@compiled
def corrected(
    depth: np.ndarray, facing: np.ndarray, factor: np.ndarray, least_facing: float, farthest: float
) -> np.ndarray:
    """(H, W) float32: the depth times ``factor``, 0 where it is farther than ``farthest`` or seen too flat."""
    out = np.zeros(depth.shape, np.float32)
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            if facing[row, column] >= np.float32(least_facing) and z <= np.float32(farthest):
                out[row, column] = z * factor[row, column]
    return out


@compiled
def depth_differences(
    z: np.ndarray,
    facing: np.ndarray,
    rays: np.ndarray,
    turn: np.ndarray,
    shift: np.ndarray,
    begin: np.ndarray,
    sizes: np.ndarray,
    their_depth: np.ndarray,
    their_facing: np.ndarray,
    gate: float,
    most_uneven: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Of P pixels of a frame, the log of the factor that M other frames would put on their depth, and those frames' weight; (P,)
    float32 each.

    Parameters
    ----------
    z, facing : (P,) float32
    rays : (3, P) float32, of z = 1, in the frame's camera
    turn, shift : (M, 3, 3) and (M, 3) float32, from there to each other frame's homogeneous pixels
    begin, sizes : (M,) and (M, 2) int64, where a frame begins in the row, and its height and width
    their_depth, their_facing : (S,) float32, all frames' pixels in a row
    gate : relative, depths that differ by more are of different surfaces
    most_uneven : how much more exact than another one view can be taken to be
    """
    sums, weights = np.zeros(len(z), np.float32), np.zeros(len(z), np.float32)
    most, limit = np.float32(most_uneven), np.float32(gate)
    for m in range(len(begin)):
        t, s = turn[m], shift[m]
        height, width = sizes[m]
        for p in range(len(z)):
            x, y, ahead = rays[0, p] * z[p], rays[1, p] * z[p], z[p]
            reached = t[2, 0] * x + t[2, 1] * y + t[2, 2] * ahead + s[2]
            if not reached > ZERO:
                continue
            u = (t[0, 0] * x + t[0, 1] * y + t[0, 2] * ahead + s[0]) / reached
            v = (t[1, 0] * x + t[1, 1] * y + t[1, 2] * ahead + s[1]) / reached
            if not (u >= ZERO and u < width and v >= ZERO and v < height):
                continue
            pixel = begin[m] + np.int64(v) * width + np.int64(u)
            theirs, away = their_depth[pixel], facing[p] * z[p]
            difference = theirs - reached
            # What the difference along the other's ray means along the own one, on a surface that both see.
            along = difference * their_facing[pixel] / max(away, NEAREST)
            if theirs > ZERO and abs(difference) < limit * theirs and abs(along) < limit:
                even = min(max(away / max(their_facing[pixel] * theirs, NEAREST), ONE / most), most)
                sums[p] += even * even * np.log(ONE + along)
                weights[p] += even * even
    for p in range(len(z)):
        sums[p] /= max(weights[p], NEAREST)
    return sums, weights


@compiled
def paint(
    runs: np.ndarray,
    enough: int,
    vertices: np.ndarray,
    normals: np.ndarray,
    camera: np.ndarray,
    rotation: np.ndarray,
    intrinsics: np.ndarray,
    depth: np.ndarray,
    nearest: np.ndarray,
    picture: np.ndarray,
    limits: np.ndarray,
    power: int,
    seen: np.ndarray,
    through: np.ndarray,
    total: np.ndarray,
    weight: np.ndarray,
) -> None:
    """What a frame shows of some vertices, see ``vertex_colors.Coloring``.

    Parameters
    ----------
    runs : (R, 2) int64: the first vertex of each run, and the first after it
    enough : vertices that have had as many views take no part
    vertices, normals : (3, V) float64 and float32
    camera, rotation, intrinsics : (3,) float64, where it stands; (3, 3) float32 each
    depth, nearest : (H, W) float32, and that of the nearest pixel around each
    picture : (h, w, 3) uint8
    limits : (4,) float32: a voxel; how far from the depth a vertex may lie, in voxels and relative to its z; how many voxels farther
        a frame sees, to see through it
    power : of the weight of a vertex's surroundings
    seen, through, total, weight : (V,), (V,), (V, 3), (V,) float32, changed
    """
    height, width = depth.shape
    voxel, voxels, relative, beyond = limits[0], limits[1], limits[2], limits[3]
    tall, wide = picture.shape[0], picture.shape[1]
    for first, end in runs:
        for row in range(first, end):
            if seen[row] + through[row] >= enough:
                continue
            x = np.float32(vertices[0, row] - camera[0])
            y = np.float32(vertices[1, row] - camera[1])
            z = np.float32(vertices[2, row] - camera[2])
            ahead = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
            if not ahead > ZERO:
                continue
            over = ONE / max(ahead, NEAREST)
            u = (rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z) * over * intrinsics[0, 0] + intrinsics[
                0, 2
            ]
            v = (rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z) * over * intrinsics[1, 1] + intrinsics[
                1, 2
            ]
            if not (u >= ZERO and u < width and v >= ZERO and v < height):
                continue
            line, column = int(v), int(u)
            if nearest[line, column] - ahead > max(beyond * voxel, relative * ahead):
                through[row] += ONE
            there, reach = depth[line, column], max(voxels * voxel, relative * ahead)
            off = abs(there - ahead)
            if not (there > ZERO and off < reach * np.float32(5.0)):
                continue
            along = x * normals[0, row] + y * normals[1, row] + z * normals[2, row]
            facing = -along / np.sqrt(x * x + y * y + z * z)
            if not (facing > np.float32(0.05) and off < reach / max(facing, np.float32(0.2))):
                continue
            seen[row] += ONE
            # How large the vertex's surroundings are in the picture, to a power.
            size = intrinsics[0, 0] * voxel * over
            share = (facing * size * size) ** power
            weight[row] += share
            # Between the middles of pixels.
            u = min(max(u * np.float32(wide / width) - np.float32(0.5), ZERO), np.float32(wide - 1))
            v = min(max(v * np.float32(tall / height) - np.float32(0.5), ZERO), np.float32(tall - 1))
            left, top = int(u), int(v)
            right, bottom = min(left + 1, wide - 1), min(top + 1, tall - 1)
            u -= np.float32(left)
            v -= np.float32(top)
            for c in range(3):
                upper = picture[top, left, c] + u * (
                    np.float32(picture[top, right, c]) - np.float32(picture[top, left, c])
                )
                lower = picture[bottom, left, c] + u * (
                    np.float32(picture[bottom, right, c]) - np.float32(picture[bottom, left, c])
                )
                total[row, c] += share * (upper + v * (lower - upper))
