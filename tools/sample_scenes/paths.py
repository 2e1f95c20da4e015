"""Cameras: where they stand and what they look at. No ``bpy`` here.

World: right-handed, metres, z up. Cameras: OpenCV axes (x right, y down, z forward), camera-to-world.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

SENSOR_MM = 36.0


@dataclass
class Shot:
    """The cameras of one set.

    camera_to_world : (N, 4, 4) float64
    lens_mm : focal length on a sensor 36 mm wide along the longer side
    offset : principal point minus the image's middle, pixels (x right, y down)
    is_panorama : the camera sees all around, equirectangular; its depth is the distance, its focal lengths are per radian
    """

    width: int
    height: int
    lens_mm: float
    camera_to_world: Array
    offset: tuple[float, float] = (0.0, 0.0)
    is_panorama: bool = False

    def __len__(self) -> int:
        return len(self.camera_to_world)

    def rays(self) -> Array:
        """(H, W, 3), what the pixels' centres look along in the camera's axes: at depth 1, of a panorama of length 1."""
        fx, fy, cx, cy = self.intrinsics
        v, u = np.mgrid[0.5 : self.height, 0.5 : self.width]
        x, y = (u - cx) / fx, (v - cy) / fy
        if self.is_panorama:
            return np.stack([np.cos(y) * np.sin(x), np.sin(y), np.cos(y) * np.cos(x)], -1)
        return np.stack([x, y, np.ones_like(u)], -1)

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels; the centre of the top-left pixel is at (0.5, 0.5)."""
        if self.is_panorama:
            return self.width / (2 * np.pi), self.height / np.pi, self.width / 2, self.height / 2
        focal = self.lens_mm / SENSOR_MM * max(self.width, self.height)
        return focal, focal, self.width / 2 + self.offset[0], self.height / 2 + self.offset[1]


def look_at(position: Array, target: Array, roll_deg: float = 0.0) -> Array:
    """Camera-to-world (4, 4) of a camera at ``position`` whose axis goes through ``target``, the world's z upwards."""
    forward = np.asarray(target, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = np.radians(roll_deg)
    matrix = np.eye(4)
    matrix[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
    matrix[:3, 1] = np.cos(roll) * down - np.sin(roll) * right
    matrix[:3, 2] = forward
    matrix[:3, 3] = position
    return matrix


def courtyard(count: int = 14) -> Shot:
    """An arc of 78 degrees around the middle of the yard, six degrees apart, at changing height and distance."""
    cameras = []
    for i, angle in enumerate(np.radians(np.linspace(-39.0, 39.0, count))):
        radius = 6.1 + 0.35 * np.cos(1.9 * i)
        position = np.array([radius * np.sin(angle), 0.9 - radius * np.cos(angle), 1.75 + 0.35 * np.sin(1.3 * i)])
        target = np.array([0.25 * np.sin(0.8 * i), 1.2, 1.25 + 0.08 * np.cos(2.1 * i)])
        cameras.append(look_at(position, target, 1.2 * np.sin(1.7 * i)))
    return Shot(640, 428, 28.0, np.array(cameras))


def panorama() -> Shot:
    """Three places in the yard, all around from each: held level but for a degree or two, and not turned alike."""
    places = ((-1.7, -1.6, 1.6), (0.2, -2.1, 1.75), (1.9, -1.0, 1.5))
    ahead = ((0.0, 4.0, 1.6), (-4.0, 1.0, 1.7), (4.0, 3.0, 1.4))
    cameras = [look_at(np.array(p), np.array(a), r) for p, a, r in zip(places, ahead, (1.0, -1.5, 0.5), strict=True)]
    return Shot(1024, 512, 0.0, np.array(cameras), is_panorama=True)


def passer_by(count: int = 16) -> Shot:
    """Held in the hand: small steps and sways in front of the yard, enough of a baseline to see depth."""
    cameras = []
    for i in range(count):
        s = i / (count - 1)
        position = np.array(
            [-1.0 + 2.0 * s + 0.06 * np.sin(2.3 * i), -4.2 + 0.25 * np.sin(3.0 * s), 1.6 + 0.05 * np.sin(1.9 * i)]
        )
        target = np.array([0.1 + 0.1 * np.sin(1.1 * i), 1.6, 1.2 + 0.05 * np.cos(1.7 * i)])
        cameras.append(look_at(position, target, 0.9 * np.sin(1.3 * i)))
    return Shot(336, 224, 28.0, np.array(cameras))


def portrait() -> Shot:
    """Three upright views with a shifted lens, as an architect's camera takes them."""
    positions = ((-1.5, -3.6, 1.6), (-0.75, -3.8, 1.7), (0.05, -3.75, 1.55))
    cameras = [
        look_at(np.array(p), np.array([p[0] * 0.25, 2.0, p[2] - 0.1]), r)
        for p, r in zip(positions, (0.6, -0.8, 0.3), strict=True)
    ]
    return Shot(428, 640, 28.0, np.array(cameras), offset=(19.0, -45.0))


def walk(count: int = 100, half: float = 5.3, corner: float = 3.2) -> Shot:
    """Once around a block, anticlockwise, looking ahead and 38 degrees inwards; the last four frames repeat the first's places.

    half : distance of the path's straight parts from the block's middle
    corner : radius of the path's corners, so that no two neighbours turn far
    """
    straight, quarter = 2 * (half - corner), np.pi / 2 * corner
    lap = 4 * (straight + quarter)
    cameras = []
    for i in range(count):
        # A little over one lap: the last frames stand half a step beside the first.
        s = lap * i / (count - 4.5)
        position, heading = _on_rounded_square(s % lap, half, corner, straight, quarter)
        left = np.array([-heading[1], heading[0]])
        sway, bob = 0.07 * np.sin(0.61 * i), 0.04 * np.sin(1.27 * i)
        turn = np.radians(38.0 + 5.0 * np.sin(0.37 * i))
        view = np.cos(turn) * heading + np.sin(turn) * left
        eye = np.array([*(position + sway * left), 1.6 + bob])
        cameras.append(look_at(eye, eye + np.array([*view, 0.02 * np.sin(0.9 * i)]), 1.0 * np.sin(0.83 * i)))
    return Shot(252, 168, 24.0, np.array(cameras))


def _on_rounded_square(s: float, half: float, corner: float, straight: float, quarter: float) -> tuple[Array, Array]:
    """Place and heading (2,), (2,) after ``s`` metres along a rounded square, starting in the middle of the south side."""
    s += straight / 2
    side, rest = divmod(s, straight + quarter)
    if rest <= straight:
        place, heading = np.array([-straight / 2 + rest, -half]), np.array([1.0, 0.0])
    else:
        a = (rest - straight) / corner
        place = np.array([straight / 2 + corner * np.sin(a), -half + corner * (1 - np.cos(a))])
        heading = np.array([np.cos(a), np.sin(a)])
    turn = np.pi / 2 * (side % 4)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return rotate @ place, rotate @ heading
