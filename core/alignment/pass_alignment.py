"""Brings a pass of the model into the frame of what is already there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..geometry.projection import invert_rigid
from ..geometry.similarity import Similarity, from_points, mean_rotation, weighted_median
from ..prediction import filters
from ..prediction.prediction import Prediction
from . import feature_matching, joint_fit
from .blending import select

NEIGHBOURS = 2  # frames of the same pass that each frame is tied to
PAIRS_ACROSS = 30  # of frames of both passes: those nearest to each other
ENDS = 4  # last and first frames of two passes that share none
FEWEST_MATCHES = 12  # of a pair of frames; fewer are likely to be chance
MOST_MATCHES = 60
FAR_OFF = 0.15  # in image coordinates at depth 1: a match so far from where it should be is a wrong one
USUAL_RATIO = 0.02  # median |log ratio| of the depths that two passes give one frame, where they err as models do
EXACT = 0.01  # part of it below which shared frames say it all


@dataclass(frozen=True)
class Alignment:
    """How a pass fits to what is there."""

    similarity: Similarity
    residual: float | None  # median |log ratio| of depths after it; None where no surface is seen by both
    shared: int  # frames that both passes saw


def align(reference: Prediction, reference_rows: Sequence[int], own: Prediction, own_rows: Sequence[int]) -> Alignment:
    """The similarity that brings ``own`` into the world of ``reference``.

    Shared frames give scale, rotation and translation; what frames of both passes see on the same surfaces makes them
    more exact, and has to do alone where no frame is shared. People take no part: they may have moved.

    Parameters
    ----------
    reference, own : with cameras
    reference_rows, own_rows : the frames that both have, in the same order; may be empty
    """
    reference, own = without_people(reference), without_people(own)
    unit = _median_depth(reference)
    shared = list(zip(reference_rows, own_rows, strict=True))
    if not shared:
        return _without_shared(reference, own, unit)
    start, ratio, spread = from_shared(select(reference, reference_rows), select(own, own_rows))
    level = min(1.0, spread / USUAL_RATIO)
    if level < EXACT:
        return Alignment(start, spread, len(shared))
    views = feature_matching.features(reference), feature_matching.features(own)
    ties = _ties(views, reference, own, start, set(shared), unit)
    cameras = _cameras(reference), _cameras(own)
    # The depth error of a frame is smooth: some 16 places of it err independently.
    error = 1.5 * spread / np.sqrt(16 * len(shared))
    found, _ = joint_fit.solve(start, *cameras, shared, np.log(ratio), error, ties, unit, level)
    return Alignment(found, spread, len(shared))


def without_people(prediction: Prediction) -> Prediction:
    """For fits: confidence 0 where people are, in a copy."""
    if prediction.people is None or not prediction.people.any():
        return prediction
    return replace(prediction, conf=np.where(prediction.people, 0.0, prediction.conf).astype(np.float32))


def from_shared(reference: Prediction, own: Prediction) -> tuple[Similarity, float, float]:
    """What the frames that both passes saw say by themselves.

    Scale: median log ratio of depths, by confidence, without edges. Rotation: mean over the frames. Translation: mean of
    the cameras' centres.

    Parameters
    ----------
    reference, own : the same frames in the same order

    Returns
    -------
    similarity, ratio of the depths (its scale), and how far depths are from it: median |log ratio|
    """
    assert reference.extrinsics is not None and own.extrinsics is not None
    weight = np.sqrt(reference.conf * own.conf)
    weight[filters.edges(reference.depth) | filters.edges(own.depth)] = 0
    good = (weight > 0) & (reference.depth > 0) & (own.depth > 0)
    a, b = _cameras(reference), _cameras(own)
    rotation = mean_rotation(a[:, :, :3] @ b[:, :, :3].swapaxes(1, 2))
    if not good.any():  # nothing but sky: what is left is the distance between the cameras, if there is any
        own_size, size = (np.linalg.norm(c[:, :, 3] - c[:, :, 3].mean(axis=0)) for c in (b, a))
        scale, spread = float(size / own_size) if own_size > 0 else 1.0, 1.0
    else:
        logs = np.log(reference.depth[good] / own.depth[good])
        middle = weighted_median(logs, weight[good])
        scale, spread = float(np.exp(middle)), weighted_median(np.abs(logs - middle), weight[good])
    translation = (a[:, :, 3] - scale * b[:, :, 3] @ rotation.T).mean(axis=0)
    return Similarity(scale, rotation, translation), scale, spread


def _without_shared(reference: Prediction, own: Prediction, unit: float) -> Alignment:
    """By the surfaces that the end of one pass and the beginning of the next both see."""
    a_rows, b_rows = range(max(0, len(reference) - ENDS), len(reference)), range(min(ENDS, len(own)))
    views = feature_matching.features(reference), feature_matching.features(own)
    cameras = _cameras(reference), _cameras(own)
    pairs = [(i, j) for i in a_rows for j in b_rows]
    targets, sources = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for i, j in pairs:
        at, bt = feature_matching.match(views[0][i], views[1][j])
        if len(at) >= FEWEST_MATCHES:
            targets.append(_world(views[0][i], at, cameras[0][i]))
            sources.append(_world(views[1][j], bt, cameras[1][j]))
    start = from_points(np.concatenate(sources), np.concatenate(targets), 0.05 * unit)
    if start is None:
        last, first = cameras[0][-1], cameras[1][0]
        scale = unit / _median_depth(own)
        rotation = last[:, :3] @ first[:, :3].T
        return Alignment(Similarity(scale, rotation, last[:, 3] - scale * rotation @ first[:, 3]), None, 0)
    ties = _ties(views, reference, own, start, set(), unit)
    found, weights = joint_fit.solve(start, *cameras, [], None, 1.0, ties, unit, 1.0)
    across = (ties.source >= len(reference)) & (ties.target < len(reference))
    good = across & (weights > 0.5)
    if good.sum() < FEWEST_MATCHES:
        return Alignment(start, 1.0, 0)
    return Alignment(found, joint_fit.depth_residual(found, *cameras, ties, good), 0)


def _ties(
    views: tuple[list[feature_matching.Features], list[feature_matching.Features]],
    reference: Prediction,
    own: Prediction,
    start: Similarity,
    same: set[tuple[int, int]],
    unit: float,
) -> joint_fit.Correspondences:
    """Matches within each pass and from the own pass to the reference, without those that cannot be right."""
    count = len(reference)
    features = [*views[0], *views[1]]
    placed = start.apply(own)
    cameras = np.concatenate([_cameras(reference), _cameras(placed)])
    scales = np.where(np.arange(len(features)) < count, 1.0, start.scale)
    pairs = [(i + n, i) for low, high in ((0, count), (count, len(features)))
             for i in range(low, high) for n in range(1, NEIGHBOURS + 1) if i + n < high]  # fmt: skip
    pairs += _nearest(cameras[:count], cameras[count:], same, unit)
    parts = []
    for source, target in pairs:
        s, t = feature_matching.match(features[source], features[target])
        if len(s) < FEWEST_MATCHES:
            continue
        points = np.column_stack([features[source].rays[s], np.ones(len(s))]) * features[source].depth[s, None]
        rays, depth = features[target].rays[t], features[target].depth[t]
        world = scales[source] * points @ cameras[source, :, :3].T + cameras[source, :, 3]
        seen = (world - cameras[target, :, 3]) @ cameras[target, :, :3]
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.linalg.norm(seen[:, :2] / seen[:, 2:] - rays, axis=1)
            ratio = np.abs(np.log(np.maximum(seen[:, 2], 1e-9) / (depth * scales[target])))
        right = np.flatnonzero((seen[:, 2] > 0) & (off < FAR_OFF) & (ratio < 2 * FAR_OFF))
        right = right[:: max(1, len(right) // MOST_MATCHES)][:MOST_MATCHES]
        if len(right) >= FEWEST_MATCHES:
            parts.append(
                (np.full(len(right), source), np.full(len(right), target), points[right], rays[right], depth[right])
            )
    if not parts:
        empty = np.zeros(0, int)
        return joint_fit.Correspondences(empty, empty, np.zeros((0, 3)), np.zeros((0, 2)), np.zeros(0), 1.0)
    pixel = features[0].pixel
    source_rows, target_rows, points, rays, depth = (np.concatenate(column) for column in zip(*parts, strict=True))
    return joint_fit.Correspondences(source_rows, target_rows, points, rays, depth, pixel)


def _nearest(reference: np.ndarray, own: np.ndarray, same: set[tuple[int, int]], unit: float) -> list[tuple[int, int]]:
    """Pairs (own frame, reference frame), numbered through both, whose views are alike."""
    apart = np.linalg.norm(own[:, None, :, 3] - reference[None, :, :, 3], axis=-1) / unit
    turned = 1.0 - np.einsum("jk,ik->ji", own[:, :, 2], reference[:, :, 2])  # of the viewing axes
    unlike = apart + 2.0 * turned
    order = np.argsort(unlike, axis=None)
    found = [(int(k // len(reference)), int(k % len(reference))) for k in order]
    return [(len(reference) + j, i) for j, i in found if (i, j) not in same and unlike[j, i] < 1.0][:PAIRS_ACROSS]


def _world(features: feature_matching.Features, rows: np.ndarray, camera: np.ndarray) -> np.ndarray:
    points = np.column_stack([features.rays[rows], np.ones(len(rows))]) * features.depth[rows, None]
    return points @ camera[:, :3].T + camera[:, 3]


def _cameras(prediction: Prediction) -> np.ndarray:
    """(N, 3, 4) camera to world."""
    assert prediction.extrinsics is not None
    return invert_rigid(prediction.extrinsics)


def _median_depth(prediction: Prediction) -> float:
    known = prediction.depth[(prediction.depth > 0) & (prediction.conf > 0)]
    if not len(known):  # nothing but people, or nothing at all
        known = prediction.depth[prediction.depth > 0]
    return float(np.median(known)) if len(known) else 1.0
