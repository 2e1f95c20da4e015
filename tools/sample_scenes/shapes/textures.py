"""Painted surfaces: every brick, plank and tile has a colour of its own, so that no two places look alike.

Each function returns a :class:`Texture` whose pixels are sRGB with the relief in the fourth channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .noise import Array, colours, fractal, mix, smoothstep, value_noise
from .posters import sheet

DENSITY = 190
"""Pixels per metre: above what the closest surface of the courtyard's photos shows."""

BRICK = ("a4532f", "b8653c", "8c4029", "c67a4c", "96543d", "b05a44", "7b3a2a", "c98d62")
SANDSTONE = ("c9b58b", "b9a06f", "d6c6a1", "a9966f", "c2a67c", "b3a184", "dccda4")
SLATE = ("7d8790", "6a7681", "8e979b", "9a938a", "75706c", "87919e")
FLAGSTONE = ("b89c7c", "a3896e", "c4ad8e", "947d68", "b5a493", "a88a74", "cbb89c", "8f8478")
ROOF = ("b5573a", "a1492f", "c46a48", "8f4433", "bd7250", "9c5a45")


@dataclass
class Texture:
    """Pixels and the size they cover.

    pixels : (H, W, 4) float32, sRGB and height, 0..1, first row at the top
    size : width and height in metres
    """

    name: str
    pixels: Array
    size: tuple[float, float]


def _canvas(size: tuple[float, float], density: float = DENSITY) -> tuple[tuple[int, int], Array, Array]:
    """Shape of the image, and the metres (x right, z up) of each pixel."""
    columns, rows = round(size[0] * density), round(size[1] * density)
    x = (np.arange(columns, dtype=np.float32) + 0.5) / density
    z = size[1] - (np.arange(rows, dtype=np.float32) + 0.5) / density
    across, up = np.meshgrid(x, z)
    return (rows, columns), across, up


def _finish(name: str, size: tuple[float, float], colour: Array, height: Array) -> Texture:
    pixels = np.dstack([colour, height]).clip(0.02, 0.98).astype(np.float32)
    return Texture(name, pixels, size)


def _grain(rng: np.random.Generator, shape: tuple[int, int], strength: float = 1.0) -> Array:
    """Brightness factor with detail at every scale, from metres to single pixels."""
    coarse = fractal(rng, shape, 220.0, 4)
    fine = fractal(rng, shape, 20.0, 4, 0.8)
    return 1.0 + strength * (0.06 * coarse + 0.075 * fine)


def _courses(
    rng: np.random.Generator, x: Array, z: Array, width: float, height: float, wobble: float, irregular: float = 0.0
) -> tuple[Array, Array, Array]:
    """Running bond: number of the brick at each pixel, distance to its edge in metres, and the local x in 0..1."""
    shape = (x.shape[0], x.shape[1])
    x = x + wobble * fractal(rng, shape, 30.0, 3)
    z = z + wobble * fractal(rng, shape, 30.0, 3)
    row = np.floor(z / height).astype(int)
    row -= row.min()
    shift = rng.uniform(0.0, width, row.max() + 1) * irregular + width * 0.5 * (np.arange(row.max() + 1) % 2)
    stretched = (x + shift[row]) / width
    column = np.floor(stretched).astype(int)
    column -= column.min()
    local_x = stretched - np.floor(stretched)
    local_z = z / height - np.floor(z / height)
    edge = np.minimum(np.minimum(local_x, 1 - local_x) * width, np.minimum(local_z, 1 - local_z) * height)
    return row * (column.max() + 1) + column, edge, local_x


def bricks(
    name: str,
    seed: int,
    size: tuple[float, float],
    palette: Sequence[str] = BRICK,
    brick: tuple[float, float] = (0.27, 0.085),
    mortar: str = "b9ab98",
    plaster: str | None = None,
    plaster_share: float = 0.3,
    joint: float = 0.012,
    irregular: float = 0.25,
    density: float = DENSITY,
) -> Texture:
    """A weathered wall: bricks or stone blocks, mortar, damp and soot, and remains of plaster where given."""
    rng = np.random.default_rng(seed)
    shape, x, z = _canvas(size, density)
    number, edge, _ = _courses(rng, x, z, *brick, wobble=0.0035, irregular=irregular)
    count = number.max() + 1
    tones = colours(*palette)[rng.integers(0, len(palette), count)]
    tones = tones * rng.uniform(0.72, 1.22, (count, 1)) + rng.normal(0, 0.02, (count, 3))
    colour = tones[number].astype(np.float32) * _grain(rng, shape, 1.2)[..., None]
    speckle = fractal(rng, shape, 7.0, 3, 0.9)
    colour = mix(colour, colour * 0.62, smoothstep(1.1, 1.9, speckle) * 0.8)
    chips = edge + 0.006 * fractal(rng, shape, 12.0, 3)
    inside = smoothstep(joint * 0.35, joint, chips)
    joints = colours(mortar)[0] * (_grain(rng, shape, 1.8)[..., None])
    colour = mix(joints, colour, inside)
    relief = 0.25 + 0.5 * inside * rng.uniform(0.75, 1.1, count)[number] + 0.03 * speckle
    if plaster is not None:
        field = fractal(rng, shape, 330.0, 6)
        level = float(np.quantile(field, 1.0 - plaster_share))
        cover = smoothstep(level, level + 0.05, field)
        rim = smoothstep(level - 0.10, level, field) * (1 - cover)
        coat = colours(plaster)[0] * _grain(rng, shape, 1.5)[..., None]
        cracks = smoothstep(0.035, 0.0, np.abs(fractal(rng, shape, 120.0, 5)))
        coat = mix(coat, coat * 0.55, cracks)
        colour = mix(mix(colour, colour * 0.6, rim), coat, cover)
        relief = relief * (1 - cover) + cover * (0.95 - 0.2 * cracks + 0.02 * speckle)
    streaks = fractal(rng, shape, 45.0, 4, stretch=9.0)
    colour = mix(colour, colour * np.array([0.62, 0.58, 0.55], np.float32), smoothstep(0.7, 2.2, streaks) * 0.75)
    colour = mix(colour, colours("e6dccb")[0] + 0 * colour, smoothstep(1.3, 2.6, fractal(rng, shape, 160.0, 6)) * 0.4)
    damp = smoothstep(0.75, 0.0, z + 0.22 * fractal(rng, shape, 70.0, 5))
    colour = mix(colour, colour * np.array([0.55, 0.66, 0.42], np.float32), damp * 0.8)
    return _finish(name, size, colour, relief)


def planks(
    name: str,
    seed: int,
    size: tuple[float, float],
    palette: Sequence[str],
    width: float = 0.13,
    paint: str | None = None,
    wear: float = 0.35,
    density: float = DENSITY * 1.3,
) -> Texture:
    """Upright boards with grain, knots and nails, and worn paint where given."""
    rng = np.random.default_rng(seed)
    shape, x, z = _canvas(size, density)
    board = np.floor(x / width).astype(int)
    count = board.max() + 1
    local = x / width - board
    bend = 0.6 * value_noise(rng, shape, (90.0, 14.0))
    streak = fractal(rng, shape, 9.0, 3, 0.8, stretch=16.0)
    rings = np.sin((local * 19.0 + bend * 5.0 + rng.uniform(0, 9, count)[board] + 0.25 * streak) * 2.2)
    tones = colours(*palette)[rng.integers(0, len(palette), count)] * rng.uniform(0.75, 1.2, (count, 1))
    shade = 1.0 + 0.10 * rings + 0.13 * streak + 0.08 * fractal(rng, shape, 60.0, 4)
    colour = tones[board].astype(np.float32) * shade[..., None]
    relief = 0.7 + 0.05 * rings + 0.06 * streak
    if paint is not None:
        coat = (
            colours(paint)[0] * (0.8 + 0.35 * rng.random(count))[board][..., None] * _grain(rng, shape, 1.8)[..., None]
        )
        field = fractal(rng, shape, 60.0, 6, 0.7, stretch=2.5) + 0.35 * streak
        worn = float(np.quantile(field, wear))
        cover = smoothstep(worn, worn + 0.18, field)
        colour = mix(colour, coat * (1 + 0.06 * streak[..., None]), cover)
        relief = relief + 0.12 * cover
    for _ in range(int(size[0] * size[1] * 9)):
        centre_x, centre_z, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0.007, 0.022)
        knot = np.exp(-(((x - centre_x) ** 2) + ((z - centre_z) / 1.7) ** 2) / radius**2)
        colour = mix(colour, colour * np.array([0.42, 0.34, 0.3], np.float32), np.minimum(knot * 1.3, 1.0))
    gap = np.minimum(local, 1 - local) * width
    colour = mix(colour * 0.28, colour, smoothstep(0.002, 0.007, gap))
    relief = relief * smoothstep(0.0, 0.008, gap)
    dirt = smoothstep(0.4, 2.4, fractal(rng, shape, 120.0, 6))
    return _finish(name, size, mix(colour, colour * 0.6, dirt * 0.7), relief)


def flagstones(
    name: str, seed: int, size: tuple[float, float], carpet: tuple[float, float, float, float], density: float = DENSITY
) -> Texture:
    """A yard's floor: flagstones, and a carpet (x0, x1, z0, z1 in metres) of patterned cement tiles, no two alike."""
    rng = np.random.default_rng(seed)
    shape, x, z = _canvas(size, density)
    number, edge, _ = _courses(rng, x, z, 0.62, 0.43, wobble=0.006, irregular=1.0)
    count = number.max() + 1
    tones = colours(*FLAGSTONE)[rng.integers(0, len(FLAGSTONE), count)] * rng.uniform(0.78, 1.15, (count, 1))
    colour = tones[number].astype(np.float32)
    inside = smoothstep(0.004, 0.014, edge + 0.006 * fractal(rng, shape, 14.0, 3))
    tile_colour, tile_edge = _cement_tiles(rng, x, z, 0.4)
    x0, x1, z0, z1 = carpet
    on_carpet = ((x > x0) & (x < x1) & (z > z0) & (z < z1)).astype(np.float32)
    colour = mix(colour, tile_colour, on_carpet)
    inside = inside * (1 - on_carpet) + on_carpet * smoothstep(0.002, 0.007, tile_edge)
    border = np.maximum(np.maximum(x0 - x, x - x1), np.maximum(z0 - z, z - z1))
    rim = (smoothstep(0.0, 0.01, border) * smoothstep(0.2, 0.19, border)).astype(np.float32)
    slab = np.floor((x + 0.7 * z) / 0.31).astype(int)
    slab -= slab.min()
    rim_colour = colours("4d4a52", "6b5a50", "59606b", "7a6a5c")[rng.integers(0, 4, slab.max() + 1)][slab]
    colour = mix(colour, rim_colour, rim)
    colour = mix(colour * 0.45, colour, inside) * _grain(rng, shape, 1.5)[..., None]
    stains = fractal(rng, shape, 260.0, 7, 0.65)
    colour = mix(colour, colour * np.array([0.66, 0.62, 0.55], np.float32), smoothstep(0.5, 2.0, stains) * 0.8)
    colour = mix(
        colour, colours("d8cdb8")[0] + 0 * colour, smoothstep(0.8, 2.4, fractal(rng, shape, 150.0, 7, 0.7)) * 0.45
    )
    speckle = fractal(rng, shape, 5.0, 2, 0.9)
    colour = mix(colour, colour * 0.6, smoothstep(1.2, 2.0, speckle) * 0.7)
    moss = smoothstep(0.9, 1.8, fractal(rng, shape, 90.0, 6)) * (1 - inside)
    colour = mix(colour, colours("5d6b32")[0] + 0 * colour, moss)
    return _finish(name, size, colour, 0.2 + 0.6 * inside + 0.03 * speckle)


def _cement_tiles(rng: np.random.Generator, x: Array, z: Array, side: float) -> tuple[Array, Array]:
    """Colour and distance to the tile's edge of a patchwork of patterned tiles."""
    column, row = np.floor(x / side).astype(int), np.floor(z / side).astype(int)
    number = (row - row.min()) * (column.max() + 1) + column
    count = number.max() + 1
    u, v = 2 * (x / side - column) - 1, 2 * (z / side - row) - 1
    turn = rng.integers(0, 4, count)[number]
    u, v = np.where(turn % 2 == 0, u, v), np.where(turn % 2 == 0, v, u)
    u, v = np.where(turn < 2, u, -u), np.where((turn == 1) | (turn == 2), v, -v)
    radius, corner = np.hypot(u, v), np.hypot(u + 1, v + 1)
    diamond = np.abs(u) + np.abs(v)
    angle = np.arctan2(v, u)
    patterns = [
        np.abs(corner - 1.0) < 0.32,
        (diamond < 0.95) ^ (diamond < 0.42),
        radius < 0.55 + 0.28 * np.cos(4 * angle),
        (np.abs(corner - 0.62) < 0.18) | (np.abs(corner - 1.45) < 0.2),
        np.maximum(np.abs(u), np.abs(v)) > 0.66,
        (u + v > 0.15) ^ (radius < 0.42),
        radius < 0.5 + 0.22 * np.cos(6 * angle + 0.7),
        np.abs(np.mod(u + 0.35 * np.sin(3 * v), 0.66) - 0.33) < 0.15,
    ]
    chosen = rng.integers(0, len(patterns), count)[number]
    on = np.choose(chosen, patterns)
    ground = colours("e2d4b4", "d7c39d", "cfc9b8", "b8c4bd", "d9b48a", "e8dcc6")
    figure = colours("2f6072", "9c3b2c", "3f5f4a", "c98a2e", "34455f", "7a3f55", "50738a", "a85d2a")
    first = (ground[rng.integers(0, len(ground), count)] * rng.uniform(0.82, 1.06, (count, 1)))[number]
    second = (figure[rng.integers(0, len(figure), count)] * rng.uniform(0.85, 1.2, (count, 1)))[number]
    dot = (radius < rng.uniform(0.0, 0.3, count)[number])[..., None]
    colour = np.where(dot, second * 0.5 + first * 0.5, np.where(on[..., None], second, first))
    edge = (1 - np.maximum(np.abs(u), np.abs(v))) * side / 2
    return colour.astype(np.float32), edge


def cloth(name: str, seed: int, size: tuple[float, float], palette: Sequence[str], stripe: float) -> Texture:
    """Woven stripes of uneven width with folds and stains."""
    rng = np.random.default_rng(seed)
    shape, x, z = _canvas(size, DENSITY * 1.6)
    bands = np.floor((z + 0.008 * fractal(rng, shape, 60.0, 3)) / stripe).astype(int)
    bands -= bands.min()
    tones = colours(*palette)[rng.permutation(np.arange(bands.max() + 1) % len(palette))]
    weave = 1 + 0.08 * np.sin(x * 900) * np.sin(z * 900) + 0.10 * fractal(rng, shape, 14.0, 4, 0.8)
    colour = tones[bands] * (weave + 0.1 * fractal(rng, shape, 70.0, 3))[..., None]
    return _finish(name, size, colour, 0.5 + 0.05 * fractal(rng, shape, 10.0, 3))


def speckled(name: str, seed: int, size: tuple[float, float], palette: Sequence[str], cell: float = 60.0) -> Texture:
    """Mottled stone, clay, iron or leaf: bands of the palette chosen by noise, with speckles."""
    rng = np.random.default_rng(seed)
    shape, _, _ = _canvas(size, DENSITY * 1.3)
    field = fractal(rng, shape, cell, 6, 0.7)
    place = (np.clip(field / 4.4 + 0.5, 0, 0.999) * (len(palette) - 1)).astype(np.float32)
    table = colours(*palette)
    low = np.floor(place).astype(int)
    colour = mix(table[low], table[low + 1], place - low)
    speckle = fractal(rng, shape, 6.0, 3, 0.9)
    colour = mix(colour, colour * 0.55, smoothstep(0.9, 1.7, speckle) * 0.8)
    colour = mix(colour, np.minimum(colour * 1.5, 1), smoothstep(1.0, 1.8, -speckle) * 0.6)
    return _finish(name, size, colour * _grain(rng, shape)[..., None], 0.5 + 0.08 * field + 0.05 * speckle)


def poster(name: str, seed: int, title: str, motif: int) -> Texture:
    """A weathered poster, 0.71 m by 1 m."""
    picture = sheet(seed, title, motif)
    return _finish(
        name, (picture.shape[1] / picture.shape[0], 1.0), picture, np.full(picture.shape[:2], 0.5, np.float32)
    )
