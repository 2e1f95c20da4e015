"""What two images' matches say of how the camera moved between them. Imported by the child process as a file beside it."""

from __future__ import annotations

import cv2
import numpy as np

UNKNOWN, MOVED, STATIC, TURNED, MIRRORED = 0, 1, 2, 3, 4
ENOUGH = 15  # matches
STILL = 0.002  # of the long side: matches that move by less in the median are those of a camera that stood still
FLAT = 0.85  # share of the matches that one homography has to explain
WITHIN = 0.004  # of the long side: how near it has to come
ORTHOGONAL = 0.06  # how far from a rotation K^-1 H K may be, as a norm of M^T M - 1
# Of matches, and the share of them that only a mirror image turns over: true pairs of castle 0.43 at most, mirrored ones 0.58 at least.
TRIANGLES, OVER = 500, 0.55
FOCALS = np.geomspace(0.35, 2.8, 25)  # of the long side, tried where none is known


def kind_of_motion(a: np.ndarray, b: np.ndarray, size_a: tuple[int, int], size_b: tuple[int, int]) -> int:
    """``MOVED``, ``STATIC``, ``TURNED`` (turned only, so that nothing can be measured) or ``MIRRORED``; ``UNKNOWN`` for few matches.

    A turning camera maps one image to the other by K R K^-1 whatever is seen (Hartley & Zisserman 2004, 8.4); a wall
    seen by a moving camera gives a homography too, but none of that form.

    Parameters
    ----------
    a, b : (M, 2) pixels, matches that fit one geometry
    size_a, size_b : width and height
    """
    if len(a) < ENOUGH:
        return UNKNOWN
    side = float(max(*size_a, *size_b))
    if np.median(np.linalg.norm(a - b, axis=1)) < STILL * side:
        return STATIC
    if turned_over(a, b) > OVER:
        return MIRRORED
    cv2.setRNGSeed(1)
    homography, inside = cv2.findHomography(
        a.astype(np.float64), b.astype(np.float64), cv2.RANSAC, WITHIN * side, maxIters=2000
    )
    if homography is None or inside.mean() < FLAT:
        return MOVED
    return TURNED if min(_unlike_rotation(homography, f * side, size_a, size_b) for f in FOCALS) < ORTHOGONAL else MOVED


def turned_over(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the triangles of matches that are turned over from one image to the other: few by a camera, most by a mirror.

    0 for few matches.
    """
    if len(a) < ENOUGH:
        return 0.0
    corners = np.random.default_rng(1).integers(0, len(a), (TRIANGLES, 3))
    areas = []
    for places in (a, b):
        first, second, third = (places[corners[:, k]] for k in range(3))
        one, other = second - first, third - first
        areas.append(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    signs = np.sign(areas[0]) * np.sign(areas[1])
    return float((signs < 0).sum() / max(1, np.count_nonzero(signs)))


def _unlike_rotation(homography: np.ndarray, focal: float, size_a: tuple[int, int], size_b: tuple[int, int]) -> float:
    cameras = [np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1.0]]) for w, h in (size_a, size_b)]
    turn = np.linalg.inv(cameras[1]) @ homography @ cameras[0]
    determinant = float(np.linalg.det(turn))
    if determinant <= 0:
        return np.inf
    turn /= np.cbrt(determinant)
    return float(np.linalg.norm(turn.T @ turn - np.eye(3)))
