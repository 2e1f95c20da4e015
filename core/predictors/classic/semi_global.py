"""Semi-global matching (Hirschmueller, PAMI 2008): the surface that agrees with the costs and bends little."""

from __future__ import annotations

import torch

from ...monitor import Monitor

SMALL_STEP = 20  # cost of one plane's change between neighbouring pixels, in units of 1/1000 correlation
LARGE_STEP = 500  # of any larger change, on even ground
EDGE = 0.06  # difference of grey values at which a large change costs half
ROWS_PER_CHECK = 32


def aggregate(costs: torch.Tensor, gray: torch.Tensor, monitor: Monitor) -> torch.Tensor:
    """Sum of the costs of the best paths into each pixel from 8 directions.

    Parameters
    ----------
    costs : (H, W, D) int16, 0 to 1000
    gray : (H, W) float32, 0 to 1; a step of depth is cheaper where it changes

    Returns
    -------
    (H, W, D) int16
    """
    total = torch.zeros_like(costs)
    for dy, dx in ((1, 0), (1, 1), (1, -1), (0, 1)):
        for sign in (1, -1):
            _path(costs, gray, sign * dy, sign * dx, total, monitor)
    return total


def _path(costs: torch.Tensor, gray: torch.Tensor, dy: int, dx: int, total: torch.Tensor, monitor: Monitor) -> None:
    if dy == 0:  # along rows: the same with the axes swapped
        costs, gray, total, dy, dx = costs.transpose(0, 1), gray.T, total.transpose(0, 1), dx, 0
    length, width, depths = costs.shape
    order = range(length) if dy > 0 else range(length - 1, -1, -1)
    previous = torch.empty((width, depths + 2), dtype=torch.int16, device=costs.device)
    previous[:, 0] = previous[:, -1] = 16000
    last = -1
    for step, y in enumerate(order):
        if step % ROWS_PER_CHECK == 0:
            monitor.check()
        here = costs[y]
        if step == 0:
            now = here.clone()
        else:
            before, before_gray = previous, gray[last]
            if dx:
                before, before_gray = previous.roll(dx, 0), before_gray.roll(dx, 0)
            lowest = before[:, 1:-1].amin(dim=1, keepdim=True)
            change = (gray[y] - before_gray).abs()
            jump = (LARGE_STEP / (1.0 + change / EDGE)).clamp_(min=SMALL_STEP * 1.5).to(torch.int16)[:, None]
            now = torch.minimum(before[:, :-2], before[:, 2:])
            now += SMALL_STEP
            torch.minimum(now, before[:, 1:-1], out=now)
            torch.minimum(now, lowest + jump, out=now)
            now -= lowest
            now += here
            if dx:  # the path enters at the side
                edge = 0 if dx > 0 else width - 1
                now[edge] = here[edge]
        total[y] += now
        previous[:, 1:-1] = now
        last = y


def best_plane(total: torch.Tensor) -> torch.Tensor:
    """(H, W) float32 index of the least cost of each pixel, to a fraction; ``total`` is (H, W, D) int16."""
    depths = total.shape[-1]
    best = total.argmin(dim=-1)
    inner = best.clamp(1, depths - 2)
    left, middle, right = (torch.gather(total, -1, (inner + k)[..., None])[..., 0].float() for k in (-1, 0, 1))
    curvature = left - 2.0 * middle + right
    fraction = torch.where(curvature > 0.0, (left - right) / (2.0 * curvature.clamp(min=1e-6)), 0.0).clamp_(-0.5, 0.5)
    return torch.where(inner == best, inner + fraction, best.float())
