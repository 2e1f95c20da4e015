"""Things that cross a sample set in which nothing moves: ellipsoids, ray-cast into its images and its ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

FIRST_ID = 200  # of the things that move; the sample sets' own ids are smaller


@dataclass(frozen=True)
class Walker:
    """A figure of ellipsoids that goes in a straight line on the floor z = 0, from ``start`` to ``end`` (x, y), metres."""

    start: tuple[float, float]
    end: tuple[float, float]
    height: float = 1.8
    ball: bool = False

    def parts(self, time: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """(centre, radii) of its ellipsoids; ``time`` runs from 0 to 1."""
        x, y = (1 - time) * np.array(self.start) + time * np.array(self.end)
        h = self.height
        if self.ball:
            return [(np.array([x, y, h / 2]), np.full(3, h / 2))]
        along = np.array(self.end) - np.array(self.start)
        along = along / max(np.linalg.norm(along), 1e-9)
        stride = 0.14 * h * np.sin(8 * np.pi * time)
        body, head = ((x, y, 0.66 * h), (0.13, 0.13, 0.2)), ((x, y, 0.92 * h), (0.07, 0.07, 0.08))
        legs = [((x + s * along[0], y + s * along[1], 0.25 * h), (0.06, 0.06, 0.25)) for s in (stride, -stride)]
        return [(np.array(centre), h * np.array(radii)) for centre, radii in (body, head, *legs)]


def part(truth, rows):
    """Some frames of a sample set."""
    rows = list(rows)
    names, paths = [truth.names[i] for i in rows], [truth.paths[i] for i in rows]
    return replace(
        truth, names=names, paths=paths, depth=truth.depth[rows], ids=truth.ids[rows],
        camera_to_world=truth.camera_to_world[rows], intrinsics=truth.intrinsics[rows],
        extrinsics=truth.extrinsics[rows],
    )  # fmt: skip


def crossed(truth, walkers, still=False):
    """The sample set with walkers in it.

    Parameters
    ----------
    truth : truth.Truth, metres, z up
    walkers : each has the id ``FIRST_ID`` + its number
    still : the camera stays where the first frame was taken, and sees what it saw then

    Returns
    -------
    truth.Truth, and (N, H, W, 3) uint8 images
    """
    rows = [0] * len(truth) if still else list(range(len(truth)))
    images, depth, ids = truth.images[rows].copy(), truth.depth[rows].copy(), truth.ids[rows].copy()
    cameras, intrinsics = truth.camera_to_world[rows], truth.intrinsics[rows]
    for i in range(len(rows)):
        time = i / max(1, len(rows) - 1)
        for number, walker in enumerate(walkers):
            for centre, radii in walker.parts(time):
                _paint(images[i], depth[i], ids[i], cameras[i], intrinsics[i], centre, radii, number)
    moving = [FIRST_ID + number for number in range(len(walkers))]
    objects = {**truth.objects, **{number: f"walker {number}" for number in moving}}
    extrinsics = truth.extrinsics[rows]
    changed = replace(
        truth, depth=depth, ids=ids, moving=moving, objects=objects,
        camera_to_world=cameras, intrinsics=intrinsics, extrinsics=extrinsics,
    )  # fmt: skip
    return changed, images


def _paint(image, depth, ids, camera, intrinsics, centre, radii, number):
    """One ellipsoid, where it is nearer than what is there; checked, and darker where it faces away."""
    height, width = depth.shape
    v, u = np.mgrid[0.5:height, 0.5:width]
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(intrinsics).T @ camera[:3, :3].T / radii
    origin = (camera[:3, 3] - centre) / radii
    a, b, c = (rays * rays).sum(-1), rays @ origin, origin @ origin - 1.0
    inside = b * b - a * c
    z = (-b - np.sqrt(np.maximum(inside, 0.0))) / a  # rays have z 1 in the camera, so this is the z-depth
    seen = (inside > 0) & (z > 0) & ((z < depth) | (depth == 0))
    normal = origin + rays[seen] * z[seen, None]
    check = (np.floor(4 * normal).astype(int).sum(axis=1) % 2).astype(np.float64)
    light = 0.6 + 0.4 * normal[:, 2]
    image[seen] = (np.array([200.0, 120.0, 60.0 + 90.0 * number]) * (0.7 + 0.3 * check)[:, None] * light[:, None]).clip(
        0, 255
    )
    depth[seen], ids[seen] = z[seen], FIRST_ID + number
