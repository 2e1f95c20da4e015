"""A room with two boxes in it, ray-cast in numpy: images and true depth in a second, from any camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Axis-aligned boxes (low corner, high corner), x right, y down, z forward; the first is the room, seen from inside.
BOXES = np.array(
    [
        [[-3.0, -1.6, -2.0], [3.0, 1.4, 6.0]],
        [[-1.5, 0.3, 2.6], [-0.4, 1.4, 3.6]],
        [[0.5, -0.2, 3.2], [1.5, 1.4, 4.2]],
    ]
)


@dataclass
class Room:
    images: list[np.ndarray]  # N (H, W, 3) uint8
    depth: np.ndarray  # (N, H, W) float32, z-depth
    extrinsics: np.ndarray  # (N, 3, 4), world to camera
    intrinsics: np.ndarray  # (N, 3, 3)


def look(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 4) world to camera."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return np.concatenate([rotation, -(rotation @ position)[:, None]], axis=1)


def arc(count: int, width: float = 2.0) -> np.ndarray:
    """(count, 3, 4) cameras on an arc ``width`` units long that look into the room's middle."""
    x = np.linspace(-width / 2.0, width / 2.0, count)
    target = np.array([0.0, 0.4, 3.6])
    return np.stack([look(np.array([p, -0.2 + 0.1 * np.sin(3.0 * p), 0.2 * p * p - 0.6]), target) for p in x])


def render(extrinsics: np.ndarray, size: tuple[int, int] = (320, 240), focal: float = 280.0, seed: int = 0) -> Room:
    """Images (four rays a pixel) and depth of pixel centres; ``size`` is (width, height)."""
    width, height = size
    intrinsics = np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])
    textures = _textures(seed)
    images, depths = [], []
    for camera in extrinsics:
        samples = [
            _cast(camera, intrinsics, width, height, 0.5 + du, 0.5 + dv, textures)[0]
            for du in (-0.25, 0.25)
            for dv in (-0.25, 0.25)
        ]
        images.append(np.mean(samples, axis=0).round().astype(np.uint8))
        depths.append(_cast(camera, intrinsics, width, height, 0.5, 0.5, textures)[1])
    return Room(images, np.array(depths, np.float32), extrinsics, np.stack([intrinsics] * len(extrinsics)))


def _textures(seed: int) -> list[np.ndarray]:
    """One (1024, 1024, 3) picture of noise of all scales for each face of each box."""
    random = np.random.default_rng(seed)
    textures = []
    for _ in range(6 * len(BOXES)):
        picture = np.zeros((1024, 1024, 3), np.float32)
        for octave in (8, 16, 32, 64, 128, 256):
            noise = random.uniform(-1.0, 1.0, (octave, octave, 3)).astype(np.float32)
            picture += cv2.resize(noise, (1024, 1024), interpolation=cv2.INTER_CUBIC) * octave**-0.3
        textures.append(np.clip(110.0 + 90.0 * picture, 0.0, 255.0))
    return textures


def _cast(
    camera: np.ndarray,
    intrinsics: np.ndarray,
    width: int,
    height: int,
    du: float,
    dv: float,
    textures: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    v, u = np.mgrid[0.0:height, 0.0:width]
    rays = np.stack([u + du, v + dv, np.ones_like(u)], axis=-1) @ np.linalg.inv(intrinsics).T @ camera[:, :3]
    origin = -camera[:, :3].T @ camera[:, 3]
    best = np.full((height, width), np.inf)
    face = np.zeros((height, width), int)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, (low, high) in enumerate(BOXES):
            a, b = (low - origin) / rays, (high - origin) / rays
            near, far = np.minimum(a, b), np.maximum(a, b)
            enter, leave = near.max(axis=-1), far.min(axis=-1)
            t = leave if k == 0 else np.where((enter < leave) & (enter > 0.0), enter, np.inf)
            axis = far.argmin(axis=-1) if k == 0 else near.argmax(axis=-1)
            side = np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0.0
            closer = t < best
            best = np.where(closer, t, best)
            face = np.where(closer, 6 * k + 2 * axis + side, face)
    points = origin + rays * best[..., None]
    colour = np.zeros((height, width, 3), np.float32)
    for f in np.unique(face):
        across, along = [(1, 2), (0, 2), (0, 1)][f % 6 // 2]
        where = face == f
        u_map, v_map = (points[..., k].astype(np.float32) * 120.0 + 512.0 for k in (across, along))
        picture = cv2.remap(textures[f], u_map, v_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        colour[where] = picture[where]
    return colour, best  # rays have z 1 in the camera, so the ray's parameter is the z-depth
