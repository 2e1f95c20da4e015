"""A drive along a street of painted panels: frames, cameras and depth in milliseconds each, as many as are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from da3_blender.core.geometry import projection

WIDTH, HEIGHT, FOCAL = 160, 120, 140.0  # pixels
SUPER = 2  # times as many pixels are painted each way, and averaged
STEP = 0.12  # metres from frame to frame
WALL, NEAREST, FARTHEST = 6.0, 3.0, 5.5  # metres in front of the road: the wall, and the panels before it
PANEL, HALF_HEIGHT = 1.3, 3.5  # metres: a panel's width, and how far the wall goes up and down
IN_VIEW = 9.0  # metres along the street, beyond which nothing is seen
FINE = 40  # pixels of paint a metre
GRAINS = (4, 10, 24)  # pixels of paint, of the noise


@dataclass(frozen=True)
class Panel:
    """A rectangle across the view: its upper left corner in metres, and its paint, (h, w, 3) uint8."""

    left: float
    top: float
    z: float
    paint: np.ndarray


class Street:
    """The fields of ``truth.Truth`` that the benchmark reads. World: x along the street, y down, z towards the wall.

    The first frames are the same however many there are.
    """

    def __init__(self, count: int):
        self.camera_to_world = np.repeat(np.eye(4)[None], count, axis=0)
        for pose, along in zip(self.camera_to_world, STEP * np.arange(count), strict=True):
            turn = 0.06 * np.sin(along / 1.7), 0.25 * np.sin(along / 5.0), 0.04 * np.sin(along / 2.3)
            pose[:3, :3] = cv2.Rodrigues(np.array(turn))[0]
            pose[:3, 3] = along, 0.3 * np.sin(along / 2.9), 0.5 * np.sin(along / 3.7)
        self.extrinsics = projection.invert_rigid(self.camera_to_world[:, :3])
        self.intrinsics = np.repeat([[[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]]], count, axis=0)
        panels = sorted(_panels(STEP * count + IN_VIEW), key=lambda panel: -panel.z)
        seen = [self._seen(i, panels) for i in range(count)]
        self.images = np.stack([image for image, _ in seen])  # (N, H, W, 3) uint8
        self.depth = np.stack([depth for _, depth in seen])  # (N, H, W) float32, metres

    def _seen(self, i: int, panels: list[Panel]) -> tuple[np.ndarray, np.ndarray]:
        """The picture and the depth of a frame: panels painted over each other, the nearest last."""
        k, turn, shift = self.intrinsics[i], self.extrinsics[i, :, :3], self.extrinsics[i, :, 3]
        place = self.camera_to_world[i, :3, 3]
        image = np.zeros((SUPER * HEIGHT, SUPER * WIDTH, 3), np.uint8)
        far = np.zeros((HEIGHT, WIDTH), np.float32)
        for panel in panels:
            if abs(panel.left + PANEL / 2 - place[0]) > IN_VIEW:
                continue
            corner = turn @ [panel.left, panel.top, panel.z] + shift
            to_image = k @ np.column_stack([turn[:, 0] / FINE, turn[:, 1] / FINE, corner])
            for target, factor, paint, how in (
                (image, SUPER, panel.paint, cv2.INTER_LINEAR),
                (far, 1, np.full(panel.paint.shape[:2], panel.z, np.float32), cv2.INTER_NEAREST),
            ):
                # OpenCV counts from the centre of the first pixel.
                centred = np.array([[factor, 0, -0.5], [0, factor, -0.5], [0, 0, 1.0]]) @ to_image
                size = target.shape[1], target.shape[0]
                cv2.warpPerspective(paint, centred, size, target, how, cv2.BORDER_TRANSPARENT)
        v, u = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(k).T @ turn  # in the world, of depth 1
        depth = np.where(far > 0, (far - place[2]) / rays[..., 2], 0.0)
        return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), depth.astype(np.float32)


def _panels(end: float) -> Iterator[Panel]:
    """The wall in pieces, and things before more than half of them, from before the first frame on."""
    random = np.random.default_rng(5)
    for left in np.arange(-IN_VIEW, end, PANEL).tolist():
        yield Panel(left, -HALF_HEIGHT, WALL, _paint(random, PANEL, 2 * HALF_HEIGHT))
        stands, z, top = random.uniform(0, 1), random.uniform(NEAREST, FARTHEST), random.uniform(-1.2, 0.6)
        if stands < 0.6:
            yield Panel(left, top, z, _paint(random, 0.7 * PANEL, HALF_HEIGHT - top))


def _paint(random: np.random.Generator, width: float, height: float) -> np.ndarray:
    """(h, w, 3) uint8: a colour, and noise of many scales."""
    w, h = round(width * FINE), round(height * FINE)
    picture = np.full((h, w, 3), random.uniform(90, 165, 3))
    for grain in GRAINS:
        noise = random.uniform(-32, 32, (h // grain + 1, w // grain + 1, 3))
        picture += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)
