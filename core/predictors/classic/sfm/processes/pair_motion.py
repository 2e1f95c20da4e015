"""What two images' matches say of how the camera moved between them. Imported by the child process as a file beside it."""

from __future__ import annotations

import cv2
import numpy as np

UNKNOWN, MOVED, STATIC, TURNED = 0, 1, 2, 3
ENOUGH = 15  # matches
STILL = 0.002  # of the long side: matches that move by less in the median are those of a camera that stood still
FLAT = 0.85  # share of the matches that one homography has to explain
WITHIN = 0.004  # of the long side: how near it has to come
ORTHOGONAL = 0.06  # how far from a rotation K^-1 H K may be, as a norm of M^T M - 1
FOCALS = np.geomspace(0.35, 2.8, 25)  # of the long side, tried where none is known


def kind_of_motion(a: np.ndarray, b: np.ndarray, size_a: tuple[int, int], size_b: tuple[int, int]) -> int:
    """``MOVED``, ``STATIC`` or ``TURNED`` (turned only, so that nothing can be measured); ``UNKNOWN`` for few matches.

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
    cv2.setRNGSeed(1)
    homography, inside = cv2.findHomography(
        a.astype(np.float64), b.astype(np.float64), cv2.RANSAC, WITHIN * side, maxIters=2000
    )
    if homography is None or inside.mean() < FLAT:
        return MOVED
    return TURNED if min(_unlike_rotation(homography, f * side, size_a, size_b) for f in FOCALS) < ORTHOGONAL else MOVED


def _unlike_rotation(homography: np.ndarray, focal: float, size_a: tuple[int, int], size_b: tuple[int, int]) -> float:
    cameras = [np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1.0]]) for w, h in (size_a, size_b)]
    turn = np.linalg.inv(cameras[1]) @ homography @ cameras[0]
    determinant = float(np.linalg.det(turn))
    if determinant <= 0:
        return np.inf
    turn /= np.cbrt(determinant)
    return float(np.linalg.norm(turn.T @ turn - np.eye(3)))
