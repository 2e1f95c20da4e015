"""The courtyard: brick, plaster and stone around a floor of patterned tiles, an arch, a door, crates, barrels, Suzanne."""

import bpy
import numpy as np

from .props import Props, wall_with_arch
from .shapes import textures as paint
from .shapes.meshes import box, place, prism
from .stage import Stage, light

NORTH = place(0.0, 4.4)
WEST = place(-5.0, 0.0, turn=90.0)
EAST = place(5.0, 0.0, turn=-90.0)
"""Faces of the walls: x to the right when looked at from the yard's middle, y into the wall."""


def build() -> Stage:
    """The whole yard. South (-y) is where the photographer stands; the arch is in the north wall."""
    stage = Stage()
    props = Props(stage, 700)
    _ground(stage)
    _north(stage, props)
    _west(stage, props)
    _east(stage, props)
    _beyond(stage)
    _statue(stage)
    _goods(props)
    light((-0.42, -0.62, 0.78))
    return stage


def _ground(stage: Stage) -> None:
    floor = paint.flagstones("floor", 11, (14.0, 19.0), carpet=(4.0, 10.0, 5.4, 11.8))
    ground = box((-7.0, 7.0), (-7.0, 12.0), (-0.2, 0.0)).shifted_uv(7.0, 7.0)
    stage.put("floor", ground, stage.material(floor))


def _north(stage: Stage, props: Props) -> None:
    wall = stage.material(paint.bricks("north wall", 21, (10.4, 4.0), plaster="d9b27c", plaster_share=0.22))
    shape = wall_with_arch((-5.2, 5.2), 3.7, 0.5, -0.2, 1.0, 1.7).shifted_uv(5.2, 0.0)
    stage.put("north wall", shape.placed(NORTH), wall)
    stone = stage.material(
        paint.bricks("arch stone", 22, (6.0, 2.4), paint.SANDSTONE, (0.31, 0.6), "8f8468", joint=0.014), 0.015
    )
    props.arch(NORTH, -0.2, 1.0, 1.7, 0.55, stone)
    cap = stage.material(paint.speckled("coping", 23, (11.0, 1.2), ("8c8377", "a99c8a", "75695e", "beb29d")))
    stage.put("coping", box((-5.3, 5.3), (4.3, 5.0), (3.7, 3.82)).shifted_uv(5.4, 0.0), cap)
    stage.put("coping", box((-5.45, -4.85), (-4.6, 4.3), (3.7, 3.82)).shifted_uv(6.0, 4.7), cap)
    stage.put("coping", box((4.85, 5.45), (-4.6, 4.3), (3.7, 3.82)).shifted_uv(0.0, 4.9), cap)
    props.window(NORTH, -3.3, "3f7f86")
    props.window(NORTH, 2.9, "3f7f86")
    props.poster(NORTH, 1.62, 1.95, "SUZANNE", 3, 1.05, 2.0)
    props.poster(NORTH, -2.02, 1.75, "SOL", 0, 0.85, -3.0)


def _west(stage: Stage, props: Props) -> None:
    wall = stage.material(
        paint.bricks(
            "west wall",
            31,
            (10.0, 4.0),
            paint.SANDSTONE + paint.SLATE[3:5],
            (0.44, 0.21),
            "97896f",
            joint=0.016,
            irregular=1.0,
        )
    )
    stage.put("west wall", box((-5.3, -5.0), (-4.6, 4.4), (0.0, 3.7)).shifted_uv(4.8, 0.0), wall)
    props.door(WEST, 0.9, "8e3b2e")
    props.poster(WEST, -1.0, 1.75, "PASEO", 2, 1.0, 1.5)
    props.poster(WEST, 2.75, 1.85, "RONDA", 1, 0.95, -2.0)


def _east(stage: Stage, props: Props) -> None:
    wall = stage.material(paint.bricks("east wall", 41, (10.0, 4.0), plaster="c98f5e", plaster_share=0.62))
    stage.put("east wall", box((5.0, 5.3), (-4.6, 4.4), (0.0, 3.7)).shifted_uv(5.0, 0.0), wall)
    shed = stage.material(paint.planks("shed", 42, (5.0, 2.6), ("9a7a55", "86684a", "a98a63", "77593c"), 0.15))
    stage.put("shed", box((3.6, 5.0), (1.4, 4.0), (0.0, 2.0)).shifted_uv(0.5, 0.1), shed)
    tiles = stage.material(paint.bricks("shed roof", 43, (3.2, 4.4), paint.ROOF, (0.17, 0.24), "5e3626", joint=0.02))
    roof = prism([(3.35, 1.95), (5.0, 2.6), (5.0, 2.7), (3.35, 2.05)], (1.2, 4.2))
    stage.put("shed roof", roof, tiles)
    props.poster(EAST, 0.35, 1.75, "LUNA", 1, 1.1, 2.5)
    props.window(EAST, 1.9, "7d8a4a")


def _beyond(stage: Stage) -> None:
    """What is seen through the arch and over the walls."""
    far = stage.material(
        paint.bricks("garden wall", 51, (14.0, 3.2), paint.SLATE + paint.SANDSTONE[:3], (0.5, 0.24), irregular=1.0)
    )
    stage.put("garden wall", box((-7.0, 7.0), (9.0, 9.3), (0.0, 2.4)).shifted_uv(7.0, 0.0), far)
    front = stage.material(paint.bricks("house", 52, (7.0, 6.0), plaster="d8c3a0", plaster_share=0.7))
    gable = [(-4.6, 0.0), (0.9, 0.0), (0.9, 4.6), (-1.85, 6.6), (-4.6, 4.6)]
    stage.put("house", prism([(x + 4.2, z) for x, z in gable], (10.5, 14.0)), front)
    tiles = stage.material(paint.bricks("house roof", 53, (7.0, 4.4), paint.ROOF, (0.22, 0.3), "5a3324", joint=0.024))
    for side in (-1, 1):
        x0, slope = 2.35, 2.0 / 2.75
        run = [(x0, 6.62), (x0 + side * 3.1, 6.62 - 3.1 * slope)]
        outline = [run[0], run[1], (run[1][0], run[1][1] + 0.14), (run[0][0], run[0][1] + 0.14)]
        stage.put("house roof", prism(outline if side < 0 else outline[::-1], (10.2, 14.2)), tiles)


def _statue(stage: Stage) -> None:
    stone = stage.material(
        paint.speckled("plinth", 61, (3.0, 2.0), ("8f8877", "b3a993", "9f967f", "cfc5ad", "7d7564"), 90.0)
    )
    for x, z in ((0.48, (0.0, 0.16)), (0.36, (0.16, 0.78)), (0.43, (0.78, 0.90))):
        stage.put("plinth", box((0.1 - x, 0.1 + x), (1.1 - x, 1.1 + x), z).shifted_uv(0.8 + x, 0.2), stone)
    bpy.ops.mesh.primitive_monkey_add(size=1.25, location=(0.1, 1.1, 1.5), rotation=(np.radians(-8), 0, np.radians(14)))
    monkey = bpy.context.object
    monkey.modifiers.new("Subdivision", "SUBSURF").levels = 2
    monkey.modifiers["Subdivision"].render_levels = 2
    bpy.ops.object.shade_smooth()
    tones = (
        (0.02, 0.07, 0.10),
        (0.04, 0.22, 0.25),
        (0.12, 0.36, 0.33),
        (0.45, 0.27, 0.08),
        (0.24, 0.08, 0.03),
        (0.55, 0.45, 0.28),
    )
    monkey.data.materials.append(stage.glazed("patina", tones, 5.0))
    stage.adopt("suzanne", monkey)


def _goods(props: Props) -> None:
    for crate in (
        (-3.35, 2.85, 0.0, 0.85, 12),
        (-2.55, 3.35, 0.0, 0.65, -20),
        (-3.2, 3.05, 0.85, 0.6, 28),
        (1.95, -0.55, 0.0, 0.55, 35),
    ):
        props.crate(*crate)
    for barrel in ((2.45, 3.2, 1.0, 0.4), (1.65, 3.75, 0.9, 0.35), (-3.6, -0.9, 0.95, 0.38)):
        props.barrel(*barrel)
    for pot in ((1.05, 3.75, 0.9), (-1.75, 3.9, 1.15), (3.2, 0.6, 1.2), (-4.4, 2.3, 1.1)):
        props.pot(*pot)
    props.bench(-4.55, -0.75, 90.0)
