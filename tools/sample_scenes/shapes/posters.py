"""Printed sheets: a big motif, a title, paper that has hung in the weather."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .noise import Array, colours, fractal, mix, smoothstep

SHEETS = (
    ("e9d9a8", "c23a2b", "1f3f5c", "e89a2d"),
    ("d8e2d0", "1f6f6b", "7a2f45", "e5b53a"),
    ("efe0c9", "2c4a86", "d3562c", "4f7d4a"),
    ("e4cfa0", "5c2f57", "d98e2b", "2f6a70"),
)


def _hex(colour: str) -> tuple[int, int, int]:
    return int(colour[:2], 16), int(colour[2:4], 16), int(colour[4:], 16)


def sheet(seed: int, title: str, motif: int, shape: tuple[int, int] = (480, 340)) -> Array:
    """(H, W, 3) float32 sRGB picture of a poster; ``motif`` 0 sun, 1 rings, 2 hills, 3 monkey's head."""
    height, width = shape
    paper, *inks = (_hex(c) for c in SHEETS[motif % len(SHEETS)])
    picture = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(picture)
    centre = np.array([width / 2, height * 0.42])
    if motif % 4 == 0:
        for k in range(24):
            angles = np.radians([k * 15 - 4, k * 15 + 4])
            corners = [tuple(centre + 600 * np.array([np.cos(a), np.sin(a)])) for a in angles]
            draw.polygon([tuple(centre), *corners], fill=inks[k % 3])
        _disc(draw, centre, 78, inks[2])
        _disc(draw, centre, 58, paper)
        _disc(draw, centre, 34, inks[0])
    elif motif % 4 == 1:
        for k, radius in enumerate((150, 128, 104, 86, 60, 42, 20)):
            _disc(draw, centre + (k - 3) * np.array([6, -5]), radius, (paper, *inks)[(k + 1) % 4])
    elif motif % 4 == 2:
        _disc(draw, centre + [55, -70], 44, inks[1])
        for k, base in enumerate((0.45, 0.56, 0.66)):
            x = np.linspace(0, width, 60)
            y = height * base + 38 * np.sin(x / (37 + 14 * k) + 2.1 * k) + 14 * np.sin(x / 11 + k)
            draw.polygon([*zip(x, y, strict=True), (width, height), (0, height)], fill=inks[(k + 2) % 3])
    else:
        for side in (-1, 1):
            _disc(draw, centre + [side * 105, -6], 46, inks[0])
            _disc(draw, centre + [side * 105, -6], 27, inks[1])
        _disc(draw, centre, 98, inks[0])
        _disc(draw, centre + [0, 52], 62, inks[1])
        for side in (-1, 1):
            _disc(draw, centre + [side * 38, -26], 32, paper)
            _disc(draw, centre + [side * 32, -22], 14, inks[2])
            _disc(draw, centre + [side * 12, 34], 6, inks[0])
        draw.arc([centre[0] - 36, centre[1] + 30, centre[0] + 36, centre[1] + 82], 15, 165, fill=inks[2], width=7)
    band = (0, int(height * 0.77), width, int(height * 0.95))
    draw.rectangle(band, fill=inks[2])
    font = ImageFont.load_default(min(62.0, 1.62 * width / max(len(title), 1)))
    draw.text((width / 2, height * 0.86), title, font=font, fill=paper, anchor="mm")
    draw.rectangle((0, 0, width - 1, height - 1), outline=inks[0], width=9)
    return _weathered(np.asarray(picture, np.float32) / 255.0, np.random.default_rng(seed))


def _disc(draw: ImageDraw.ImageDraw, centre: Array, radius: float, fill: tuple[int, int, int]) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _weathered(colour: Array, rng: np.random.Generator) -> Array:
    shape = (colour.shape[0], colour.shape[1])
    faded = mix(colour, colours("d9c9a5")[0] + 0 * colour, smoothstep(0.4, 2.4, fractal(rng, shape, 120.0, 5)) * 0.6)
    creases = smoothstep(0.05, 0.0, np.abs(fractal(rng, shape, 150.0, 4)))
    worn = mix(faded, colours("efe6d2")[0] + 0 * faded, creases * 0.5)
    fine = 1.0 + 0.07 * fractal(rng, shape, 9.0, 3, 0.9)
    return (worn * 0.93 * fine[..., None]).clip(0, 1)
