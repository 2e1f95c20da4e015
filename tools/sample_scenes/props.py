"""Things that stand about in both scenes: crates, barrels, windows, doors, pots, posters."""

import bpy
import numpy as np

from .shapes import textures as paint
from .shapes.meshes import Array, Shape, arch_outline, box, lathe, leaf, place, prism
from .stage import Stage

WOODS = (("b58d5c", "a67c4d", "c49c69"), ("8b6b4a", "9a7853", "7b5c3d"), ("c7a06b", "b08850", "d2b07c"))
CLAY = ("8f4a2c", "a9593a", "bd6f49", "c98a63", "99502f")
GREEN = ("2f4d1c", "4a6b28", "6d8a38", "8fa353", "3c5a20")
IRON = ("3d3a3a", "5a504a", "7a4a30", "4a4644", "8d5c3c")


class Props:
    """Puts things on a stage; materials that several things share are painted once.

    seed : of the textures, so that the two scenes differ
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.seed = seed
        self._counts: dict[str, int] = {}
        self.iron = stage.material(paint.speckled("iron", seed + 1, (3.0, 3.2), IRON, 25.0))
        self.clay = stage.material(paint.speckled("clay", seed + 2, (2.4, 1.4), CLAY))
        self.green = stage.material(paint.speckled("leaves", seed + 3, (3.0, 3.0), GREEN, 40.0))
        self.frame = stage.material(paint.planks("frames", seed + 4, (3.0, 2.2), ("8a6a48", "7a5c3e", "9a7b55"), 0.14))

    def _next(self, kind: str) -> tuple[str, int]:
        """Name of the next thing of a kind, and a seed of its own."""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind} {count}", self.seed + 10 * len(kind) + 100 * count

    def crate(self, x: float, y: float, z: float, side: float, turn: float) -> None:
        """Wooden crate whose first corner is at (x, y)."""
        name, seed = self._next("crate")
        wood = self.stage.material(paint.planks(name, seed, (2.6, 2.2), WOODS[seed // 100 % 3], 0.12))
        self.stage.put(name, _crate(side).placed(place(x, y, z, turn)), wood)

    def barrel(self, x: float, y: float, height: float, radius: float) -> None:
        """Standing barrel with iron hoops."""
        name, seed = self._next("barrel")
        wood = self.stage.material(paint.planks(name, seed, (2.6, 1.6), WOODS[(seed // 100 + 1) % 3], 0.1))
        staves, hoops = _barrel(height, radius)
        where = place(x, y, 0.0, 0.37 * seed)
        self.stage.put(name, staves.placed(where), wood)
        self.stage.put(name, hoops.placed(where), self.iron)

    def pot(self, x: float, y: float, size: float) -> None:
        """Clay pot and the plant in it, two things."""
        name, seed = self._next("pot")
        rng = np.random.default_rng(seed)
        profile = [(0.17, 0.0), (0.24, 0.36), (0.28, 0.38), (0.28, 0.46), (0.23, 0.46), (0.22, 0.40)]
        where = place(x, y, 0.0, float(rng.uniform(0, 360)), scale=size)
        self.stage.put(name, lathe(profile, 32).shifted_uv(*rng.uniform(0, 1, 2)).placed(where), self.clay)
        bush = Shape()
        for k in range(26):
            one = leaf(rng.uniform(0.4, 0.7), rng.uniform(0.05, 0.085), rng.uniform(0.3, 1.2)).shifted_uv(
                *rng.uniform(0, 2.2, 2)
            )
            bush.add(one.placed(place(0, 0, 0.4, turn=137.5 * k + rng.uniform(-15, 15))))
        self.stage.put(name.replace("pot", "plant"), bush.placed(where), self.green)

    def window(self, wall: Array, x: float, paint_hex: str, ajar: float = 38.0) -> None:
        """Frame, sill and two shutters, one ajar, on a wall whose face is y = 0 of ``wall`` (4, 4), looking to -y."""
        name, seed = self._next("window")
        shutter = self.stage.material(
            paint.planks(name, seed, (1.4, 1.5), ("8a6f52", "9b8062"), 0.11, paint=paint_hex, wear=0.3)
        )
        z0, z1 = 1.45, 2.75
        frame = Shape()
        frame.add(box((x - 0.62, x + 0.62), (-0.10, 0.0), (z1, z1 + 0.13)))
        frame.add(box((x - 0.66, x + 0.66), (-0.20, 0.0), (z0 - 0.1, z0)))
        frame.add(box((x - 0.62, x - 0.5), (-0.08, 0.0), (z0, z1)))
        frame.add(box((x + 0.5, x + 0.62), (-0.08, 0.0), (z0, z1)))
        self.stage.put(name, frame.shifted_uv(0.31 * seed, 0.4).placed(wall), self.frame)
        shut = box((x - 0.5, x), (-0.05, 0.0), (z0, z1)).shifted_uv(0.6 - x, -z0 + 0.1)
        self.stage.put(name, shut.placed(wall), shutter)
        wing = box((0.0, 0.5), (-0.05, 0.0), (z0, z1)).shifted_uv(0.75, -z0 + 0.1)
        self.stage.put(name, wing.placed(wall @ place(x + 0.5, -0.03, 0.0, turn=180 + ajar)), shutter)

    def door(self, wall: Array, x: float, paint_hex: str, width: float = 1.4, height: float = 2.25) -> None:
        """Painted door with a heavy frame and two battens on a wall as in :meth:`window`."""
        name, seed = self._next("door")
        boards = paint.planks(name, seed, (2.2, 2.6), ("7d5f42", "8e6d4c"), 0.16, paint=paint_hex, wear=0.28)
        beams = paint.planks(f"{name} beams", seed + 1, (2.4, 3.0), ("6b5138", "7c6045", "5d4733"), 0.12)
        a, b = x - width / 2, x + width / 2
        leaf_box = box((a, b), (-0.06, 0.0), (0.02, height)).shifted_uv(0.1 - a, 0.1)
        self.stage.put(name, leaf_box.placed(wall), self.stage.material(boards))
        beam = Shape()
        beam.add(box((a - 0.18, a), (-0.15, 0.0), (0.0, height + 0.1)))
        beam.add(box((b, b + 0.18), (-0.15, 0.0), (0.0, height + 0.1)))
        beam.add(box((a - 0.28, b + 0.28), (-0.20, 0.0), (height + 0.1, height + 0.3)))
        for z in (0.45, height - 0.5):
            beam.add(box((a + 0.04, b - 0.04), (-0.09, -0.06), (z, z + 0.1)).shifted_uv(0.4, 0.2))
        self.stage.put(name, beam.shifted_uv(1.2 - x, 0.1).placed(wall), self.stage.material(beams))

    def poster(
        self, wall: Array, x: float, z: float, title: str, motif: int, height: float = 1.0, tilt: float = 0.0
    ) -> None:
        """Printed sheet on a thin board, its middle at (x, z) of a wall as in :meth:`window`."""
        name, seed = self._next("poster")
        sheet = paint.poster(name, seed, title, motif)
        width = height * sheet.size[0] / sheet.size[1]
        sheet.size = (width, height)
        board = box((0.0, width), (-0.02, 0.0), (0.0, height))
        lean = np.eye(4)
        c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        lean[:3, :3] = (c, 0, -s), (0, 1, 0), (s, 0, c)
        middle = np.eye(4)
        middle[[0, 2], 3] = -width / 2, -height / 2
        where = wall @ place(x, 0.0, z) @ lean @ middle
        self.stage.put(name, board.placed(where), self.stage.material(sheet, 0.002))

    def bench(self, x: float, y: float, turn: float, length: float = 1.5) -> None:
        """Bench of thick boards, its middle at (x, y)."""
        name, seed = self._next("bench")
        wood = self.stage.material(paint.planks(name, seed, (2.0, 1.4), WOODS[seed // 100 % 3], 0.12))
        half = length / 2
        shape = box((-half, half), (-0.2, 0.2), (0.41, 0.47)).shifted_uv(half, 0.2)
        for side in (-1, 1):
            shape.add(
                box((side * (half - 0.2) - 0.05, side * (half - 0.2) + 0.05), (-0.17, 0.17), (0.0, 0.41)).shifted_uv(
                    0.9, 0.3
                )
            )
        self.stage.put(name, shape.placed(place(x, y, 0.0, turn)), wood)

    def arch(
        self, wall: Array, centre: float, half: float, spring: float, depth: float, stone: bpy.types.Material
    ) -> None:
        """Cut stones around an opening: two piers and a ring of wedges with a keystone; ``depth`` of the wall behind its face."""
        name, _ = self._next("arch")
        front = -0.12
        shape = Shape()
        for side in (-1, 1):
            x0 = centre + side * (half + 0.16) - 0.17
            shape.add(box((x0, x0 + 0.34), (front - 0.02, depth), (0.0, spring)).shifted_uv(2.0 + side - x0, 0.0))
            shape.add(
                box((x0 - 0.05, x0 + 0.39), (front - 0.07, depth), (spring - 0.12, spring)).shifted_uv(
                    4 + side - x0, 0.3
                )
            )
        angles = np.linspace(0.0, np.pi, 12)
        for i in range(11):
            a, b = angles[i] + 0.006, angles[i + 1] - 0.006
            key = i == 5
            outer, inner = half + (0.46 if key else 0.33), half - (0.03 if key else 0.0)
            corners = [(outer, a), (outer, b), (inner, b), (inner, a)]
            outline = [(centre + r * float(np.cos(t)), spring + r * float(np.sin(t))) for r, t in corners]
            wedge = prism(outline, (front - (0.08 if key else 0.013 * (i % 3)), depth))
            shape.add(wedge.shifted_uv(1.3 + 0.37 * i, 0.21 * (i % 5)))
        self.stage.put(name, shape.placed(wall), stone)


def wall_with_arch(
    x: tuple[float, float], height: float, depth: float, centre: float, half: float, spring: float
) -> Shape:
    """A wall with its face at y = 0, looking to -y, and an arched opening."""
    opening = arch_outline(centre, half, spring)
    outline = [(x[1], 0.0), (x[1], height), (x[0], height), (x[0], 0.0)]
    # From the bottom left of the opening over its top to the bottom right, as the wall's lower edge runs.
    return prism([*opening[::-1], *outline], (0.0, depth))


def _crate(side: float, thick: float = 0.035) -> Shape:
    """A box of boards: posts and rails, and boards set back between them."""
    shape = box((thick, side - thick), (thick, side - thick), (0.02, side - 0.02)).shifted_uv(0.3, 0.2)
    w = side * 0.15
    for x in (0.0, side - w):
        for y in (0.0, side - w):
            shape.add(box((x, x + w), (y, y + w), (0.0, side)).shifted_uv(x + y, y))
    for z in (0.0, side - w):
        for a in (0.0, side - w):
            shape.add(box((w, side - w), (a, a + w), (z, z + w)).shifted_uv(a, z + 0.7))
            shape.add(box((a, a + w), (w, side - w), (z, z + w)).shifted_uv(1.1, a + z))
    return shape


def _barrel(height: float, radius: float) -> tuple[Shape, Shape]:
    """Staves and hoops."""
    t = np.linspace(0.0, 1.0, 13)
    belly = radius * (0.80 + 0.20 * np.sin(np.pi * t))
    profile = [(float(r), float(height * s)) for r, s in zip(belly, t, strict=True)]
    rim = profile[-1][0]
    staves = lathe([*profile, (rim - 0.03, height), (rim - 0.03, height - 0.05)], 40)
    hoops = Shape()
    for s in (0.06, 0.27, 0.73, 0.94):
        low, high = s - 0.03, s + 0.03
        r0, r1 = (radius * (0.80 + 0.20 * float(np.sin(np.pi * q))) for q in (low, high))
        ring = [
            (r0 - 0.01, height * low),
            (r0 + 0.012, height * low),
            (r1 + 0.012, height * high),
            (r1 - 0.01, height * high),
        ]
        hoops.add(lathe(ring, 40, smooth=False, lid=False).shifted_uv(0.0, 3 * s))
    return staves, hoops
