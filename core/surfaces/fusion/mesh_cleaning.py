"""What is done to the extracted triangles: small floating pieces go, and as many faces as are not needed."""

from __future__ import annotations

import fast_simplification
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

LEAST_AREA = 120.0  # of a piece, in squared voxels
LEAST_PART = 0.002  # of a piece, in areas of the largest one; whichever of both is less
AGGRESSION = 5.0  # of fast-simplification, between quality (0) and speed (10)


def without_small_pieces(vertices: np.ndarray, faces: np.ndarray, voxel: float) -> np.ndarray:
    """(F, 3) faces without those of pieces that hang together with nothing and are small."""
    if not len(faces):
        return faces
    label = pieces(len(vertices), faces)[faces[:, 0]]
    area = np.bincount(label, face_areas(vertices, faces))
    return faces[area[label] >= min(LEAST_AREA * voxel**2, LEAST_PART * area.max())]


def pieces(count: int, faces: np.ndarray) -> np.ndarray:
    """(count,) int: which connected piece each vertex belongs to."""
    start, end = np.concatenate([faces[:, 0], faces[:, 1]]), np.concatenate([faces[:, 1], faces[:, 2]])
    graph = coo_matrix((np.ones(len(start), bool), (start, end)), (count, count))
    return connected_components(graph, directed=False)[1]


def face_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) areas of triangles."""
    x, y, z = _across(vertices, faces)
    return 0.5 * np.sqrt(x * x + y * y + z * z)


def simplified(vertices: np.ndarray, faces: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """About ``target`` triangles by edge collapse (Garland and Heckbert 1997); as they were where there are no more."""
    if target <= 0 or len(faces) <= target:
        return vertices, faces
    middle = vertices.mean(axis=0)  # the library works in float32
    points = (vertices - middle).astype(np.float32)
    points, found = fast_simplification.simplify(points, faces, target_count=target, agg=AGGRESSION)
    vertices, faces = points.astype(np.float64) + middle, manifold(found.astype(np.int32), points)
    used, faces = compact(len(vertices), faces)
    return vertices[used], faces


def manifold(faces: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Without faces that have no area or make an edge the third time: the smallest go first."""
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[distinct]
    faces = faces[np.unique(np.sort(faces, axis=1), axis=0, return_index=True)[1]]
    while len(faces):
        _, of_face, uses = edges_of(faces)
        crowded = (uses > 2)[of_face].reshape(3, -1).any(axis=0)
        if not crowded.any():
            break
        area = face_areas(vertices, faces)
        # Of each edge with too many faces, the smallest face.
        rows = np.flatnonzero(np.tile(crowded, 3) & (uses > 2)[of_face])
        order = rows[np.argsort(area[rows % len(faces)], kind="stable")]
        smallest = order[np.unique(of_face[order], return_index=True)[1]] % len(faces)
        faces = np.delete(faces, smallest, axis=0)
    return faces


def edges_of(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges of triangles.

    Returns
    -------
    edges (E, 2); for each face's sides, all first sides before all second ones, their edge (3F,); how many faces use each edge
    """
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1).astype(np.int64)
    span = int(sides.max()) + 1
    keys, of_face, uses = np.unique(sides[:, 0] * span + sides[:, 1], return_inverse=True, return_counts=True)
    return np.stack([keys // span, keys % span], axis=-1), of_face.reshape(-1), uses


def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals, means over the faces around by area."""
    total = np.empty_like(vertices)
    for axis, along in enumerate(_across(vertices, faces)):
        total[:, axis] = np.bincount(faces.reshape(-1), np.repeat(along, 3), len(vertices))
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)).astype(np.float32)


def _across(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z (F,) of what is at right angles to each face, twice as long as its area.

    Axis by axis: NumPy takes several times as long for the cross products of thin arrays.
    """
    corners = [np.ascontiguousarray(faces[:, n]) for n in range(3)]
    first, second = [], []
    for axis in range(3):
        values = np.ascontiguousarray(vertices[:, axis])
        a, b, c = (values[corner] for corner in corners)
        first.append(b - a)
        second.append(c - a)
    (x1, y1, z1), (x2, y2, z2) = first, second
    return y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2


def compact(count: int, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``count`` vertices the faces use, (count,) bool, and the faces (F, 3) int32 in terms of those."""
    used = np.zeros(count, bool)
    used[faces.reshape(-1)] = True
    number = np.cumsum(used) - 1
    return used, number[faces].astype(np.int32)
