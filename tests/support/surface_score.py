"""How well points lie on a true surface, and how much of it they cover. One measure for tests and benchmarks."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

THINNED = (
    0.0018  # of the extent: true points are thinned to one for each cube of this size, so that area counts, not pixels
)
SAMPLES = 100_000  # points on a surface, or of a cloud


@dataclass(frozen=True)
class Score:
    """Shares of points within 1 % of the extent of the other side, and their harmonic mean."""

    precision: float  # of the points, near the true surface
    recall: float  # of the true surface, near the points

    @property
    def f(self):
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


class TrueSurface:
    """The surface that a sample set's true depths show.

    ``extent``: between the 1 % and the 99 % quantiles of its points, the diagonal of their box.
    """

    def __init__(self, truth):
        from da3_blender.core.geometry.projection import unproject

        points = unproject(truth.depth, truth.intrinsics, truth.extrinsics)[truth.depth > 0].astype(np.float64)
        self.extent = float(np.linalg.norm(np.subtract(*np.quantile(points, [0.99, 0.01], axis=0))))
        cubes = np.floor(points / (THINNED * self.extent)).astype(np.int64)
        cubes -= cubes.min(axis=0)
        x, y, z = cubes.T
        self._points = points[np.unique((x << 42) | (y << 21) | z, return_index=True)[1]]
        self._tree = cKDTree(self._points)
        self._some = self._points[np.random.default_rng(0).permutation(len(self._points))[:SAMPLES]]

    def score(self, points):
        """``points`` (P, 3) in the truth's world; at most ``SAMPLES`` of them are looked at."""
        if len(points) > SAMPLES:
            points = points[np.random.default_rng(1).choice(len(points), SAMPLES, replace=False)]
        near = 0.01 * self.extent
        precision = (self._tree.query(points, distance_upper_bound=near)[0] < near).mean()
        recall = (cKDTree(points).query(self._some, distance_upper_bound=near)[0] < near).mean()
        return Score(float(precision), float(recall))


def sampled(vertices, faces, count=SAMPLES, seed=0):
    """(count, 3) points spread evenly over a surface's area."""
    random = np.random.default_rng(seed)
    a, b, c = (vertices[faces[:, n]].astype(np.float64) for n in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = random.choice(len(faces), count, p=area / area.sum())
    u, v = random.random((2, count, 1))
    beyond = u + v > 1
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    return a[chosen] + u * (b[chosen] - a[chosen]) + v * (c[chosen] - a[chosen])


def main_share(vertices, faces):
    """Share of the area that the largest connected piece has."""
    from da3_blender.core.surfaces.fusion import mesh_cleaning

    label = mesh_cleaning.pieces(len(vertices), faces)[faces[:, 0]]
    area = np.bincount(label, mesh_cleaning.face_areas(vertices.astype(np.float64), faces))
    return float(area.max() / area.sum())


def crowded_edges(faces):
    """How many edges more than two faces share."""
    from da3_blender.core.surfaces.fusion import mesh_cleaning

    return int((mesh_cleaning.edges_of(faces)[2] > 2).sum())


def back_to_truth(predictor, indices):
    """What brings points of a ``DisturbedPredictor``'s pass over ``indices`` back to the truth's world, exactly."""
    random = np.random.default_rng([predictor.seed, len(indices), *indices])
    scale, rotation, translation = predictor._frame(random)
    return lambda points: (points - translation) / scale @ rotation


def faces_of_image_meshes(prediction, least_confidence=0.5):
    """Triangles of one mesh per image, together: two for each pixel that is kept."""
    return 2 * int(((prediction.conf >= least_confidence) & (prediction.depth > 0)).sum())
