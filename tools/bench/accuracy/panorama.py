"""Measures 360-degree panoramas on the sample set ``panorama``: the rig that Classic finds against the truth.

    python tools/bench/accuracy/panorama.py

Runs in the worker's environment. What comes back from true depths is measured by ``tests/core/frames/test_panorama.py``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measuring  # noqa: F401  # makes the add-on importable
import numpy as np
import truth as truths
from da3_blender.core.frames.panorama import views
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry.projection import invert_rigid
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.monitor import Monitor
from da3_blender.core.predictors.classic import scene
from da3_blender.core.settings import FeatureMatching, Panorama, Settings
from figures import AT_LEAST, AT_MOST, record


def main() -> None:
    truth = truths.load("panorama")
    frames = views.cut(FrameSource.open(truth.folder), Panorama.AUTOMATIC)
    started = time.perf_counter()
    found = scene.find(frames, frames.selected, Settings(feature_matching=FeatureMatching.SIFT), Monitor())
    seconds = time.perf_counter() - started
    own = {frames.views[index].panorama: row for row, index in reversed(list(enumerate(found.indices)))}
    rows = [own[panorama] for panorama in sorted(own)]
    rotations = np.stack(
        [frames.views[found.indices[row]].rotation.T @ found.sfm.extrinsics[row, :, :3] for row in rows]
    )
    centres = invert_rigid(found.sfm.extrinsics[rows])[:, :, 3]
    true = truth.camera_to_world[sorted(own)]
    fit = umeyama(centres, true[:, :3, 3])
    apart = np.linalg.norm(fit.scale * centres @ fit.rotation.T + fit.translation - true[:, :3, 3], axis=1)
    path = np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1).sum()
    between = [r @ rotations[0].T @ true[0, :3, :3].T @ t for r, t in zip(rotations, true[:, :3, :3], strict=True)]
    angles = np.degrees([np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)) for turn in between])
    record("views registered", len(found.indices), AT_LEAST, len(frames.selected))
    record("panoramas' centres, % of the path", 100 * apart.max() / path, AT_MOST, 1.0)
    print(
        f"panorama: {len(found.indices)} of {len(frames.selected)} views, {len(own)} of {len(truth)} panoramas, "
        f"centres {apart.max() / path:.4%} of the path, turned by {angles.max():.3f} deg, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
