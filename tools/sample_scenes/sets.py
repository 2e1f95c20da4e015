"""The sets: which scene, which cameras, and what happens between two frames."""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import block, figure, paths, photo, truth, yard
from .stage import Stage

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class SampleSet:
    """How a set is made.

    build : makes the scene
    shot : the cameras
    action : called with the stage, returns what to call with each frame's number before it is taken
    moving : names of the things that move
    quality : of the JPEGs
    samples : per pixel
    """

    build: Callable[[], Stage]
    shot: Callable[[], paths.Shot]
    action: Callable[[Stage], Callable[[int], None]] | None = None
    moving: tuple[str, ...] = ()
    quality: int = 90
    samples: int = 24


def _passer_by(stage: Stage) -> Callable[[int], None]:
    """Somebody crosses the yard in front of the statue."""
    walker = figure.Walker(stage)

    def step(frame: int) -> None:
        walked = 0.31 * frame
        walker.stand((-2.1 + 0.98 * walked, -0.25 + 0.2 * walked), 11.5, walked)

    return step


SETS = {
    "courtyard": SampleSet(yard.build, paths.courtyard),
    "portrait": SampleSet(yard.build, paths.portrait),
    "panorama": SampleSet(yard.build, paths.panorama, quality=92, samples=8),
    "passer_by": SampleSet(yard.build, paths.passer_by, _passer_by, (figure.NAME,)),
    "walk": SampleSet(block.build, paths.walk, quality=88, samples=14),
}


def make(name: str, output: Path, samples: int | None, only: list[int] | None = None) -> None:
    """Render one set into ``output/name`` and its truth into ``output/name_truth``."""
    recipe, started = SETS[name], time.monotonic()
    stage, shot = recipe.build(), recipe.shot()
    camera = photo.set_up(shot, samples or recipe.samples)
    action = recipe.action(stage) if recipe.action is not None else None
    images = output / name
    images.mkdir(parents=True, exist_ok=True)
    if only is None:
        for old in images.glob("*.jpg"):
            old.unlink()
    names = [f"{i:03d}.jpg" for i in range(len(shot))]
    depth = np.zeros((len(shot), shot.height, shot.width))
    ids = np.zeros(depth.shape, np.uint8)
    world = None
    print(f"{name}: built in {time.monotonic() - started:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(len(shot)) if only is None else only:
            if action is not None:
                action(i)
            photo.aim(camera, shot.camera_to_world[i])
            photo.take(images / names[i], shot, i, Path(scratch), recipe.quality)
            if world is None or action is not None:
                world = truth.World()
            depth[i], ids[i] = world.see(shot, shot.camera_to_world[i])
            print(f"{name}/{names[i]} at {time.monotonic() - started:.0f} s", flush=True)
    if only is None:
        truth.write(output / f"{name}_truth", shot, names, depth, ids, stage.things, list(recipe.moving))


def main() -> int:
    """The command line of ``tools/make_samples.py``."""
    parser = argparse.ArgumentParser(description="Render the sample images and their ground truth.")
    parser.add_argument("sets", nargs="*", choices=list(SETS), help="default: all")
    parser.add_argument("--samples", type=int, default=None, help="Cycles samples per pixel, default: the set's own")
    parser.add_argument("--output", type=Path, default=ROOT / "sample_images")
    parser.add_argument("--only", type=int, nargs="*", help="trial: these frames, no truth")
    arguments = parser.parse_args()
    for name in arguments.sets or SETS:
        make(name, arguments.output, arguments.samples, arguments.only)
    return 0
