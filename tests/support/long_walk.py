"""A long walk through a ring of corridors, ray cast in numpy: true depth, cameras and pictures in a few seconds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT, FOCAL = 48, 36, 32.0  # pixels
STEP = 0.2  # metres from frame to frame
PRIMES = (73856093, 19349663, 83492791), (49979687, 86028121, 15485863), (32452843, 67867967, 122949823)  # for hashing
LENGTH, DEPTH, CORRIDOR, CEILING = 44.0, 28.0, 5.0, 3.0  # metres, of the ring


@dataclass(frozen=True)
class LongWalk:
    """N frames, with the fields of ``truth.Truth`` that predictors read; OpenCV world, y down."""

    depth: np.ndarray  # (N, H, W) float32
    pictures: np.ndarray  # (N, H, W, 3) uint8
    intrinsics: np.ndarray
    camera_to_world: np.ndarray

    def __len__(self):
        return len(self.depth)

    @cached_property
    def extrinsics(self):
        rotation = self.camera_to_world[:, :3, :3].transpose(0, 2, 1)
        return np.concatenate([rotation, -rotation @ self.camera_to_world[:, :3, 3:]], axis=2)

    def save(self, folder):
        """The pictures as files; the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(self.pictures):
            Image.fromarray(picture).save(folder / f"{i:05d}.png", compress_level=1)
        return folder


def make(count, size=1):
    """``count`` frames; a lap is 584. ``size``: times the 48 x 36 pixels."""
    width, height = WIDTH * size, HEIGHT * size
    poses = _path(count)
    boxes, colors = _boxes()
    v, u = np.mgrid[0.5:height, 0.5:width]
    focal = FOCAL * size
    rays = np.stack([(u - width / 2) / focal, (v - height / 2) / focal, np.ones_like(u)], axis=-1).reshape(-1, 3)
    depth = np.empty((count, height, width), np.float32)
    pictures = np.empty((count, height, width, 3), np.uint8)
    for i, pose in enumerate(poses):
        directions = (rays @ pose[:3, :3].T).astype(np.float32)
        near = _in_front(pose, boxes)
        found, which = _cast(pose[:3, 3].astype(np.float32), directions, boxes[near])
        which = near[which]
        depth[i] = found.reshape(height, width)
        pictures[i] = _paint(pose[:3, 3] + directions * found[:, None], colors[which]).reshape(height, width, 3)
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return LongWalk(depth, pictures, np.repeat(camera[None], count, axis=0), poses)


def _path(count):
    """(N, 4, 4) camera to world, around a rounded rectangle, swaying a little, each lap in another way."""
    way = np.arange(count) * STEP
    x, z, heading = _ring(way)
    side = 0.5 * np.sin(way / 17.0) + 0.3 * np.sin(way / 53.0)
    x, z = x + side * np.cos(heading), z - side * np.sin(heading)
    turn = heading + 0.25 * np.sin(way / 7.0)
    tilt = 0.08 * np.sin(way / 11.0)
    poses = np.repeat(np.eye(4)[None], count, axis=0)
    cy, sy, cx, sx, zero = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt), np.zeros(count)
    around = np.stack([cy, zero, sy, zero, zero + 1, zero, -sy, zero, cy], axis=1).reshape(-1, 3, 3)
    up = np.stack([zero + 1, zero, zero, zero, cx, -sx, zero, sx, cx], axis=1).reshape(-1, 3, 3)
    poses[:, :3, :3] = around @ up
    poses[:, :3, 3] = np.stack([x, 0.15 * np.sin(way / 5.0), z], axis=1)
    return poses


def _ring(way):
    """Place and heading (from z towards x) on the middle line of the corridors, whose corners are quarter circles."""
    radius = 4.0
    long, short, arc = LENGTH - CORRIDOR - 2 * radius, DEPTH - CORRIDOR - 2 * radius, radius * np.pi / 2
    x, z, heading = np.zeros_like(way), np.zeros_like(way), np.zeros_like(way)
    at = way % (2 * (long + short + 2 * arc))
    start, direction = np.array([-long / 2 - radius, -short / 2]), 0.0
    for straight in (short, long, short, long):
        forward = np.array([np.sin(direction), np.cos(direction)])
        right = np.array([np.cos(direction), -np.sin(direction)])
        on = (at >= 0) & (at < straight)
        x[on], z[on] = start[:, None] + forward[:, None] * at[on]
        heading[on] = direction
        at = at - straight
        start = start + forward * straight
        on = (at >= 0) & (at < arc)
        a = at[on] / radius
        x[on], z[on] = start[:, None] + radius * (np.sin(a) * forward[:, None] + (1 - np.cos(a)) * right[:, None])
        heading[on] = direction + a
        at = at - arc
        start, direction = start + radius * (forward + right), direction + np.pi / 2
    return x, z, heading


def _boxes():
    """(B, 2, 3) least and greatest corners, (B, 3) colours: the rooms' shell in six slabs, the block inside, furniture."""
    random = np.random.default_rng(3)
    a, b, h, t = LENGTH / 2, DEPTH / 2, CEILING / 2, 0.5
    boxes = [
        ((-a - t, h, -b - t), (a + t, h + t, b + t)), ((-a - t, -h - t, -b - t), (a + t, -h, b + t)),
        ((-a - t, -h - t, -b - t), (-a, h + t, b + t)), ((a, -h - t, -b - t), (a + t, h + t, b + t)),
        ((-a - t, -h - t, -b - t), (a + t, h + t, -b)), ((-a - t, -h - t, b), (a + t, h + t, b + t)),
        ((-a + CORRIDOR, -h - t, -b + CORRIDOR), (a - CORRIDOR, h + t, b - CORRIDOR)),
    ]  # fmt: skip
    lap = _ring(np.arange(0, 2000) * 0.06)
    for k in range(44):
        i = int(random.integers(2000))
        away = random.choice([-1, 1]) * random.uniform(1.9, 2.3)
        x, z = lap[0][i] + away * np.cos(lap[2][i]), lap[1][i] - away * np.sin(lap[2][i])
        low = h - random.uniform(0.6, 2.6)
        size = random.uniform(0.2, 0.5, 2)
        boxes.append(((x - size[0], low if k % 3 else -h, z - size[1]), (x + size[0], h, z + size[1])))
    return np.array(boxes, np.float32), random.uniform(50, 200, (len(boxes), 3))


def _in_front(pose, boxes):
    """Numbers of the boxes that may be in view: the shell, and furniture in a cone around the view."""
    centre, radius = boxes.mean(axis=1) - pose[:3, 3], np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1) / 2
    distance = np.linalg.norm(centre, axis=1)
    half = np.arctan(np.hypot(WIDTH, HEIGHT) / 2 / FOCAL) + np.arcsin(np.minimum(1.0, radius / distance))
    inside = np.arccos(np.clip(centre @ pose[:3, 2] / distance, -1, 1)) <= half
    inside[:7] = True
    return np.flatnonzero(inside)


def _cast(origin, directions, boxes):
    """Distance in ray lengths, and which box."""
    best = np.full(len(directions), np.inf, np.float32)
    which = np.zeros(len(directions), int)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / directions
        for b, (low, high) in enumerate(boxes):
            one, two = (low - origin) * inverse, (high - origin) * inverse
            enter, leave = np.minimum(one, two).max(axis=1), np.maximum(one, two).min(axis=1)
            closer = (enter > 0) & (enter < leave) & (enter < best)
            best[closer], which[closer] = enter[closer], b
    return best, which


def _paint(points, base):
    """Colours that differ from place to place, in coarse and in fine patches."""
    color = base.copy()
    for size, strength in ((2.5, 60.0), (0.6, 35.0)):
        cells = np.floor(points / size + 1e-3).astype(np.int64)
        for c, (i, j, k) in enumerate(PRIMES):
            hashed = (cells[:, 0] * i) ^ (cells[:, 1] * j) ^ (cells[:, 2] * k)
            hashed = (hashed * 2654435761) & 0xFFFFFFFF
            color[:, c] += strength * ((hashed >> 8) % 1024 / 512.0 - 1.0)
    return np.clip(color, 0, 255).astype(np.uint8)
