"""What a cloud's files hold of every pixel, compiled: as arrays of their own, positions and colours take most of the time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.devices.compiled import compiled

#: A vertex as ``core.files.ply.VERTEX`` has it, value by value.
FLAT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("r", "u1"), ("g", "u1"), ("b", "u1"), ("conf", "<f4")])


@compiled
def fill(
    vertices: NDArray[Any],
    depth: NDArray[Any],
    conf: NDArray[Any],
    image: NDArray[Any],
    least: float,
    to_world: NDArray[Any],
    centre: NDArray[Any],
) -> int:
    """Vertices of the pixels of a frame that have a depth and enough confidence; how many there are.

    Parameters
    ----------
    vertices : (H * W,) of ``FLAT``; those that there are become its first ones
    depth, conf, image : (H, W) float32 each, (H, W, 3) uint8
    least : confidence that is enough
    to_world, centre : (3, 3) float64, from homogeneous pixels to the world's directions, and (3,) the camera
    """
    count, zero = 0, np.float32(0)
    for row in range(depth.shape[0]):
        v = row + 0.5
        x0 = to_world[0, 1] * v + to_world[0, 2]
        y0 = to_world[1, 1] * v + to_world[1, 2]
        z0 = to_world[2, 1] * v + to_world[2, 2]
        for column in range(depth.shape[1]):
            ahead, sure = depth[row, column], conf[row, column]
            if not (ahead > zero and sure > zero and sure >= np.float32(least)):
                continue
            u = column + 0.5
            vertex = vertices[count]
            vertex.x = np.float32((to_world[0, 0] * u + x0) * ahead + centre[0])
            vertex.y = np.float32((to_world[1, 0] * u + y0) * ahead + centre[1])
            vertex.z = np.float32((to_world[2, 0] * u + z0) * ahead + centre[2])
            vertex.r, vertex.g, vertex.b = image[row, column, 0], image[row, column, 1], image[row, column, 2]
            vertex.conf = sure
            count += 1
    return count


@compiled
def move(vertices: NDArray[Any], matrix: NDArray[Any]) -> None:
    """Put vertices, (P,) of ``FLAT``, where a (4, 4) similarity brings them; in place."""
    for n in range(len(vertices)):
        vertex = vertices[n]
        x, y, z = np.float64(vertex.x), np.float64(vertex.y), np.float64(vertex.z)
        vertex.x = np.float32(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3])
        vertex.y = np.float32(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3])
        vertex.z = np.float32(matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3])
