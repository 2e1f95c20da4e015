"""Semi-global matching (Hirschmueller, PAMI 2008): the surface that agrees with the costs and bends little."""

from __future__ import annotations

import numpy as np

from ....monitor import Monitor

SMALL_STEP = 20  # cost of one plane's change between neighbouring pixels, in units of 1/1000 correlation
LARGE_STEP = 800  # of any larger change, on even ground
EDGE = 0.06  # difference of grey values at which a large change costs half
ROWS_PER_CHECK = 32


def aggregate(costs: np.ndarray, gray: np.ndarray, monitor: Monitor) -> np.ndarray:
    """Sum of the costs of the best paths into each pixel from 8 directions.

    Parameters
    ----------
    costs : (D, H, W) int16, 0 to 1000
    gray : (H, W) float32, 0 to 1; a step of depth is cheaper where it changes

    Returns
    -------
    (H, W, D) int16
    """
    costs = np.ascontiguousarray(costs.transpose(1, 2, 0))
    total = np.zeros_like(costs)
    for dy, dx in ((1, 0), (1, 1), (1, -1)):
        for sign in (1, -1):
            _path(costs, gray, sign * dy, sign * dx, total, monitor)
    across, sum_across = (
        np.ascontiguousarray(costs.transpose(1, 0, 2)),
        np.zeros_like(costs.transpose(1, 0, 2), order="C"),
    )
    for sign in (1, -1):
        _path(across, np.ascontiguousarray(gray.T), sign, 0, sum_across, monitor)
    total += sum_across.transpose(1, 0, 2)
    return total


def _path(costs: np.ndarray, gray: np.ndarray, dy: int, dx: int, total: np.ndarray, monitor: Monitor) -> None:
    length, width, depths = costs.shape
    order = range(length) if dy > 0 else range(length - 1, -1, -1)
    previous = np.full((width, depths + 2), 16000, np.int16)
    last = -1
    now = np.empty((width, depths), np.int16)
    for step, y in enumerate(order):
        if step % ROWS_PER_CHECK == 0:
            monitor.check()
        here = costs[y]
        if step == 0:
            now[:] = here
        else:
            before, before_gray = previous, gray[last]
            if dx:
                before, before_gray = np.roll(previous, dx, 0), np.roll(before_gray, dx)
            lowest = before[:, 1:-1].min(axis=1, keepdims=True)
            change = np.abs(gray[y] - before_gray)
            jump = np.maximum(LARGE_STEP / (1.0 + change / EDGE), SMALL_STEP * 1.5).astype(np.int16)[:, None]
            np.minimum(before[:, :-2], before[:, 2:], out=now)
            now += np.int16(SMALL_STEP)
            np.minimum(now, before[:, 1:-1], out=now)
            np.minimum(now, lowest + jump, out=now)
            now -= lowest
            now += here
            if dx:  # the path enters at the side
                edge = 0 if dx > 0 else width - 1
                now[edge] = here[edge]
        total[y] += now
        previous[:, 1:-1] = now
        last = y


def best_plane(total: np.ndarray) -> np.ndarray:
    """(H, W) float32 index of the least cost of each pixel, to a fraction; ``total`` is (H, W, D) int16."""
    depths = total.shape[-1]
    best = total.argmin(axis=-1)
    inner = best.clip(1, depths - 2)
    left, middle, right = (
        np.take_along_axis(total, (inner + k)[..., None], axis=-1)[..., 0].astype(np.float32) for k in (-1, 0, 1)
    )
    curvature = left - 2.0 * middle + right
    fraction = np.where(curvature > 0.0, (left - right) / (2.0 * np.maximum(curvature, 1e-6)), 0.0).clip(-0.5, 0.5)
    return np.where(inner == best, inner + fraction, best).astype(np.float32)
