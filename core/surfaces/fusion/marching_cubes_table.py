"""How a surface passes through a cube, for each of the 256 ways in which its corners can be inside or outside.

Lorensen and Cline 1987, Marching Cubes. The table is computed, not written down: on each face of the cube the edges that
the surface crosses are joined, the joints make closed loops, and each loop is cut into triangles. On a face with two
opposite corners inside, each of these two is cut off by itself; the cube on the other side of the face sees the same corners
and does the same, so that the surface has no cracks. No triangle's side lies across a face of the cube other than such a
joint, so that no side is shared by more than two triangles.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

# Corner c is at (c >> 2 & 1, c >> 1 & 1, c & 1): x, y, z.
CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
# Each edge goes from its lower corner along one axis.
EDGES = [(a, b) for a in range(8) for b in range(8) if b > a and (a ^ b) in (1, 2, 4)]
EDGE_START = np.array([CORNERS[a] for a, _ in EDGES])  # (12, 3)
EDGE_AXIS = np.array([{4: 0, 2: 1, 1: 2}[a ^ b] for a, b in EDGES])  # (12,)


@functools.cache
def triangles() -> tuple[np.ndarray, np.ndarray]:
    """The table.

    Returns
    -------
    count : (256,) triangles of each case; bit c of its number says that corner c is inside
    edges : (256, most, 3) edges on which a triangle's corners lie, -1 where there is none; anticlockwise seen from outside
    """
    found = [_of_case(case) for case in range(256)]
    count = np.array([len(t) for t in found])
    table = np.full((256, count.max(), 3), -1, np.int8)
    for case, own in enumerate(found):
        table[case, : len(own)] = np.array(own).reshape(-1, 3)
    return count, table


def _of_case(case: int) -> list[tuple[int, int, int]]:
    inside = [bool(case >> c & 1) for c in range(8)]
    following: dict[int, int] = {}
    for face in _faces():
        following.update(_joints(face, inside))
    result = []
    while following:
        loop = [next(iter(following))]
        while (edge := following.pop(loop[-1])) != loop[0]:
            loop.append(edge)
        result += _cut(loop)
    return result


@functools.cache
def _faces() -> tuple[tuple[int, ...], ...]:
    """Corners of the six faces, anticlockwise seen from outside the cube."""
    faces = []
    for axis, side in itertools.product(range(3), (0, 1)):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        around = [(0, 0), (1, 0), (1, 1), (0, 1)] if side else [(0, 0), (0, 1), (1, 1), (1, 0)]
        corners = []
        for a, b in around:
            place = [0, 0, 0]
            place[axis], place[u], place[v] = side, a, b
            corners.append(place[0] << 2 | place[1] << 1 | place[2])
        faces.append(tuple(corners))
    return tuple(faces)


def _joints(face: tuple[int, ...], inside: list[bool]) -> dict[int, int]:
    """From edge to edge, with what is inside on the same hand, so that loops go one way round."""
    crossings = []  # (edge, whether going round the face one enters the inside there)
    for a, b in zip(face, (*face[1:], face[0]), strict=True):
        if inside[a] != inside[b]:
            crossings.append((EDGES.index((min(a, b), max(a, b))), inside[b]))
    # Each run of corners inside is cut off by a joint between where one enters and where one leaves it.
    joints = {}
    for n, (edge, entering) in enumerate(crossings):
        if entering:
            joints[edge] = crossings[(n + 1) % len(crossings)][0]
    return joints


def _cut(loop: list[int]) -> list[tuple[int, int, int]]:
    """Triangles of a loop of edges such that no new side has both ends on one face of the cube."""
    found = _cut_rest(tuple(loop))
    assert found is not None
    return list(found)


def _cut_rest(loop: tuple[int, ...]) -> tuple[tuple[int, int, int], ...] | None:
    if len(loop) == 3:
        return ((loop[0], loop[1], loop[2]),)
    for n in range(len(loop)):
        before, tip, after = loop[n - 1], loop[n], loop[(n + 1) % len(loop)]
        if not _on_one_face(before, after):
            rest = _cut_rest(tuple(e for e in loop if e != tip))
            if rest is not None:
                return ((before, tip, after), *rest)
    return None


def _on_one_face(first: int, second: int) -> bool:
    corners = {*EDGES[first], *EDGES[second]}
    return any(corners <= set(face) for face in _faces())
