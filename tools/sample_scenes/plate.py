"""The walk as a shot of a cinema camera: a numbered plate whose lens bends, and marks whose places in it are known.

    plate.py FOLDER [--frames 100] [--samples 1]

Too large to be kept with the sample images: ``tools/bench/shots/matchmove.py`` has it rendered, 12 s of a core a frame: of one
sample a pixel the denoiser, which knows colours and normals, makes a good picture. Frames that are there already are not
rendered again.
"""

import argparse
import json
import sys
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sample_scenes import block, paths, photo, truth

Array = np.ndarray

WIDTH, HEIGHT, FIRST = 1280, 720, 1001
PROCESSED = 504, 280  # at which the models see it: its pixels are not square
BENDING = -0.1, 0.02  # k1 and k2 of OpenCV's model: a barrel that moves the corners by 40 pixels
ROOM = 1.1  # of the plate's size that is rendered, so that the bent picture is full
MARKS = 60  # rays that each frame casts
REACH = 4  # frames before and after, in which what they hit is looked for
BORDER = 4.0  # pixels from the plate's rim that a mark keeps
SAME = 1e-3  # of the distance, by which a mark may be hidden
QUALITY = 95


class Plate(paths.Shot):
    """The walk's cameras with the plate's lens, at any size of the picture."""

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels of this size."""
        focal = self.lens_mm / paths.SENSOR_MM * WIDTH
        return focal * self.width / WIDTH, focal * self.height / HEIGHT, self.width / 2, self.height / 2


def bend(flat: Array) -> Array:
    """(..., 2), where the lens puts what a pinhole has at these image coordinates at depth 1."""
    squared = (flat**2).sum(axis=-1, keepdims=True)
    return flat * (1.0 + squared * (BENDING[0] + squared * BENDING[1]))


def straight(bent: Array) -> Array:
    """The inverse of ``bend``."""
    flat = bent
    for _ in range(60):  # each step leaves less than a third of the error
        flat = flat + bent - bend(flat)
    return flat


def bicubic(picture: Array, where: Array) -> Array:
    """(H, W, 3) uint8 out of a picture, at places (H, W, 2) in pixels (the first one's centre at 0.5); Catmull-Rom."""
    out = []
    for rows in np.array_split(where - 0.5, 16):
        base = np.floor(rows).astype(int)
        t = rows - base
        weights = np.stack([
            ((2.0 - t) * t - 1.0) * t, (3.0 * t - 5.0) * t * t + 2.0, ((4.0 - 3.0 * t) * t + 1.0) * t, (t - 1.0) * t * t
        ]) / 2.0  # fmt: skip
        total = np.zeros((*rows.shape[:2], 3))
        for j in range(4):
            v = (base[..., 1] + j - 1).clip(0, len(picture) - 1)
            for i in range(4):
                u = (base[..., 0] + i - 1).clip(0, picture.shape[1] - 1)
                total += (weights[i, ..., 0] * weights[j, ..., 1])[..., None] * picture[v, u]
        out.append(total)
    return np.concatenate(out).round().clip(0, 255).astype(np.uint8)


def render(folder: Path, shot: Plate, samples: int) -> None:
    """The numbered plate; what a pinhole sees goes into ``straight``, for frames can then be bent anew."""
    wide, high = round(ROOM * WIDTH), round(ROOM * HEIGHT)
    camera = photo.set_up(paths.Shot(wide, high, shot.lens_mm / ROOM, shot.camera_to_world), samples)
    fx, fy, cx, cy = shot.intrinsics
    v, u = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    flat = straight(np.stack([(u - cx) / fx, (v - cy) / fy], axis=-1))
    where = flat * (fx, fy) + (wide / 2.0, high / 2.0)  # the same focal length: only the picture is larger
    assert where.min() > 0.0 and (where < (wide, high)).all()
    for name in ("straight", "plate"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, pose in enumerate(shot.camera_to_world, FIRST):
        source, target = folder / "straight" / f"{number}.png", folder / "plate" / f"plate_{number}.jpg"
        if not source.exists():
            photo.aim(camera, pose)
            bpy.context.scene.render.filepath = str(folder / "rendered.png")
            bpy.ops.render.render(write_still=True)
            (folder / "rendered.png").replace(source)
        with Image.open(source) as picture:
            bent = bicubic(np.asarray(picture.convert("RGB")), where)
        Image.fromarray(bent).save(target, quality=QUALITY, subsampling=0)
        print(target.name, flush=True)


def marks(world: truth.World, shot: Plate) -> tuple[Array, Array]:
    """Places of the scene that frames truly see.

    Returns
    -------
    points : (P, 3) world, metres
    seen : (M, 2) int, (frame, point): the point is inside the picture and nothing is before it
    """
    random, (fx, fy, cx, cy) = np.random.default_rng(0), shot.intrinsics
    to_camera = np.linalg.inv(shot.camera_to_world)
    points: list[Array] = []
    seen: list[tuple[int, int]] = []
    for frame, pose in enumerate(shot.camera_to_world):
        u, v = random.uniform((BORDER, BORDER), (WIDTH - BORDER, HEIGHT - BORDER), (MARKS, 2)).T
        flat = straight(np.stack([(u - cx) / fx, (v - cy) / fy], axis=-1))
        rays = np.concatenate([flat, np.ones((MARKS, 1))], axis=1)
        depth, _ = world.cast(pose[:3, 3], rays @ pose[:3, :3].T)
        new = pose[:3, 3] + depth[depth > 0, None] * (rays[depth > 0] @ pose[:3, :3].T)
        for other in range(max(0, frame - REACH), min(len(shot), frame + REACH + 1)):
            own = new @ to_camera[other, :3, :3].T + to_camera[other, :3, 3]
            place = bend(own[:, :2] / own[:, 2:]) * (fx, fy) + (cx, cy)
            inside = (
                (own[:, 2] > 0.1)
                & (place > BORDER).all(axis=1)
                & (place < (WIDTH - BORDER, HEIGHT - BORDER)).all(axis=1)
            )
            rows = np.flatnonzero(inside)
            if len(rows):
                there, _ = world.cast(
                    shot.camera_to_world[other][:3, 3], new[rows] - shot.camera_to_world[other][:3, 3]
                )
                seen += [(other, len(points) + int(row)) for row in rows[np.abs(there - 1.0) < SAME]]
        points += list(new)
    return np.array(points), np.array(seen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1)
    options = parser.parse_args()
    walk = paths.walk()
    shot = Plate(WIDTH, HEIGHT, walk.lens_mm, walk.camera_to_world[: options.frames])
    stage = block.build()
    world, seen_by_models = truth.World(), Plate(*PROCESSED, walk.lens_mm, shot.camera_to_world)
    names = [f"plate_{FIRST + k}.jpg" for k in range(len(shot))]
    depth, ids = zip(*(world.see(seen_by_models, pose) for pose in shot.camera_to_world), strict=True)
    truth.write(options.folder / "plate_truth", seen_by_models, names, np.array(depth), np.array(ids), stage.things, [])
    points, seen = marks(world, shot)
    np.savez(options.folder / "marks.npz", points=points, seen=seen)
    about = {"width": WIDTH, "height": HEIGHT, "intrinsics": shot.intrinsics, "bending": BENDING, "first": FIRST}
    (options.folder / "plate.json").write_text(json.dumps(about), encoding="utf-8")
    render(options.folder, shot, options.samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
