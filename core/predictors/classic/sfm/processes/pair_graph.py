"""Pairs of images that contradict what the others say of how the camera turned: things that look alike and are not the same.

Each pair's relative rotation is compared with the rotations of all images, averaged robustly over all pairs (Chatterjee and
Govindu, PAMI 2018, with Geman and McClure's weights) from where the pairs with the most matches put them. A pair of two copies
of one thing fits a geometry of its own, turned at random against them. Imported as a file beside the child process.
"""

from __future__ import annotations

import numpy as np

ALIKE = 10.0  # degrees; a pair's weight falls as its error grows beyond
CONTRADICTS = 20.0  # degrees; the rotation of a pair seen by few matches, or of a plane, may be wrong by some
ROUNDS = 60


def contradicting(count: int, pairs: np.ndarray, rotations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(P,) bool: the pairs whose rotation no good part of the others allows.

    Parameters
    ----------
    count : of the images
    pairs : (P, 2) int, images a and b
    rotations : (P, 3, 3), from the frame of a into that of b
    weights : (P,), how sure a pair is: its matches that fit
    """
    if not len(pairs):
        return np.zeros(0, bool)
    a, b = pairs.T
    turns = _along_strongest(count, pairs, rotations, weights)
    for _ in range(ROUNDS):
        trust = weights / (1.0 + (_errors(turns, a, b, rotations) / ALIKE) ** 2) ** 2
        total = trust.mean() * turns
        np.add.at(total, b, trust[:, None, None] * (rotations @ turns[a]))
        np.add.at(total, a, trust[:, None, None] * (rotations.transpose(0, 2, 1) @ turns[b]))
        turns = _nearest_rotations(total)
    return _errors(turns, a, b, rotations) > CONTRADICTS


def _along_strongest(count: int, pairs: np.ndarray, rotations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, 3, 3) world to image, chained along the tree of the strongest pairs; each part has a world of its own."""
    turns, part = np.tile(np.eye(3), (count, 1, 1)), np.arange(count)
    for k in np.argsort(-weights, kind="stable"):
        a, b = pairs[k]
        if part[a] != part[b]:
            joined = part == part[b]
            turns[joined] = turns[joined] @ (turns[b].T @ rotations[k] @ turns[a])
            part[joined] = part[a]
    return turns


def _errors(turns: np.ndarray, a: np.ndarray, b: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """(P,) degrees between what a pair says and what the images' rotations say."""
    return angles(rotations @ turns[a], turns[b])


def angles(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P,) degrees between P rotations, (P, 3, 3), and P others."""
    trace = np.einsum("pij,pij->p", one, other)
    return np.degrees(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)))


def _nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    u, _, v = np.linalg.svd(matrices)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    return u @ v
