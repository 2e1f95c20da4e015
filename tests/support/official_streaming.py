"""The official DA3-Streaming's way with chunks, plainly, as a baseline for ours (FACTS: no loops)."""

import numpy as np
from da3_blender.core.geometry.projection import invert_rigid, unproject


def irls_fit(source, target, weights, delta=0.1, iterations=5, tolerance=1e-9):
    """Scale as ratio of root mean squares, rotation by SVD, Huber's weights with a delta in scene units."""
    huber = np.ones(len(source))
    scale, rotation, translation, before = 1.0, np.eye(3), np.zeros(3), np.inf
    for _ in range(iterations):
        w = weights * huber
        w = w / w.sum()
        a, b = w @ source, w @ target
        x, y = source - a, target - b
        scale = np.sqrt((w @ (y * y).sum(axis=1)) / (w @ (x * x).sum(axis=1)))
        u, _, vt = np.linalg.svd((y * w[:, None]).T @ x)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        translation = b - scale * rotation @ a
        residual = np.linalg.norm(scale * source @ rotation.T + translation - target, axis=1)
        huber = np.where(residual <= delta, 1.0, delta / np.maximum(residual, 1e-12))
        cost = (w * residual).sum()
        if abs(before - cost) < tolerance:
            break
        before = cost
    return scale, rotation, translation


class Official:
    """Takes chunks as they come; every chunk but the last emits the frames that the next one does not have.

    Parameters
    ----------
    surfaces : whether to keep them; they are large

    Attributes
    ----------
    poses : by frame, (3, 4) camera to world
    surfaces : by frame, its depth in that world and its confidence, (H, W) each
    """

    def __init__(self, surfaces=True):
        self.poses, self.surfaces = {}, {}
        self._keep_surfaces = surfaces
        self._before, self._total = None, (1.0, np.eye(3), np.zeros(3))

    def add(self, chunk, p):
        """A chunk's frames, and what the model says of them; a later chunk takes back what it has in common."""
        world = unproject(p.depth, p.intrinsics, p.extrinsics).astype(np.float64)
        if self._before is not None:
            old_chunk, old_world, old_conf = self._before
            shared = [i for i in chunk if i in old_chunk]
            a, b = [old_chunk.index(i) for i in shared], [chunk.index(i) for i in shared]
            c1, c2 = old_conf[a], p.conf[b]
            good = (c1 > 0) & (c2 > 0) & (np.minimum(c1, c2) > 0.1 * min(np.median(c1), np.median(c2)))
            s, r, t = irls_fit(world[b][good], old_world[a][good], np.sqrt(c1 * c2)[good].astype(np.float64))
            s0, r0, t0 = self._total
            self._total = s0 * s, r0 @ r, s0 * r0 @ t + t0
        s, r, t = self._total
        cameras = invert_rigid(p.extrinsics)
        for k, i in enumerate(chunk):
            self.poses[i] = np.column_stack([r @ cameras[k, :, :3], s * r @ cameras[k, :, 3] + t])
            if self._keep_surfaces:
                self.surfaces[i] = s * p.depth[k], p.conf[k]
        self._before = list(chunk), world, p.conf.copy()
