"""A house that can be walked around: four different fronts, a street, and four different walls across it."""

import numpy as np

from .props import Props, wall_with_arch
from .shapes import textures as paint
from .shapes.meshes import box, place, prism
from .stage import Stage, light

HALF, OUTER = 3.2, 8.4
DENSITY = 110.0
"""Pixels per metre of the painted walls: the photos are small."""

FRONTS = [place(HALF * np.sin(np.radians(t)), -HALF * np.cos(np.radians(t)), 0.0, t) for t in (0, 90, 180, 270)]
ACROSS = [place(-OUTER * np.sin(np.radians(t)), OUTER * np.cos(np.radians(t)), 0.0, t) for t in (0, 90, 180, 270)]
"""Wall faces, looked at from the street: x to the right, y into the wall. ``ACROSS`` 0 is the north side of the street."""


def build() -> Stage:
    """The block; the walk starts south of it and goes east."""
    stage = Stage()
    props = Props(stage, 5000)
    street = paint.flagstones("street", 211, (22.0, 22.0), carpet=(3.2, 8.4, 15.0, 18.9), density=DENSITY)
    stage.put("street", box((-11.0, 11.0), (-11.0, 11.0), (-0.2, 0.0)).shifted_uv(11.0, 11.0), stage.material(street))
    _house(stage, props)
    _across(stage, props)
    _street_furniture(props)
    light((-0.45, -0.5, 0.95), fill=1.9)
    return stage


def _house(stage: Stage, props: Props) -> None:
    size = (6.6, 3.8)
    fronts = (
        paint.bricks("front south", 221, size, plaster="d9b27c", plaster_share=0.25, density=DENSITY),
        paint.bricks("front east", 222, size, plaster="b9c4b4", plaster_share=0.72, density=DENSITY),
        paint.planks(
            "front north",
            223,
            size,
            ("9a7a55", "86684a", "b0916a", "77593c"),
            0.19,
            paint="5d7f8c",
            wear=0.5,
            density=DENSITY,
        ),
        paint.bricks(
            "front west", 224, size, paint.SANDSTONE, (0.46, 0.24), "97896f", joint=0.02, irregular=1.0, density=DENSITY
        ),
    )
    for wall, front, label in zip(FRONTS, fronts, ("south", "east", "north", "west"), strict=True):
        # Each front is a wedge of the house, mitred so that the four meet without overlapping.
        shape = box((-HALF, HALF), (0.0, 0.3), (0.0, 3.4)).shifted_uv(HALF + 0.1, 0.1)
        shape.points = [(x * (HALF - y) / HALF, y, z) for x, y, z in shape.points]
        stage.put(f"front {label}", shape.placed(wall), stage.material(front))
        tiles = paint.bricks(
            f"roof {label}", 231 + len(label), (8.0, 5.2), paint.ROOF, (0.2, 0.28), "5a3324", joint=0.026, density=80.0
        )
        slope = prism([(-3.7, 0.0), (3.7, 0.0), (0.0, 4.6)], (-0.03, 0.03)).shifted_uv(3.9, 0.2)
        lean = place(0.0, -0.5, 3.35, tilt=-np.degrees(np.arcsin(3.7 / 4.6)))
        stage.put("roof", slope.placed(wall @ lean), stage.material(tiles))
    south, east, north, west = FRONTS
    props.door(south, -0.9, "2f6a58")
    props.window(south, 1.7, "3f7f86")
    props.poster(south, 0.45, 1.8, "SUZANNE", 3, 0.95, 2.0)
    props.poster(south, -2.45, 1.7, "SOL", 0, 1.1, -2.0)
    props.window(east, -1.9, "a8452f")
    props.window(east, 1.2, "c58a2a", 62.0)
    props.poster(east, -0.35, 1.75, "PASEO", 2, 1.2, -1.0)
    props.door(north, 1.3, "a04a30", 1.6)
    props.window(north, -1.4, "6f8a3c", 20.0)
    props.poster(north, 0.0, 1.7, "RONDA", 1, 0.9, 3.0)
    props.window(west, -1.5, "5b4a80", 50.0)
    props.door(west, 0.6, "31527d", 1.2, 2.1)
    props.poster(west, 2.1, 1.8, "FERIA", 0, 1.15, 1.5)


def _across(stage: Stage, props: Props) -> None:
    size = (17.2, 3.4)
    walls = (
        paint.bricks("wall north", 241, size, plaster="cf9f6a", plaster_share=0.5, density=DENSITY),
        paint.bricks(
            "wall west",
            242,
            size,
            paint.SLATE + paint.SANDSTONE[:3],
            (0.5, 0.26),
            joint=0.02,
            irregular=1.0,
            density=DENSITY,
        ),
        paint.bricks("wall south", 243, size, plaster="c8b7a0", plaster_share=0.2, density=DENSITY),
        paint.bricks(
            "wall east", 244, size, paint.BRICK[:4] + paint.SANDSTONE[:3], (0.34, 0.13), joint=0.016, density=DENSITY
        ),
    )
    stone = stage.material(
        paint.bricks(
            "arch stone", 245, (9.0, 2.4), paint.SANDSTONE, (0.31, 0.6), "8f8468", joint=0.014, density=DENSITY
        )
    )
    paints = ("7a3f55", "3f6f5a", "b0682a", "44608a")
    for i, (wall, texture) in enumerate(zip(ACROSS, walls, strict=True)):
        label, height, opening = texture.name, 2.6 + 0.25 * (i % 3), (-3.0, 2.4, 1.0, -1.6)[i]
        shape = wall_with_arch((-8.4, 8.4), height, 0.4, opening, 0.9, 1.2).shifted_uv(8.6, 0.1)
        stage.put(label, shape.placed(wall), stage.material(texture))
        props.arch(wall, opening, 0.9, 1.2, 0.45, stone)
        gate = paint.planks(f"gate {i + 1}", 251 + i, (2.2, 2.4), ("7d5f42", "8e6d4c"), 0.17, paint=paints[i], wear=0.4)
        stage.put(
            label.replace("wall", "gate"),
            box((-1.0, 1.0), (0.30, 0.38), (0.0, 2.2)).shifted_uv(1.1, 0.1).placed(wall @ place(opening)),
            stage.material(gate),
        )
        for k, x in enumerate((-6.4, 5.4, opening + (3.1, -3.0, -3.2, 3.1)[i])):
            props.poster(
                wall,
                x,
                1.55,
                ("CIRCO", "LUNA", "TANGO", "MAR")[(i + k) % 4],
                i + 2 * k + k // 2,
                1.0 + 0.1 * k,
                3.0 * k - 2.0,
            )
        # Houses behind, each with its gable to the street.
        front = paint.bricks(
            f"house {i + 1}",
            261 + i,
            (7.0, 6.4),
            plaster=("d8c3a0", "c9886a", "b5bfae", "e0cf9a")[i],
            plaster_share=0.7,
            density=60.0,
        )
        gable = [(-3.0, 0.0), (2.6, 0.0), (2.6, 4.0 + 0.3 * i), (-0.2, 5.9), (-3.0, 4.0 + 0.3 * i)]
        away = wall @ place((2.5, -3.5, -1.0, 3.0)[i], 2.4 + 0.4 * i)
        stage.put(f"house {i + 1}", prism(gable, (0.0, 3.0)).shifted_uv(3.2, 0.1).placed(away), stage.material(front))


def _street_furniture(props: Props) -> None:
    for crate in (
        (2.3, -4.1, 0.0, 0.6, 8), (4.05, 1.6, 0.0, 0.7, 80), (-2.9, 3.5, 0.0, 0.7, 10), (-2.8, 3.65, 0.7, 0.5, 30),
        (-6.6, -7.4, 0.0, 0.8, 20), (7.2, 6.6, 0.0, 0.8, -35), (-7.6, 2.5, 0.0, 0.7, 12), (3.2, -8.1, 0.0, 0.7, 5),
    ):  # fmt: skip
        props.crate(*crate)
    for barrel in (
        (-2.9, -3.7, 0.95, 0.36), (3.7, -2.7, 1.0, 0.38), (3.7, 2.9, 0.85, 0.33), (-3.75, 2.6, 0.95, 0.37), (7.7, -3.4, 1.0, 0.4),
        (-3.4, 7.7, 0.95, 0.38), (-2.5, 7.8, 0.9, 0.35), (-7.7, -2.2, 1.0, 0.4), (0.4, -7.8, 0.9, 0.36),
    ):  # fmt: skip
        props.barrel(*barrel)
    for pot in (
        (0.35, -3.6, 1.0), (3.65, -0.2, 1.1), (2.7, 3.7, 1.0), (-3.65, -1.0, 1.05), (-3.6, 0.55, 0.8), (7.6, 0.2, 1.3), (4.2, 7.7, 1.3),
        (-7.6, 5.6, 1.3), (-4.8, -7.7, 1.2), (6.9, -7.2, 1.3),
    ):  # fmt: skip
        props.pot(*pot)
    for bench in ((3.75, 0.75, 90.0), (-0.7, 3.75, 0.0), (0.8, 7.9, 0.0), (-7.9, 0.3, 90.0), (7.9, 2.6, 90.0)):
        props.bench(*bench)
