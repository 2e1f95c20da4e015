"""Cameras that are mounted on each other: each keeps its place and direction beside the others through a whole run.

A model sees each frame by itself. Here the relative poses are what all moments of the first batch agree on; then each moment
is one rig, put where its cameras put it, single bad ones aside. Depths stay: points go with their camera. ``classic`` does
this inside its bundle adjustment (``sfm/processes/mounted.py``) and needs none of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ...frames.source import FrameSource
from ...geometry.projection import homogeneous, invert_rigid
from ...geometry.similarity import angles_between, mean_pose
from ...prediction.batch import Batch
from . import panorama

ORDINARY_ANGLE = 0.03  # radians, by which a good model's camera may be off: up to there the mean is the plain one
ORDINARY_STEP = 0.03  # of the median depth, likewise
LOOSE = 10.0  # degrees in the median, by which relative directions may differ from moment to moment


def hold(batches: Iterable[Any], frames: FrameSource) -> Generator[Any, None, None]:
    """The batches with their mounted cameras as rigs; what is no batch goes through."""
    keeper = RigKeeper(frames)
    for batch in batches:
        if isinstance(batch, Batch):
            keeper.hold(batch)
        yield batch


class RigKeeper:
    """Knows how the cameras of a run stand to the first of them, and where each moment's rig was put."""

    def __init__(self, frames: FrameSource):
        self._mounted = frames.mounted
        self._relative: dict[int, np.ndarray] = {}  # by camera, (4, 4), from the first camera's axes to its own
        self._rigs: dict[int, np.ndarray] = {}  # by moment, (4, 4), world to the first camera
        self._is_loose = False

    def hold(self, batch: Batch) -> None:
        """Put a batch's cameras where the rig says; in place, with arrays of its own."""
        prediction = batch.prediction
        rows = [row for row, index in enumerate(batch.indices) if index in self._mounted]
        if self._is_loose or not rows or prediction.extrinsics is None:
            return
        unit = panorama.unit(prediction, rows)
        cameras = homogeneous(prediction.extrinsics.astype(np.float64))
        moments: dict[int, dict[int, int]] = {}  # the row of each camera, by moment
        for row in rows:
            mount = self._mounted[batch.indices[row]]
            moments.setdefault(mount.moment, {})[mount.camera] = row
        spread = self._learn(moments, cameras, unit)
        if spread > LOOSE:
            self._is_loose = True
            batch.warnings.append(
                f"Mounted Together had no effect: the cameras turn against each other by {spread:.0f} degrees from moment to "
                "moment; did they start together, and are there as many images of each?"
            )
            return
        extrinsics = prediction.extrinsics.astype(np.float64)
        for moment, members in moments.items():
            there = {camera: row for camera, row in members.items() if camera in self._relative}
            if not there:
                continue
            if moment not in self._rigs:
                rigs = np.stack([np.linalg.inv(self._relative[camera]) @ cameras[row] for camera, row in there.items()])
                self._rigs[moment] = _mean(rigs, unit)
            for camera, row in there.items():
                extrinsics[row] = (self._relative[camera] @ self._rigs[moment])[:3]
        batch.prediction = replace(prediction, extrinsics=extrinsics)

    def _learn(self, moments: dict[int, dict[int, int]], cameras: np.ndarray, unit: float) -> float:
        """Relative poses that are not known yet, as far as moments have both cameras; the largest spread, in degrees."""
        if not self._relative:
            first = min(mount.camera for mount in self._mounted.values())
            self._relative[first] = np.eye(4)
        reference, spread = next(iter(self._relative)), 0.0
        for camera in sorted({camera for members in moments.values() for camera in members} - set(self._relative)):
            both = [(m[reference], m[camera]) for m in moments.values() if reference in m and camera in m]
            if not both:
                continue
            relative = np.stack([cameras[own] @ np.linalg.inv(cameras[base]) for base, own in both])
            mean = _mean(relative, unit)
            spread = max(spread, float(np.degrees(np.median(angles_between(relative[:, :3, :3], mean[:3, :3])))))
            self._relative[camera] = mean
        return spread


def _mean(poses: np.ndarray, unit: float) -> np.ndarray:
    """(V, 4, 4) of one camera to its (4, 4)."""
    rotation, centre = mean_pose(
        poses[:, :3, :3], invert_rigid(poses[:, :3])[:, :, 3], ORDINARY_ANGLE, ORDINARY_STEP * unit
    )
    return homogeneous(np.column_stack([rotation, -(rotation @ centre)]))
