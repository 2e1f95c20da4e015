"""Which way is up, and where the ground is: from points and the cameras that saw them. numpy only.

Flat pieces of the cloud vote for directions: the vertical is a direction that many pieces face (ground, ceilings,
tables) and that many others stand along (walls), and that the photographers' cameras agree with. The ground is the
lowest large level of what faces up, below the cameras.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_POINTS = 24_000  # that are looked at; more make it slower and no truer
LEVELS = (
    12,
    24,
    48,
)  # cells along the cloud's spread: coarse ones for what is far and noisy, fine ones for what is near
FARTHEST = 20.0  # spreads from the middle; the grids reach so far
FEWEST = 8  # points of a cell, to call it flat
FLATNESS = 0.35  # largest ratio of a flat cell's thickness to its width, as standard deviations
TRIMMED = 2.0  # standard deviations from a cell's plane, farther points are left out
CANDIDATES = 300
# How people hold cameras: hardly ever tilted to the side, often pointed up or down. Standard deviations.
ROLL, PITCH = np.radians(10.0), np.radians(40.0)
DOUBT = 0.02  # what a direction that no camera agrees with still counts
CEILING = 0.4  # what a level above the cameras counts, against one below
PRIOR = 0.02  # what the first guess counts, in parts of all pieces: it decides what they leave open
WALLS = 0.5  # what a piece that stands along the vertical counts, against one that faces it
WIDTHS = np.radians((6.0, 3.0, 2.0))  # of the vote's tolerance, from the first look to the last
LEVEL = 0.02  # tolerance of a level, in parts of the cloud's spread
LARGE = 0.3  # a level counts as large from this part of the largest on


@dataclass(frozen=True)
class Upright:
    """The answer: ``matrix`` (4, 4), rigid, makes z point up and puts the ground at z = 0."""

    matrix: np.ndarray
    has_ground: bool  # else the lowest points stand at 0


def find(points: np.ndarray, cameras: np.ndarray, *, from_above: bool = False) -> Upright | None:
    """Vertical and ground of a reconstruction.

    Parameters
    ----------
    points : (P, 3), in any world and unit; non-finite ones are left out
    cameras : (C, 4, 4), camera to world, Blender's cameras: y up, looking along -z; C may be 0
    from_above : the cameras looked down, as a drone's do: what they looked at, not how they were held, says where up is

    Returns
    -------
    None where there are neither cameras nor flat pieces that say where up is.
    """
    points = thinned(points)
    pieces = _flat_pieces(points)
    axes = cameras[:, :3, :3] / np.maximum(np.linalg.norm(cameras[:, :3, :3], axis=1, keepdims=True), 1e-12)
    if len(pieces) == 0 and len(axes) == 0:
        return None
    centres = cameras[:, :3, 3]
    up = _signed(_vertical(pieces, axes, centres, from_above), axes, centres, points)
    ground = _ground(pieces, points, up, centres)
    if ground is None:
        lowest = float(np.percentile(points @ up, 1.0)) if len(points) else float((centres @ up).min())
        return Upright(_standing(up, lowest, centres), has_ground=False)
    return Upright(_standing(*ground, centres), has_ground=True)


def thinned(points: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """At most so many of the points, evenly spread over their order; float64, finite."""
    step = max(1, -(-len(points) // most))
    points = np.asarray(points[::step], np.float64)
    return points[np.isfinite(points).all(axis=1)]


@dataclass(frozen=True)
class _Pieces:
    """K flat pieces of the cloud."""

    normal: np.ndarray  # (K, 3), of either sign
    centre: np.ndarray  # (K, 3)
    weight: np.ndarray  # (K,)

    def __len__(self) -> int:
        return len(self.normal)


def _spread(points: np.ndarray) -> float:
    """How far the cloud reaches, outliers aside."""
    if len(points) == 0:
        return 0.0
    low, high = np.percentile(points, (5.0, 95.0), axis=0)
    return float(np.linalg.norm(high - low))


def _flat_pieces(points: np.ndarray) -> _Pieces:
    """The flat ones among the cells of several grids."""
    spread = _spread(points)
    if spread > 0:  # without what lies so far off that a grid could not be numbered
        points = points[(np.abs(points - np.median(points, axis=0)) < FARTHEST * spread).all(axis=1)]
    found = [_flat_cells(points, spread / level) for level in LEVELS] if spread > 0 else []
    none = (np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    return _Pieces(*(np.concatenate(parts) for parts in zip(none, *found, strict=True)))


def _flat_cells(points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normals, centres and weights of the grid's cells that hold a piece of a plane; ``size``: of a cell."""
    cells = np.floor(points / size).astype(np.int64)
    cells -= cells.min(axis=0)
    numbers = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
    _, cell, count = np.unique(numbers, return_inverse=True, return_counts=True)
    mean, values, vectors = _planes(points, cell, np.ones(len(points)), len(count))
    off = np.abs(np.einsum("ij,ij->i", points - mean[cell], vectors[cell, :, 0]))
    thickness = np.sqrt(np.maximum(values[:, 0], 0.0))
    near = off < TRIMMED * thickness[cell]  # a second look without what lies off the plane
    mean, values, vectors = _planes(points, cell, near.astype(float), len(count))
    thickness, width = np.sqrt(np.maximum(values[:, 0], 0.0)), np.sqrt(np.maximum(values[:, 1], 1e-30))
    ratio = thickness / width
    flat = (count >= FEWEST) & (ratio < FLATNESS) & (width > 0.1 * size)
    weight = size**2 * (1.0 - ratio / FLATNESS) ** 2  # the area it may stand for
    return vectors[flat, :, 0], mean[flat], weight[flat]


def _planes(
    points: np.ndarray, cell: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (count, 3), principal variances (count, 3), smallest first, and axes (count, 3, 3) of each cell's points."""
    total = np.maximum(np.bincount(cell, weights, count), 1e-12)[:, None]
    mean = _sums(cell, points * weights[:, None], count) / total
    local = points - mean[cell]
    products = local[:, (0, 0, 0, 1, 1, 2)] * local[:, (0, 1, 2, 1, 2, 2)] * weights[:, None]
    moments = _sums(cell, products, count) / total
    return mean, *np.linalg.eigh(moments[:, (0, 1, 2, 1, 3, 4, 2, 4, 5)].reshape(-1, 3, 3))


def _sums(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count, D) sums of (P, D) values by group."""
    return np.stack([np.bincount(groups, column, count) for column in values.T], axis=-1)


def _vertical(pieces: _Pieces, axes: np.ndarray, centres: np.ndarray, from_above: bool) -> np.ndarray:
    """(3,) the direction of gravity, of either sign."""
    random = np.random.default_rng(0)  # the same cloud gives the same answer
    candidates = _camera_candidates(axes, from_above)
    if len(pieces):
        chance = pieces.weight / pieces.weight.sum()
        candidates = np.concatenate([candidates, pieces.normal[random.choice(len(pieces), CANDIDATES, p=chance)]])
    belief = _belief(candidates, axes, from_above)
    if not len(pieces):
        return candidates[np.argmax(belief)]
    best = candidates[np.argmax(_votes(candidates, pieces, axes, centres) * belief)]
    return _refined(best, pieces)


def _camera_candidates(axes: np.ndarray, from_above: bool) -> np.ndarray:
    """(N, 3) directions that keep the cameras from leaning to the side, at all angles up and down; none without cameras."""
    if len(axes) == 0:
        return np.zeros((0, 3))
    side, up = axes[:, :, 0], axes[:, :, 2 if from_above else 1].mean(axis=0)
    up /= np.linalg.norm(up) + 1e-12
    # At right angles to the x axes of all; where those are alike, that is a whole circle, on which the mean y axis lies.
    _, vectors = np.linalg.eigh(side.T @ side / len(side) + 0.02 * (np.eye(3) - np.outer(up, up)))
    forward = np.cross(vectors[:, 2], vectors[:, 0])
    angles = np.radians(np.arange(-85.0, 90.0, 5.0))[:, None]
    return np.concatenate([vectors[:, :1].T, np.cos(angles) * vectors[:, 0] + np.sin(angles) * forward])


def _belief(candidates: np.ndarray, axes: np.ndarray, from_above: bool) -> np.ndarray:
    """How well each of (N, 3) directions agrees with how people hold cameras, ``DOUBT`` to 1."""
    if len(axes) == 0:
        return np.ones(len(candidates))
    roll = np.arcsin(np.clip(np.abs(candidates @ axes[:, :, 0].T), 0.0, 1.0))
    if from_above:
        roll = np.zeros_like(roll)  # the picture's borders say nothing
    y = np.clip(candidates @ axes[:, :, 2 if from_above else 1].T, -1.0, 1.0)
    pitch = np.arccos(np.abs(y.mean(axis=1)))
    return DOUBT + (1.0 - DOUBT) * np.exp(-0.5 * ((roll**2).mean(axis=1) / ROLL**2 + pitch**2 / PITCH**2))


def _votes(candidates: np.ndarray, pieces: _Pieces, axes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N,) weight of the pieces that face each candidate, and part of that of those that stand along it."""
    facing, along = _kernels(np.abs(candidates @ pieces.normal.T), WIDTHS[0])
    if len(centres):
        ups = candidates * np.where((candidates @ axes[:, :, 1].T).mean(axis=1) < 0, -1.0, 1.0)[:, None]
        is_above = ups @ pieces.centre.T > np.median(ups @ centres.T, axis=1)[:, None]
        facing = np.where(is_above, CEILING * facing, facing)
    return (facing + WALLS * along) @ pieces.weight + PRIOR * pieces.weight.sum()


def _kernels(cosine: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """How much a piece counts that faces a direction, and one that stands along it, 0 to 1 each."""
    sine2 = np.maximum(1.0 - cosine**2, 0.0)
    return np.exp(-0.5 * sine2 / width**2), np.exp(-0.5 * cosine**2 / width**2)


def _refined(first: np.ndarray, pieces: _Pieces) -> np.ndarray:
    """The direction near the first that the pieces agree on best; what they leave open stays as it was."""
    direction, anchor = first, PRIOR * pieces.weight.sum() * np.outer(first, first)
    for width in WIDTHS:
        for _ in range(4):
            facing, along = _kernels(np.abs(pieces.normal @ direction), width)
            weights = (facing - WALLS * along) * pieces.weight
            agreed = np.linalg.eigh((pieces.normal * weights[:, None]).T @ pieces.normal + anchor)[1][:, -1]
            direction = agreed if agreed @ direction >= 0 else -agreed
    return direction


def _signed(up: np.ndarray, axes: np.ndarray, centres: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Up, not down: as the cameras' y axes, or, where those are level, with the cameras above what they see."""
    agree = float((axes[:, :, 1] @ up).mean()) if len(axes) else 0.0
    if abs(agree) < 0.15 and len(centres) and len(points):
        agree = float(np.median(centres @ up) - np.median(points @ up))
    return up if agree >= 0 else -up


def _ground(
    pieces: _Pieces, points: np.ndarray, up: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Up, and the height of the lowest large level below the cameras; None where there is none."""
    if len(pieces) == 0:
        return None
    facing, _ = _kernels(np.abs(pieces.normal @ up), WIDTHS[0])
    heights = pieces.centre @ up
    tolerance = LEVEL * _spread(points)
    ceiling = np.median(centres @ up) - tolerance if len(centres) else np.median(points @ up)
    usable = (heights < ceiling) & (facing > 0.1)
    if not usable.any():
        return None
    heights, weights = heights[usable], (pieces.weight * facing)[usable]
    support = np.exp(-0.5 * ((heights[:, None] - heights) / tolerance) ** 2) @ weights
    large = support >= LARGE * support.max()
    # The top of the lowest large level, not its lower flank.
    lowest = heights[large].min()
    near = np.abs(heights - lowest) < 2.0 * tolerance
    level = heights[near][np.argmax(support[near])]
    along = points @ up
    on_it = np.abs(along - level) < tolerance
    return up, float(np.median(along[on_it])) if on_it.any() else float(level)


def _standing(up: np.ndarray, ground: float, centres: np.ndarray) -> np.ndarray:
    """(4, 4) the smallest turn that makes ``up`` z, about the cameras' middle, and the ground (height along up) at 0."""
    turn = _turn_to_z(up)
    middle = centres.mean(axis=0) if len(centres) else np.zeros(3)
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = middle - turn @ middle
    matrix[2, 3] = -ground
    return matrix


def _turn_to_z(up: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation by the smallest angle (Rodrigues) that takes a unit vector to z."""
    x, y, z = up
    if z < -1.0 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1.0 + z)
