"""Pictures to train a small segmentation network on: the courtyard with a person anywhere in it, from anywhere.

None of the sample images is among them: cameras, the person's place and pose and the light's time of day are drawn anew.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from . import figure, paths, photo, truth, yard

WIDTH, HEIGHT = 288, 192  # pixels
SAMPLES = 6  # per pixel; the denoiser does the rest
EMPTY = 6  # every so many pictures one has nobody in it


def render(folder: Path, count: int, seed: int = 0) -> None:
    """Render ``count`` pictures ``000.jpg`` ... and beside each ``000.png``: at each pixel the thing's id.

    ``things.txt`` names the ids, one ``id name`` a line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    stage = yard.build()
    walker = figure.Walker(stage)
    first = _camera(random, np.zeros(2))
    camera = photo.set_up(paths.Shot(WIDTH, HEIGHT, 28.0, first[None]), SAMPLES)
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(count):
            place = np.array([random.uniform(-3.2, 3.2), random.uniform(-1.6, 2.6)])
            if i % EMPTY:
                walker.stand(tuple(place), random.uniform(0, 360), random.uniform(0, 10))
            elif figure.NAME in stage.things:
                stage.remove(figure.NAME)
            shot = paths.Shot(WIDTH, HEIGHT, 28.0, _camera(random, place)[None])
            photo.aim(camera, shot.camera_to_world[0])
            photo.take(folder / f"{i:03d}.jpg", shot, i, Path(scratch))
            _, ids = truth.World().see(shot, shot.camera_to_world[0])
            Image.fromarray(ids).save(folder / f"{i:03d}.png")
            print(f"{i + 1} of {count}", flush=True)
    lines = [f"{number} {name}" for name, number in stage.things.items()]
    (folder / "things.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _camera(random: np.random.Generator, place: np.ndarray) -> np.ndarray:
    """(4, 4) camera to world: south of the middle, at eye level, the person somewhere in the picture."""
    angle = np.radians(random.uniform(-50, 50))
    radius = random.uniform(3.4, 6.2)
    position = np.array([radius * np.sin(angle), 0.8 - radius * np.cos(angle), random.uniform(1.2, 2.1)])
    position[:2] = np.clip(position[:2], (-4.2, -4.6), (4.2, 0.0))
    target = np.array([*(place + random.normal(size=2) * 0.9), random.uniform(0.8, 1.5)])
    return paths.look_at(position, target, random.normal() * 1.5)
