"""A person of simple shapes, walking."""

import bpy
import numpy as np

from .shapes import textures as paint
from .shapes.meshes import Array, Shape, box, lathe, place, rod
from .stage import Stage

NAME = "walker"
STEP = 0.64
"""Metres from one footfall to the next."""


class Walker:
    """Clothes made once; the body is built anew for every frame, since only its pose changes."""

    def __init__(self, stage: Stage) -> None:
        def cloth(name: str, seed: int, palette: tuple[str, ...], stripe: float) -> bpy.types.Material:
            return stage.material(paint.cloth(name, seed, (1.6, 1.2), palette, stripe), 0.004)

        self._materials = {
            "jersey": cloth("jersey", 101, ("c9382c", "efe6d2", "2c4a78", "efe6d2", "e0a030"), 0.045),
            "trousers": cloth("trousers", 102, ("3f5877", "4c678a", "35496a", "587298"), 0.02),
            "skin": stage.material(
                paint.speckled("skin", 103, (1.2, 0.8), ("c98f6b", "d9a27c", "b67c58", "e0b08c")), 0.002
            ),
            "leather": stage.material(
                paint.speckled("leather", 104, (1.0, 0.8), ("5a3520", "7a4a2c", "8d5a36", "4a2c1c")), 0.003
            ),
            "straw": stage.material(
                paint.cloth("straw", 105, (2.4, 1.0), ("d9b768", "c9a350", "e6cb86", "b8923f"), 0.018), 0.004
            ),
        }
        self._stage = stage

    def stand(self, place_xy: tuple[float, float], heading_deg: float, walked: float) -> None:
        """Put the figure on the floor after ``walked`` metres, heading as an angle from +x; takes its former self away."""
        if NAME in self._stage.things:
            self._stage.remove(NAME)
        matrix = place(place_xy[0], place_xy[1], 0.0, heading_deg)
        for material, shape in _body(np.pi * walked / STEP).items():
            self._stage.put(NAME, shape.placed(matrix), self._materials[material])


def _limb(start: Array, lengths: tuple[float, float], angles: tuple[float, float]) -> tuple[Array, Array]:
    """Middle and end joint of a two-piece limb; angles in radians from straight down, forwards positive."""
    middle = start + lengths[0] * np.array([np.sin(angles[0]), 0.0, -np.cos(angles[0])])
    return middle, middle + lengths[1] * np.array([np.sin(angles[1]), 0.0, -np.cos(angles[1])])


def _body(phase: float) -> dict[str, Shape]:
    """Shapes by material, walking towards +x, feet on z = 0."""
    parts = {name: Shape() for name in ("jersey", "trousers", "skin", "leather", "straw")}
    hip = np.array([0.0, 0.0, 0.93])
    ankles = []
    for side in (-1.0, 1.0):
        swing = side * np.sin(phase)
        forward = side * np.cos(phase)
        thigh = 0.48 * swing + 0.05
        shin = thigh - 0.12 - 0.75 * max(0.0, forward)
        joint = hip + [0.0, 0.095 * side, 0.0]
        knee, ankle = _limb(joint, (0.43, 0.42), (thigh, shin))
        ankles.append(ankle)
        parts["trousers"].add(rod(joint, knee, (0.105, 0.075)).shifted_uv(0.3 * side, 0.1))
        parts["trousers"].add(rod(knee, ankle, (0.076, 0.06)).shifted_uv(0.5 * side, 0.5))
        toe = ankle + 0.17 * np.array([np.cos(0.5 * shin), 0.0, np.sin(0.5 * shin) - 0.25])
        parts["leather"].add(rod(ankle - [0.03, 0.0, 0.02], toe, (0.055, 0.045)).shifted_uv(0.2 * side, 0.1))
        shoulder = np.array([0.0, 0.2 * side, 1.42])
        elbow, hand = _limb(shoulder, (0.29, 0.25), (-0.45 * swing, -0.45 * swing + 0.45))
        parts["jersey"].add(rod(shoulder, elbow, (0.062, 0.052)).shifted_uv(0.4 * side, 0.0))
        parts["jersey"].add(rod(elbow, hand, (0.051, 0.042)).shifted_uv(0.4 * side, 0.35))
        parts["skin"].add(rod(hand, hand + [0.03, 0.0, -0.07], (0.042, 0.036)).shifted_uv(0.3 * side, 0.2))
    trunk = [
        (0.02, 0.84),
        (0.15, 0.88),
        (0.165, 1.0),
        (0.15, 1.12),
        (0.185, 1.32),
        (0.17, 1.44),
        (0.08, 1.5),
        (0.05, 1.51),
    ]
    flat = np.diag([0.78, 1.15, 1.0, 1.0])
    parts["jersey"].add(lathe(trunk, 32).placed(flat))
    parts["leather"].add(
        lathe([(0.168, 0.93), (0.175, 0.94), (0.175, 0.985), (0.168, 0.995)], 32, lid=False).placed(flat)
    )
    parts["leather"].add(box((-0.24, -0.13), (-0.14, 0.14), (1.08, 1.42)).shifted_uv(0.3, -0.9))
    parts["skin"].add(rod((0.0, 0.0, 1.48), (0.01, 0.0, 1.58), (0.055, 0.05)).shifted_uv(0.0, 0.3))
    head = [(0.11 * np.sin(t), 1.66 - 0.135 * np.cos(t)) for t in np.linspace(0.05, np.pi - 0.05, 16)]
    parts["skin"].add(lathe(head, 28).placed(place(0.015)))
    parts["skin"].add(rod((0.115, 0.0, 1.655), (0.14, 0.0, 1.63), (0.018, 0.02), 10))
    brim = [(0.10, 1.705), (0.22, 1.69), (0.225, 1.70), (0.125, 1.725), (0.115, 1.80), (0.09, 1.825), (0.0, 1.83)]
    parts["straw"].add(lathe(brim, 36, lid=False).placed(place(0.0)))
    lowest = min(float(ankle[2]) for ankle in ankles) - 0.085
    down = place(0.0, 0.0, -lowest)
    return {name: shape.placed(down) for name, shape in parts.items()}
