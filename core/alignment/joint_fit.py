"""Fits two passes together by all that ties them: shared cameras, shared depths, and places seen by frames of both.

One least-squares problem (Gauss-Newton, Cauchy weights). Unknown are the similarity between the passes and, because the
cameras of a pass err one by one, a small correction of every camera, held back by how far a model's cameras usually err.
The corrections are thrown away afterwards: they only keep one bad camera from bending the similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.similarity import Similarity, skew

# How far a model usually errs; only the ratios matter, and those not much.
TURN = np.radians(0.3)  # of a camera, about each axis
SHIFT = 0.01  # of a camera, along each axis, relative to the median depth
DEPTH = 0.04  # of a depth, relative; twice the usual 2 %, since errors of neighbours are alike
PIXELS = 0.7  # of a feature's place
SAME = 1e-3  # of the above: two passes' cameras of one frame are one camera
STEPS = 12


@dataclass(frozen=True)
class Correspondences:
    """M places, each seen in frame ``source`` (with its depth) and in frame ``target``.

    Frames are numbered through both passes: first those of the reference, then the own ones.
    """

    source: np.ndarray  # (M,) int
    target: np.ndarray  # (M,) int
    points: np.ndarray  # (M, 3) in the source's camera, in the unit of its pass
    rays: np.ndarray  # (M, 2) where the target sees them, x / z and y / z
    depth: np.ndarray  # (M,) the target's own depth there, in the unit of its pass
    pixel: float  # size of a pixel at depth 1

    def __len__(self) -> int:
        return len(self.source)


def exponential(vector: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) to matrix (3, 3)."""
    return cv2.Rodrigues(np.asarray(vector, np.float64))[0]


def logarithm(rotation: np.ndarray) -> np.ndarray:
    """The inverse of ``exponential``."""
    return cv2.Rodrigues(rotation)[0][:, 0]


class _Problem:
    """The similarity (7 numbers: log scale, turn, shift) and six numbers for each frame (turn, shift in its camera)."""

    def __init__(self, reference, own, shared, log_ratio, ratio_error, ties, unit, level):  # type: ignore[no-untyped-def]
        self.cameras = np.concatenate([reference, own])  # (K, 3, 4) camera to world, each pass in its own world
        self.is_own = np.arange(len(self.cameras)) >= len(reference)
        self.shared = [(a, len(reference) + b) for a, b in shared]
        self.log_ratio, self.ratio_error = log_ratio, ratio_error
        self.ties, self.unit = ties, unit
        self.turn, self.shift, self.depth = TURN * level, SHIFT * level * unit, DEPTH * level
        self.centre = reference[:, :, 3].mean(axis=0)
        self.corrections = np.zeros((len(self.cameras), 6))
        self.weights = np.ones(len(ties))

    def placed(self, similarity: Similarity) -> tuple[np.ndarray, np.ndarray]:
        """Corrected cameras in the reference's world: rotations (K, 3, 3), centres (K, 3)."""
        rotations = self.cameras[:, :, :3].copy()
        centres = self.cameras[:, :, 3].copy()
        own = self.is_own
        rotations[own] = similarity.rotation @ rotations[own]
        centres[own] = similarity.scale * centres[own] @ similarity.rotation.T + similarity.translation
        centres = centres + np.einsum("kij,kj->ki", rotations, self.corrections[:, 3:])
        turns = np.stack([exponential(c[:3]) for c in self.corrections])
        return rotations @ turns, centres

    def normal_equations(self, similarity: Similarity) -> tuple[np.ndarray, np.ndarray]:
        """(7 + 6 K) squared and (7 + 6 K,)."""
        size = 7 + 6 * len(self.cameras)
        matrix, vector = np.zeros((size, size)), np.zeros(size)
        spread = np.tile([self.turn] * 3 + [self.shift] * 3, len(self.cameras))
        matrix[np.arange(7, size), np.arange(7, size)] += 1.0 / spread**2
        vector[7:] += self.corrections.ravel() / spread**2
        if self.log_ratio is not None:
            matrix[0, 0] += 1.0 / self.ratio_error**2
            vector[0] += (np.log(similarity.scale) - self.log_ratio) / self.ratio_error**2
        rotations, centres = self.placed(similarity)
        for a, b in self.shared:
            jacobian, residual = self._same_camera(a, b, rotations, centres)
            matrix += jacobian.T @ jacobian
            vector += jacobian.T @ residual
        if len(self.ties):
            jacobian, residual = self._tied(similarity, rotations, centres)
            matrix += jacobian.T @ jacobian
            vector += jacobian.T @ residual
        return matrix, vector

    def _same_camera(self, a: int, b: int, rotations: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = 7 + 6 * len(self.cameras)
        jacobian, residual = np.zeros((6, size)), np.zeros(6)
        to_a = rotations[a].T
        residual[:3] = logarithm(to_a @ rotations[b])
        residual[3:] = to_a @ (centres[b] - centres[a])
        jacobian[:3, 1:4] = to_a
        arm = centres[b] - self.centre
        jacobian[3:, 0] = to_a @ arm
        jacobian[3:, 1:4] = -to_a @ skew(arm)
        jacobian[3:, 4:7] = to_a
        for k, sign in ((b, 1.0), (a, -1.0)):
            at = 7 + 6 * k
            jacobian[:3, at : at + 3] = sign * np.eye(3)
            jacobian[3:, at + 3 : at + 6] = sign * np.eye(3)
        scale = 1.0 / (SAME * np.array([self.turn] * 3 + [self.shift] * 3))
        return jacobian * scale[:, None], residual * scale

    def _tied(
        self, similarity: Similarity, rotations: np.ndarray, centres: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        t = self.ties
        rows = np.arange(len(t))
        scale = np.where(self.is_own, similarity.scale, 1.0)
        x = t.points * scale[t.source, None]  # in the source's camera
        world = np.einsum("mij,mj->mi", rotations[t.source], x) + centres[t.source]
        to_target = rotations[t.target].swapaxes(1, 2)
        y = np.einsum("mij,mj->mi", to_target, world - centres[t.target])
        z = np.maximum(y[:, 2], 1e-3 * self.unit)
        residual = np.stack(
            [y[:, 0] / z - t.rays[:, 0], y[:, 1] / z - t.rays[:, 1], np.log(z / (t.depth * scale[t.target]))], axis=-1
        )
        by_y = np.zeros((len(t), 3, 3))  # d residual / d y
        by_y[:, 0, 0] = by_y[:, 1, 1] = by_y[:, 2, 2] = 1.0 / z
        by_y[:, 0, 2], by_y[:, 1, 2] = -y[:, 0] / z**2, -y[:, 1] / z**2
        turn = to_target @ rotations[t.source]
        by_x = by_y @ turn
        by_world = by_y @ to_target

        jacobian = np.zeros((len(t), 3, 7 + 6 * len(self.cameras)))
        across = self.is_own[t.source] & ~self.is_own[t.target]  # ties across always start at an own frame
        arm = world - self.centre
        jacobian[:, :, 0] = np.einsum("mij,mj->mi", by_world, arm) * across[:, None]
        jacobian[:, :, 1:4] = -by_world @ skew(arm) * across[:, None, None]
        jacobian[:, :, 4:7] = by_world * across[:, None, None]
        # The scale of a pass's own depths does not change how they fit among themselves: both sides grow.
        for k, part in ((t.source, np.concatenate([-by_x @ skew(x), by_x], axis=2)),
                        (t.target, np.concatenate([by_y @ skew(y), -by_y], axis=2))):  # fmt: skip
            at = 7 + 6 * k[:, None] + np.arange(6)
            jacobian[rows[:, None], :, at] += part.transpose(0, 2, 1)

        # The source's depth moves the place along its ray: that much it may miss.
        along = np.einsum("mij,mj->mi", by_x, x)[:, :2] * self.depth
        noise = (PIXELS * t.pixel) ** 2
        length = np.einsum("mi,mi->m", along, along)
        shrink = (1.0 - np.sqrt(noise / (noise + length))) / np.maximum(length, 1e-30)
        whiten = np.zeros((len(t), 3, 3))  # inverse square root of noise * 1 + along along'
        whiten[:, :2, :2] = (np.eye(2) - along[:, :, None] * along[:, None, :] * shrink[:, None, None]) / np.sqrt(noise)
        whiten[:, 2, 2] = 1.0 / (np.sqrt(2.0) * self.depth)
        residual = np.einsum("mij,mj->mi", whiten, residual)
        self.weights = 1.0 / (1.0 + (residual**2).sum(axis=1) / 9.0)
        root = np.sqrt(self.weights)
        size = jacobian.shape[2]
        return (whiten @ jacobian * root[:, None, None]).reshape(-1, size), (residual * root[:, None]).ravel()


def solve(
    start: Similarity,
    reference: np.ndarray,
    own: np.ndarray,
    shared: list[tuple[int, int]],
    log_ratio: float | None,
    ratio_error: float,
    ties: Correspondences,
    unit: float,
    level: float,
) -> tuple[Similarity, np.ndarray]:
    """The similarity from the own pass's world to the reference's.

    Parameters
    ----------
    start : near the answer
    reference, own : (K, 3, 4) cameras to world of each pass
    shared : pairs of rows in both that are one frame
    log_ratio, ratio_error : what shared depths say of the log of the scale, and how far that may be off
    unit : median depth of the reference
    level : how much the passes err, 1 as much as models usually do

    Returns
    -------
    the similarity, and how much each tie counted, 0 to 1
    """
    problem = _Problem(reference, own, shared, log_ratio, ratio_error, ties, unit, level)
    found = start
    for _ in range(STEPS):
        matrix, vector = problem.normal_equations(found)
        step = -np.linalg.solve(matrix, vector)
        turn, grow = exponential(step[1:4]), np.exp(step[0])
        translation = grow * turn @ (found.translation - problem.centre) + problem.centre + step[4:7]
        found = Similarity(float(found.scale * grow), turn @ found.rotation, translation)
        problem.corrections += step[7:].reshape(-1, 6)
        if np.abs(step[:4]).max() < 1e-5 and np.abs(step[4:7]).max() < 1e-5 * unit:
            break
    return found, problem.weights


def depth_residual(
    similarity: Similarity, reference: np.ndarray, own: np.ndarray, ties: Correspondences, which: np.ndarray
) -> float:
    """Median |log ratio| of the depths that two passes give the same places; ``which``: (M,) bool, ties across."""
    source, target = own[ties.source[which] - len(reference)], reference[ties.target[which]]
    world = np.einsum("mij,mj->mi", source[:, :, :3], ties.points[which]) + source[:, :, 3]
    world = similarity.scale * world @ similarity.rotation.T + similarity.translation
    depth = np.einsum("mj,mj->m", world - target[:, :, 3], target[:, :, 2])
    return float(np.median(np.abs(np.log(np.maximum(depth, 1e-9) / ties.depth[which]))))
