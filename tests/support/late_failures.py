"""Predictors for the real worker (``DA3_PREDICTOR``) that spoil something on the disk while the run goes on.

``$DA3_SPOIL`` names it: a folder to delete (``gone``), or one whose disk is filled (``full``), before the model's second pass.
"""

import contextlib
import os
import runpy
import shutil
from pathlib import Path

import numpy as np

Plane = runpy.run_path(str(Path(__file__).with_name("stand_ins.py")))["Plane"]  # the worker has no path for imports
PASS = 2  # the pass that it happens before; the first has gone to Blender by then, or is about to


class Spoiled(Plane):
    """A wall, and a misfortune."""

    def __init__(self, monitor, spoil):
        super().__init__(monitor, self._before_pass)
        self._spoil, self._passes = spoil, 0

    def _before_pass(self, _watch):
        self._passes += 1
        if self._passes == int(os.environ.get("DA3_SPOIL_PASS", PASS)):
            self._spoil(Path(os.environ["DA3_SPOIL"]))


def fill(folder):
    """Leave the disk of a folder without a free byte."""
    with contextlib.suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(1 << 14)):
            pass
    with contextlib.suppress(OSError), (folder / "filling_more").open("wb", buffering=0) as file:
        while file.write(b"0"):
            pass


class Unsure(Plane):
    """Depths that no two frames agree on, so that there is no surface to fuse."""

    def predict(self, images, indices, settings, cameras=None):
        made = super().predict(images, indices, settings, cameras)
        made.depth *= np.random.default_rng(indices[0]).uniform(0.3, 3.0, made.depth.shape).astype(np.float32)
        return made


def _die(_folder):
    os._exit(7)


def dies(_name, _folder, _frames, monitor, **_more):
    return Spoiled(monitor, _die)


def gone(_name, _folder, _frames, monitor, **_more):
    return Spoiled(monitor, shutil.rmtree)


def full(_name, _folder, _frames, monitor, **_more):
    return Spoiled(monitor, fill)


def unsure(_name, _folder, _frames, monitor, **_more):
    return Unsure(monitor, lambda _watch: None)
