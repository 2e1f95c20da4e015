"""Where chunks lie, from how they lie to each other: a graph of similarities, solved sparsely and robustly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from ...core.settings import AlignmentMethod
from . import sim3

ROUNDS = 40  # of graduated non-convexity, at most
STEPS = 30  # of the last, converging solution
BOUND = 24.3  # squared deviations that 7 normal numbers exceed once in a thousand; a loop beyond is a wrong one
GROWTH = 1.6  # of the control parameter from round to round
MISJUDGED = 3.0  # a path may be this many times less sure than its edges say


@dataclass(frozen=True)
class Edge:
    """``matrix`` (4, 4) is chunk ``second``'s world in chunk ``first``'s; ``information`` as in ``overlap.Fit``."""

    first: int
    second: int
    matrix: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class Solution:
    """``poses`` (N, 4, 4), each chunk in the first one's world; ``trust`` (L,) from 0 to 1 of each loop."""

    poses: np.ndarray
    trust: np.ndarray


def chain(edges: Sequence[Edge]) -> np.ndarray:
    """(N, 4, 4) poses along a path of N - 1 edges, from chunk to next chunk; the first is the identity."""
    poses = [np.eye(4)]
    for edge in edges:
        poses.append(poses[-1] @ edge.matrix)
    return np.stack(poses)


def solve(path: Sequence[Edge], loops: Sequence[Edge], method: AlignmentMethod = AlignmentMethod.SIM3) -> Solution:
    """Poses that fit path and loops best, without the loops that do not fit.

    The path is trusted; a loop has to earn it. First those go that contradict the path beyond what it can have drifted.
    Then graduated non-convexity with a truncated quadratic (Yang et al. 2020, Graduated Non-Convexity for Robust Spatial
    Perception): all that are left count, and those that the others contradict fade away. So a false loop does not bend
    the path.

    Parameters
    ----------
    path : N - 1 edges, k to k + 1
    loops : L edges between any two
    """
    poses = chain(path)
    trust = np.zeros(len(loops))
    possible = np.flatnonzero(within_drift(path, loops, poses)) if loops else np.zeros(0, int)
    if not len(possible):
        return Solution(poses, trust)
    graph = _Graph([*path, *(loops[i] for i in possible)], len(poses), method is not AlignmentMethod.SIM3)
    poses, trust[possible] = _graduate(graph, poses, len(path))
    return Solution(poses, trust)


def within_drift(path: Sequence[Edge], loops: Sequence[Edge], poses: np.ndarray) -> np.ndarray:
    """(L,) bool: whether the path can have drifted as far as a loop says.

    The covariance between two chunks of a chain is the sum of its edges', all carried into the first chunk's world; a
    running sum of them gives that of any two.
    """
    carried = sim3.adjoint(poses[1:])
    steps = carried @ _covariances(path) @ np.swapaxes(carried, 1, 2)
    total = np.concatenate([np.zeros((1, 7, 7)), np.cumsum(steps, axis=0)])
    first, second = np.array([e.first for e in loops]), np.array([e.second for e in loops])
    back = sim3.adjoint(sim3.inverse(poses[second]))
    between = np.where((second > first)[:, None, None], 1.0, -1.0) * (total[second] - total[first])
    drift = MISJUDGED**2 * back @ between @ np.swapaxes(back, 1, 2) + _covariances(loops)
    says = np.stack([e.matrix for e in loops])
    errors = sim3.log(sim3.inverse(says) @ sim3.inverse(poses[first]) @ poses[second])
    return np.einsum("li,li->l", errors, np.linalg.solve(drift, errors[..., None])[..., 0]) <= BOUND


def _covariances(edges: Sequence[Edge]) -> np.ndarray:
    return np.linalg.inv(np.stack([e.information for e in edges]))


def _graduate(graph: _Graph, poses: np.ndarray, path: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses, and trust of the edges after the first ``path``."""
    weights = np.ones(graph.edges)
    poses = graph.minimise(poses, weights, 6)
    errors = graph.errors(poses)[path:]
    if errors.max() > BOUND:
        control = BOUND / (2.0 * errors.max() - BOUND)
        for _ in range(ROUNDS):
            between = np.sqrt(BOUND * control * (control + 1) / np.maximum(errors, 1e-12)) - control
            weights[path:] = np.clip(between, 0.0, 1.0)
            poses = graph.minimise(poses, weights, 2)
            errors = graph.errors(poses)[path:]
            if (np.abs(weights[path:] - (errors <= BOUND)) < 1e-3).all():
                break
            control *= GROWTH
        weights[path:] = errors <= BOUND
    return graph.minimise(poses, weights, STEPS), weights[path:]


class _Graph:
    """Residual log(Z^-1 Xi^-1 Xj) of each edge, its Jacobians, and the sparse normal equations."""

    def __init__(self, edges: Sequence[Edge], count: int, locked_scale: bool):
        self._first = np.array([e.first for e in edges])
        self._second = np.array([e.second for e in edges])
        self._back = sim3.inverse(np.stack([e.matrix for e in edges]))
        self._information = np.stack([e.information for e in edges])
        self._carry = sim3.adjoint(self._back)
        self._count = count
        self.edges = len(edges)
        self._size = 6 if locked_scale else 7
        size, both = self._size, np.stack([self._first, self._second], axis=1)
        at = both[:, :, None] * size + np.arange(
            size
        )  # (E, 2, size): columns of the unknowns, the first chunk among them
        at = at.reshape(len(edges), 2 * size) - size  # which is held: negative
        rows = np.broadcast_to(at[:, :, None], (len(edges), 2 * size, 2 * size))
        columns = np.swapaxes(rows, 1, 2)
        self._at, self._free = at, (rows >= 0) & (columns >= 0)
        self._rows, self._columns = rows[self._free], columns[self._free]

    def residuals(self, poses: np.ndarray) -> np.ndarray:
        """(E, 7)."""
        return sim3.log(self._back @ sim3.inverse(poses[self._first]) @ poses[self._second])

    def errors(self, poses: np.ndarray) -> np.ndarray:
        """(E,) squared deviations."""
        r = self.residuals(poses)
        return np.einsum("ei,eij,ej->e", r, self._information, r)

    def minimise(self, poses: np.ndarray, weights: np.ndarray, steps: int) -> np.ndarray:
        """Levenberg and Marquardt's way down."""
        damping, cost = 1e-9, float(weights @ self.errors(poses))
        for _ in range(steps):
            hessian, gradient = self._normal_equations(poses, weights)
            for _ in range(8):
                damped = hessian + csc_matrix(
                    (damping * hessian.diagonal(), (np.arange(n := len(gradient)),) * 2), (n, n)
                )
                step = splu(damped, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
                moved = self._moved(poses, -step.solve(gradient))
                new_cost = float(weights @ self.errors(moved))
                if new_cost <= cost:
                    break
                damping = max(damping, 1e-9) * 30.0
            else:
                return poses
            gained = cost - new_cost
            poses, cost, damping = moved, new_cost, damping / 10.0
            if gained <= 1e-9 * max(cost, 1e-9):
                break
        return poses

    def _normal_equations(self, poses: np.ndarray, weights: np.ndarray) -> tuple[csc_matrix, np.ndarray]:
        r = self.residuals(poses)
        left, right = sim3.inverse_left_jacobian(r), sim3.inverse_left_jacobian(-r)
        both = np.concatenate([-(left @ self._carry)[..., : self._size], right[..., : self._size]], axis=2)
        weighted = np.swapaxes(both, 1, 2) @ (self._information * weights[:, None, None])
        unknowns = (self._count - 1) * self._size
        blocks = weighted @ both
        hessian = csc_matrix((blocks[self._free], (self._rows, self._columns)), (unknowns, unknowns))
        gradient = np.zeros(unknowns)
        held = self._at >= 0
        np.add.at(gradient, self._at[held], (weighted @ r[..., None])[..., 0][held])
        return hessian, gradient

    def _moved(self, poses: np.ndarray, step: np.ndarray) -> np.ndarray:
        tangents = np.zeros((self._count, 7))
        tangents[1:, : self._size] = step.reshape(-1, self._size)
        return poses @ sim3.exp(tangents)
