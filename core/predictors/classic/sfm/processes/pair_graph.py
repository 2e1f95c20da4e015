"""Pairs of images that contradict what the others say of how the camera turned: things that look alike and are not the same.

Each pair's relative rotation is compared with the rotations of all images, averaged robustly over all pairs (Chatterjee and
Govindu, PAMI 2018, with Geman and McClure's weights) from where the pairs with the most matches put them. A pair of two copies
of one thing fits a geometry of its own, turned at random against them. Imported as a file beside the child process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

ALIKE = 10.0  # degrees; a pair's weight falls as its error grows beyond
CONTRADICTS = 20.0  # degrees; the rotation of a pair seen by few matches, or of a plane, may be wrong by some
ROUNDS = 60
NO_SCENE = pycolmap.TwoViewGeometryConfiguration.WATERMARK  # of pairs that the mappers are told to pass over


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


def geometries(db: Any) -> list[tuple[tuple[int, int], Any]]:
    """All verified pairs of images, their numbers in ascending order, and how their matches fit."""
    found = [
        (pycolmap.pair_id_to_image_pair(number), geometry)
        for number, geometry in zip(*db.read_two_view_geometries(), strict=True)
    ]
    return sorted(found, key=lambda one: one[0])


def contradicting_pairs(db: Any, ids: list[int], pairs: list[tuple[int, int]], fits: list[Any]) -> list[int]:
    """Which of the pairs show things that look alike and are not the same; notes how each pair is turned."""
    cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
    seen = {i: cameras[db.read_image(i).camera_id] for i in ids}
    places = {i: np.asarray(db.read_keypoints(i))[:, :2].astype(np.float64) for i in ids}
    known = [
        k
        for k, ((a, b), geometry) in enumerate(zip(pairs, fits, strict=True))
        if len(geometry.inlier_matches)
        and geometry.config != NO_SCENE
        and pycolmap.estimate_two_view_geometry_pose(seen[a], places[a], seen[b], places[b], geometry)
    ]
    ends, rotations, weights = _turns([pairs[k] for k in known], [fits[k] for k in known])
    wrong = contradicting(len(ids), np.searchsorted(ids, ends), rotations, weights)
    return [k for k, is_wrong in zip(known, wrong, strict=True) if is_wrong]


def contradicted(model: Any, database: Path) -> float:
    """Share of the pairs, by their matches, that are turned otherwise in the model than by themselves."""
    poses = {i: image.cam_from_world().rotation.matrix() for i, image in model.images.items() if image.has_pose}
    with pycolmap.Database.open(database) as db:
        fit = [(pair, geometry) for pair, geometry in geometries(db) if len(geometry.inlier_matches)]
        both = [one for one in fit if one[1].cam2_from_cam1 and poses.keys() >= set(one[0])]
        if not both:
            return 0.0
        pairs, rotations, weights = _turns(*zip(*both, strict=True))
        own = np.array([poses[b] @ poses[a].T for a, b in pairs.tolist()])
        wrong = angles(own, rotations) > CONTRADICTS
        for k in np.flatnonzero(wrong).tolist():  # by a guess at the focal length, perhaps: by the model's, then
            (a, b), geometry = both[k]
            cameras = [model.images[i].camera for i in (a, b)]
            places = [np.asarray(db.read_keypoints(i))[:, :2].astype(np.float64) for i in (a, b)]
            if pycolmap.estimate_two_view_geometry_pose(cameras[0], places[0], cameras[1], places[1], geometry):
                again = geometry.cam2_from_cam1.rotation.matrix()
                wrong[k] = angles(own[k, None], again[None])[0] > CONTRADICTS
    return float(weights[wrong].sum() / weights.sum())


def _turns(pairs: Sequence[tuple[int, int]], fits: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of pairs that fit: (P, 2) the images' numbers, (P, 3, 3) rotations from the first to the second, (P,) matches."""
    rotations = [geometry.cam2_from_cam1.rotation.matrix() for geometry in fits]
    weights = [float(len(geometry.inlier_matches)) for geometry in fits]
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(rotations).reshape(-1, 3, 3), np.array(weights)
