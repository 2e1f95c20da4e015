"""Shapes as plain polygons with texture coordinates in metres; no ``bpy`` here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray
Point2 = tuple[float, float]


@dataclass
class Shape:
    """Polygons under construction.

    points : list of (x, y, z), metres
    polygons : list of point numbers, any polygon without holes, anticlockwise seen from outside
    uvs : one list of (u, v) per polygon, metres on the material
    smooth : one flag per polygon
    """

    points: list[tuple[float, float, float]] = field(default_factory=list)
    polygons: list[list[int]] = field(default_factory=list)
    uvs: list[list[Point2]] = field(default_factory=list)
    smooth: list[bool] = field(default_factory=list)

    def polygon(self, corners: Sequence[Sequence[float]], uv: Sequence[Point2], smooth: bool = False) -> None:
        """Add one polygon with points of its own."""
        start = len(self.points)
        self.points.extend((float(c[0]), float(c[1]), float(c[2])) for c in corners)
        self.polygons.append(list(range(start, start + len(corners))))
        self.uvs.append([(float(u), float(v)) for u, v in uv])
        self.smooth.append(smooth)

    def add(self, other: "Shape") -> "Shape":
        """Append another shape; returns itself."""
        start = len(self.points)
        self.points.extend(other.points)
        self.polygons.extend([[i + start for i in p] for p in other.polygons])
        self.uvs.extend(other.uvs)
        self.smooth.extend(other.smooth)
        return self

    def placed(self, matrix: Array) -> "Shape":
        """The same shape moved by a (4, 4) matrix."""
        points = np.asarray(self.points) @ matrix[:3, :3].T + matrix[:3, 3]
        return Shape([tuple(p) for p in points], self.polygons, self.uvs, self.smooth)

    def shifted_uv(self, u: float, v: float) -> "Shape":
        """The same shape, its texture taken from elsewhere on the material."""
        return Shape(self.points, self.polygons, [[(a + u, b + v) for a, b in uv] for uv in self.uvs], self.smooth)


def place(
    x: float = 0.0, y: float = 0.0, z: float = 0.0, turn: float = 0.0, tilt: float = 0.0, scale: float = 1.0
) -> Array:
    """Matrix (4, 4): tilt about x, then turn about z (degrees), scale, move to (x, y, z)."""
    a, b = np.radians([turn, tilt])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x * scale
    matrix[:3, 3] = x, y, z
    return matrix


def box(x: Point2, y: Point2, z: Point2) -> Shape:
    """Axis-aligned box; each side's texture coordinates are its own two coordinates."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    shape = Shape()
    shape.polygon([(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)], [(x0, z0), (x1, z0), (x1, z1), (x0, z1)])
    shape.polygon([(x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)], [(x1, z0), (x0, z0), (x0, z1), (x1, z1)])
    shape.polygon([(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)], [(y0, z0), (y1, z0), (y1, z1), (y0, z1)])
    shape.polygon([(x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)], [(y1, z0), (y0, z0), (y0, z1), (y1, z1)])
    shape.polygon([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    shape.polygon([(x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)], [(x0, y1), (x1, y1), (x1, y0), (x0, y0)])
    return shape


def prism(outline: Sequence[Point2], y: Point2) -> Shape:
    """An outline in (x, z), anticlockwise seen from -y, drawn out along y; it may be concave (a wall with an arch)."""
    shape = Shape()
    front = [(u, y[0], v) for u, v in outline]
    back = [(u, y[1], v) for u, v in outline]
    shape.polygon(front, list(outline))
    shape.polygon(back[::-1], list(outline)[::-1])
    run = 0.0
    for i in range(len(outline)):
        j = (i + 1) % len(outline)
        step = float(np.hypot(outline[j][0] - outline[i][0], outline[j][1] - outline[i][1]))
        uv = [(y[1], run), (y[1], run + step), (y[0], run + step), (y[0], run)]
        shape.polygon([back[i], back[j], front[j], front[i]], uv)
        run += step
    return shape


def lathe(profile: Sequence[Point2], segments: int = 32, smooth: bool = True, lid: bool = True) -> Shape:
    """A profile of (radius, z) from bottom to top, turned about z; ``lid`` closes the top."""
    shape = Shape()
    angles = np.linspace(0.0, 2 * np.pi, segments + 1)
    widest = max(r for r, _ in profile)
    along = np.concatenate(
        [[0.0], np.cumsum([np.hypot(b[0] - a[0], b[1] - a[1]) for a, b in zip(profile, profile[1:], strict=False)])]
    )
    rings = []
    for r, z in profile:
        rings.append(range(len(shape.points), len(shape.points) + segments))
        shape.points.extend((float(r * np.cos(a)), float(r * np.sin(a)), float(z)) for a in angles[:-1])
    for k in range(len(profile) - 1):
        for i in range(segments):
            j = (i + 1) % segments
            shape.polygons.append([rings[k][i], rings[k][j], rings[k + 1][j], rings[k + 1][i]])
            u0, u1 = angles[i] * widest, angles[i + 1] * widest
            shape.uvs.append([(u0, along[k]), (u1, along[k]), (u1, along[k + 1]), (u0, along[k + 1])])
            shape.smooth.append(smooth)
    if lid and profile[-1][0] > 0:
        r, z = profile[-1]
        corners = [(r * np.cos(a), r * np.sin(a), z) for a in angles[:-1]]
        shape.polygon(corners, [(c[0], c[1]) for c in corners])
    return shape


def rod(start: Array | Sequence[float], end: Array | Sequence[float], radius: Point2, segments: int = 20) -> Shape:
    """A round limb from one point to another with rounded ends, its radius running from the first to the second value."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    w = (b - a) / length
    helper = np.array([0.0, 1.0, 0.0]) if abs(w[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    u = np.cross(helper, w)
    u /= np.linalg.norm(u)
    t = np.linspace(0, np.pi / 2, 6)
    profile = [(radius[0] * np.sin(s), -radius[0] * np.cos(s)) for s in t]
    profile += [(radius[1] * np.cos(s), length + radius[1] * np.sin(s)) for s in t]
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([u, np.cross(w, u), w])
    matrix[:3, 3] = a
    return lathe(profile, segments, lid=False).placed(matrix)


def arch_outline(centre: float, half: float, spring: float, steps: int = 20) -> list[Point2]:
    """The opening's edge from bottom right over the top to bottom left, (x, z)."""
    angles = np.linspace(0, np.pi, steps + 1)
    arc = [(centre + half * float(np.cos(a)), spring + half * float(np.sin(a))) for a in angles]
    return [(centre + half, 0.0), *arc, (centre - half, 0.0)]


def leaf(length: float, width: float, droop: float, steps: int = 5) -> Shape:
    """A pointed strip from the origin towards +x, rising and drooping, folded along its middle."""
    shape = Shape()
    t = np.linspace(0, 1, steps + 1)
    x, z = length * t * (1 - 0.25 * droop * t), length * (0.9 * t - droop * t**2)
    half = width * np.sqrt(np.clip(t, 0, 1)) * (1 - t**2.2) + 0.15 * width * (1 - t)
    for i in range(steps):
        j = i + 1
        for side in (1.0, -1.0):
            inner = [(x[i], 0.0, z[i]), (x[j], 0.0, z[j])]
            outer = [(x[j], side * half[j], z[j] + 0.35 * half[j]), (x[i], side * half[i], z[i] + 0.35 * half[i])]
            shape.polygon(inner + outer, [(c[0], c[1]) for c in inner + outer])
    return shape
