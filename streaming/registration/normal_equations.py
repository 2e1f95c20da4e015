"""What ties of corners say of cameras, as equations, compiled: a step of ``bundle_adjustment``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.devices.compiled import compiled


@compiled
def normal_equations(
    ties: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
    sure: tuple[float, float],
    rotations: NDArray[Any],
    centres: NDArray[Any],
    deeper: NDArray[Any],
    larger: NDArray[Any],
    share: NDArray[Any],
    wide: float,
    prior: tuple[NDArray[Any], NDArray[Any]],
    depth_prior: float,
    place: NDArray[Any],
    pattern: tuple[NDArray[Any], NDArray[Any]],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A Gauss-Newton step's equations with Cauchy weights, the corners' depths eliminated (Schur's complement).

    A tie's residuals, in standard deviations, are its place in the target's image, twice, and its depth there.

    Parameters
    ----------
    ties : source, target, corner (M,) int64; points (M, 3), rays (M, 2), depth (M,) float64, see ``Correspondences``
    sure : one over the standard deviations of a place, at depth 1, and of a depth, relative
    rotations, centres : (N, 3, 3), (N, 3) float64, camera to world
    deeper, larger : (C,), (N,) float64, logarithms of the factors of the corners' and the frames' depths
    share, wide : (M,) float64 how much a tie counts, and the squared residual where that is halved
    prior : (7N,) weights that hold the unknowns back, and what they are now
    depth_prior : the weight that holds ``deeper`` back
    place : (M, 14) int64, where the mixed derivatives of a tie's unknowns belong in ``mixed``: turn, shift and factor of both frames
    pattern : (K,) and (C + 1,) int64, the unknown of each of ``mixed``, and where a corner's begin

    Returns
    -------
    hessian (7N, 7N), gradient (7N,), without the corners; of_depth, slope (C,), their own second and first derivatives; mixed (K,),
    those by a corner's depth and an unknown
    """
    source, target, corner, points, rays, depth = ties
    unknowns, starts = pattern
    weights, now = prior
    per = 7
    size = per * len(rotations)
    hessian, gradient = np.zeros((size, size)), weights * now
    for n in range(size):
        hessian[n, n] = weights[n]
    of_depth, slope = np.full(len(deeper), depth_prior), depth_prior * deeper
    mixed = np.zeros(len(unknowns))
    turn, by_y, by_x = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))
    residual, by_depth, jacobian = np.zeros(3), np.zeros(3), np.zeros((3, 2 * per))
    x, y = np.zeros(3), np.zeros(3)
    block = np.zeros((2 * per, 2 * per))  # of the hessian, from ties of the same two frames in a row
    for m in range(len(source)):
        s, t, c = source[m], target[m], corner[m]
        factor = np.exp(deeper[c] + larger[s])
        for i in range(3):
            x[i] = points[m, i] * factor
            y[i] = 0.0
            for j in range(3):
                turn[i, j] = 0.0
                for k in range(3):
                    turn[i, j] += rotations[t, k, i] * rotations[s, k, j]
                y[i] += rotations[t, j, i] * (centres[s, j] - centres[t, j])
        for i in range(3):
            y[i] += turn[i, 0] * x[0] + turn[i, 1] * x[1] + turn[i, 2] * x[2]
        z = max(y[2], 1e-3 * x[2])
        image = sure[0]
        deep = sure[1] if depth[m] > 0 else 0.0
        residual[0] = (y[0] / z - rays[m, 0]) * image
        residual[1] = (y[1] / z - rays[m, 1]) * image
        residual[2] = (np.log(z / depth[m]) - larger[t]) * deep if depth[m] > 0 else 0.0
        by_y[0, 0] = by_y[1, 1] = image / z
        by_y[0, 2], by_y[1, 2], by_y[2, 2] = -image * y[0] / z**2, -image * y[1] / z**2, deep / z
        squares = 0.0
        for r in range(3):
            squares += residual[r] * residual[r]
            for j in range(3):
                by_x[r, j] = by_y[r, 0] * turn[0, j] + by_y[r, 1] * turn[1, j] + by_y[r, 2] * turn[2, j]
            by_depth[r] = by_x[r, 0] * x[0] + by_x[r, 1] * x[1] + by_x[r, 2] * x[2]
            for j in range(3):
                k, n = (j + 1) % 3, (j + 2) % 3
                jacobian[r, j] = x[k] * by_x[r, n] - x[n] * by_x[r, k]
                jacobian[r, 3 + j] = by_x[r, j]
                jacobian[r, per + j] = by_y[r, k] * y[n] - by_y[r, n] * y[k]
                jacobian[r, per + 3 + j] = -by_y[r, j]
            jacobian[r, 6] = by_depth[r]
            jacobian[r, per + 6] = -deep if r == 2 else 0.0
        weight = share[m] / (1.0 + squares / wide)
        for r in range(3):
            of_depth[c] += weight * by_depth[r] * by_depth[r]
            slope[c] += weight * by_depth[r] * residual[r]
        for a in range(2 * per):
            first, second, third = weight * jacobian[0, a], weight * jacobian[1, a], weight * jacobian[2, a]
            row = per * s + a if a < per else per * t + a - per
            gradient[row] += first * residual[0] + second * residual[1] + third * residual[2]
            mixed[place[m, a]] += first * by_depth[0] + second * by_depth[1] + third * by_depth[2]
            for b in range(2 * per):
                block[a, b] += first * jacobian[0, b] + second * jacobian[1, b] + third * jacobian[2, b]
        if m + 1 == len(source) or source[m + 1] != s or target[m + 1] != t:
            for a in range(2 * per):
                row = per * s + a if a < per else per * t + a - per
                for b in range(per):
                    hessian[row, per * s + b] += block[a, b]
                    hessian[row, per * t + b] += block[a, per + b]
            block[:] = 0.0
    for c in range(len(deeper)):
        for a in range(starts[c], starts[c + 1]):
            carried = mixed[a] / of_depth[c]
            gradient[unknowns[a]] -= carried * slope[c]
            for b in range(starts[c], starts[c + 1]):
                hessian[unknowns[a], unknowns[b]] -= carried * mixed[b]
    return hessian, gradient, of_depth, slope, mixed
