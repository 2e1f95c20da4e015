"""Smooth random fields, the grain of every painted texture."""

import numpy as np
from PIL import Image

Array = np.ndarray


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Array:
    """Random values on a grid of ``cell`` (rows, columns) pixels, interpolated bicubically to ``shape``; about -1..1, float32."""
    rows, columns = shape
    grid_rows, grid_columns = int(rows / cell[0]) + 4, int(columns / cell[1]) + 4
    grid = rng.uniform(-1.0, 1.0, (grid_rows, grid_columns)).astype(np.float32)
    box = (1.0, 1.0, 1.0 + columns / cell[1], 1.0 + rows / cell[0])
    return np.asarray(Image.fromarray(grid).resize((columns, rows), Image.Resampling.BICUBIC, box=box))


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cell: float,
    octaves: int = 5,
    gain: float = 0.55,
    stretch: float = 1.0,
) -> Array:
    """Octaves of :func:`value_noise`, each of half the cell, scaled to unit standard deviation.

    Parameters
    ----------
    cell : size of the coarsest cell in pixels
    stretch : how much longer the cells are along the rows' direction (vertically), for wood grain and streaks
    """
    total = np.zeros(shape, np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        total += amplitude * value_noise(rng, shape, (max(cell * stretch, 1.0), max(cell, 1.0)))
        amplitude *= gain
        cell /= 2.0
        if cell < 1.0:
            break
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(first: Array, second: Array, weight: Array) -> Array:
    """Blend two colour fields (H, W, 3) by a mask (H, W)."""
    return first + (second - first) * weight[..., None]


def colours(*hexes: str) -> Array:
    """``"c06030"`` and the like as rows of sRGB values 0..1, (N, 3) float32."""
    return np.array([[int(h[i : i + 2], 16) / 255.0 for i in (0, 2, 4)] for h in hexes], np.float32)
